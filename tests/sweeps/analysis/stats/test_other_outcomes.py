"""Contrasts of outcomes other than the test AUC."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.stats.contrast_table import contrast_rows
from sweeps.analysis.stats.findings import findings
from sweeps.analysis.stats.stored_plan import Contrast
from sweeps.results.columns import MEASURED

Make = Callable[..., Any]
CURRICULUM, ARCFACE, SOFTMAX = "loss=mined,mining=curriculum,margin=.5", "loss=arcface", "loss=softmax"
UNSEEN = Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace", outcome="unseen_recall_at_1", sesoi=0.005)
TEST = Contrast.pair(CURRICULUM, SOFTMAX, label="softmax", outcome="test_recall_at_1", sesoi=0.005)
AUC = Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace")


def test_an_outcome_is_estimated_and_called_by_its_name(make_arms: Make) -> None:
    sweep = make_arms(blocks=7)
    (finding,) = findings(sweep.trials, sweep.curves, [UNSEEN], sweep.groups)
    rows = {(r["cell_id"], r["block"]): r["unseen_recall_at_1"] for r in sweep.tables.trial_rows}
    by_hand = [rows[ARCFACE, block] - rows[CURRICULUM, block] for block in range(1, 8)]
    assert finding.result is not None
    assert finding.result[0].estimate == pytest.approx(np.mean(by_hand))
    assert finding.verdict.startswith("ArcFace raised recall at 1 on unseen classes by .0")
    assert "AUC" not in finding.verdict
    assert finding.by_epoch == []  # unseen classes are not looked at while training
    assert finding.robustness is not None
    assert (finding.robustness.logit, finding.robustness.crossed) == (None, None)


def test_marks_of_the_curves_are_of_the_same_measure(make_arms: Make) -> None:
    sweep = make_arms()
    (finding,) = findings(sweep.trials, sweep.curves, [TEST])
    for row in sweep.tables.curve_rows:
        row["val_auc"] = 0.0
    assert [mark.epoch for mark in finding.by_epoch] == list(range(1, 13))
    marks = [row for row in contrast_rows([finding]) if row.get("epoch")]
    assert {row["metric"] for row in marks} == {"val_recall_at_1"}
    assert findings(sweep.trials, sweep.curves, [TEST])[0].by_epoch == finding.by_epoch


def test_a_run_without_the_outcome_is_refused_unless_it_is_an_auc(make_arms: Make) -> None:
    sweep = make_arms()
    lost = {name: None for name, column in MEASURED.items() if column.table == "trials"}
    sweep.tables.row(ARCFACE, 2).update(lost | {"end_reason": "diverged"})
    recall, auc, unseen = findings(
        sweep.trials, sweep.curves, [UNSEEN, AUC, Contrast.pair(CURRICULUM, ARCFACE, label="x", outcome="unseen_auc")]
    )
    assert recall.result is None
    assert "Failed training has no unseen_recall_at_1, and leaving it out would flatter its cell" in recall.verdict
    assert f"`{ARCFACE}` block 2 (diverged)" in recall.verdict
    assert "run again" not in recall.verdict
    for finding in (auc, unseen):
        assert finding.result is not None
        assert finding.result[1].outcomes.min() == 0.5


def test_a_text_is_no_outcome(make_arms: Make) -> None:
    sweep = make_arms()
    (finding,) = findings(sweep.trials, sweep.curves, [Contrast.pair(CURRICULUM, ARCFACE, label="x", outcome="loss")])
    assert "An outcome must be a column of numbers, but `loss` is string." in finding.verdict


def test_the_auc_of_unseen_classes_has_an_interval_over_its_own_classes(make_arms: Make) -> None:
    sweep, contrast = make_arms(blocks=7), Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace", outcome="unseen_auc")
    sizes = np.array([20, 30, 40])
    for row in sweep.tables.trial_rows:
        values = row["unseen_auc"] + np.array([0.01, 0.0, -0.01])
        row["unseen_auc"] = float(values @ (sizes * (sizes - 1)) / (sizes * (sizes - 1)).sum())
        sweep.tables.group_rows += [
            {"stage": "confirm", "trial_id": row["trial_id"], "attempt": 1, "split": split, "metric": "auc",
             "class_id": c, "class_name": str(c), "value": float(value), "n": int(sizes[c]), "is_finite": True}
            for split, shift in (("unseen", 0.0), ("test", 0.1))
            for c, value in enumerate(values + shift)
        ]  # fmt: skip
    (finding,) = findings(sweep.trials, sweep.curves, [contrast], sweep.groups)
    assert finding.robustness is not None
    assert finding.robustness.crossed is not None
    assert finding.result is not None
    assert finding.robustness.crossed.estimate == pytest.approx(finding.result[0].estimate)
