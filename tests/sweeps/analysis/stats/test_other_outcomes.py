"""Contrasts of outcomes other than the test AUC."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.stats.answers.contrast_table import contrast_rows
from sweeps.analysis.stats.answers.findings import Finding, findings
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan
from sweeps.results.columns import MEASURED

Make = Callable[..., Any]
CURRICULUM, ARCFACE, SOFTMAX = "loss=mined,mining=curriculum,margin=.5", "loss=arcface", "loss=softmax"
UNSEEN = Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace", outcome="unseen_recall_at_1", sesoi=0.005)
TEST = Contrast.pair(CURRICULUM, SOFTMAX, label="softmax", outcome="test_recall_at_1", sesoi=0.005)
AUC = Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace")


def found_of(sweep: Any, *contrasts: Contrast) -> list[Finding]:
    return findings(sweep.trials, sweep.curves, StoredPlan(contrasts=contrasts), sweep.groups)


def test_an_outcome_is_estimated_and_called_by_its_name(make_arms: Make) -> None:
    sweep = make_arms(blocks=7)
    (finding,) = found_of(sweep, UNSEEN)
    rows = {(r["cell_id"], r["block"]): r["unseen_recall_at_1"] for r in sweep.tables.trial_rows}
    by_hand = [rows[ARCFACE, block] - rows[CURRICULUM, block] for block in range(1, 8)]
    assert finding.effect is not None
    assert finding.effect.estimate == pytest.approx(np.mean(by_hand))
    assert finding.sentence.startswith("ArcFace raised recall at 1 on unseen classes by .0")
    assert "AUC" not in finding.sentence
    assert finding.by_epoch == []  # unseen classes are not looked at while training
    assert finding.over_classes is None


def test_marks_of_the_curves_are_of_the_same_measure(make_arms: Make) -> None:
    sweep = make_arms()
    (finding,) = found_of(sweep, TEST)
    for row in sweep.tables.curve_rows:
        row["val_auc"] = 0.0
    assert [mark.epoch for mark in finding.by_epoch] == list(range(1, 13))
    marks = [row for row in contrast_rows([finding]) if row.get("epoch")]
    assert {row["metric"] for row in marks} == {"val_recall_at_1"}
    assert found_of(sweep, TEST)[0].by_epoch == finding.by_epoch


def test_a_run_without_the_outcome_counts_with_the_worst_there_is(make_arms: Make) -> None:
    sweep = make_arms()
    lost = {name: None for name, column in MEASURED.items() if column.table == "trials" and name != "wall_s"}
    sweep.tables.row(ARCFACE, 2).update(lost | {"end_reason": "diverged"})
    recall, auc, unseen = found_of(
        sweep, UNSEEN, AUC, Contrast.pair(CURRICULUM, ARCFACE, label="x", outcome="unseen_auc")
    )
    for finding, worst in ((recall, 0.0), (auc, 0.5), (unseen, 0.5)):
        assert finding.runs is not None
        assert finding.runs.outcomes.min() == worst


def test_a_failed_run_is_refused_where_nothing_is_the_worst(make_arms: Make) -> None:
    sweep = make_arms()
    sweep.tables.row(ARCFACE, 2).update({"end_reason": "diverged", "wall_s": None})
    (time,) = found_of(sweep, Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace", outcome="wall_s"))
    assert time.runs is None
    assert "Failed training has no wall_s, and leaving it out would flatter its cell" in time.sentence
    assert f"`{ARCFACE}` block 2 (diverged)" in time.sentence
    assert "run again" not in time.sentence


def test_a_text_is_no_outcome(make_arms: Make) -> None:
    sweep = make_arms()
    (finding,) = found_of(sweep, Contrast.pair(CURRICULUM, ARCFACE, label="x", outcome="loss"))
    assert "An outcome must be a column of numbers, but `loss` is string." in finding.sentence


def test_the_auc_of_unseen_classes_has_an_interval_over_its_own_classes(make_arms: Make) -> None:
    sweep, contrast = make_arms(blocks=7), Contrast.pair(CURRICULUM, ARCFACE, label="ArcFace", outcome="unseen_auc")
    sizes = np.arange(20, 100, 10)
    for row in sweep.tables.trial_rows:
        values = row["unseen_auc"] + np.linspace(0.01, -0.01, sizes.size)
        row["unseen_auc"] = float(values @ (sizes * (sizes - 1)) / (sizes * (sizes - 1)).sum())
        sweep.tables.group_rows += [
            {"stage": "confirm", "trial_id": row["trial_id"], "attempt": 1, "split": split, "metric": "auc",
             "class_id": c, "class_name": str(c), "value": float(value), "n": int(sizes[c]), "is_finite": True}
            for split, shift in (("unseen", 0.0), ("test", 0.1))
            for c, value in enumerate(values + shift)
        ]  # fmt: skip
    (finding,) = found_of(sweep, contrast)
    assert finding.over_classes is not None
    assert finding.effect is not None
    assert finding.over_classes.estimate == pytest.approx(finding.effect.estimate)
