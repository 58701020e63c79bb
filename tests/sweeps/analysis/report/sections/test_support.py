"""Failure risk against an oracle, and the sections beside the effects."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sweeps.analysis.report.sections.support import support
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.description.failures import Risk, failure_risks, risk_difference, risk_of

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
TRUTH = {OFF: 0.9, K1: 0.92, K4: 0.91}


def test_risks_count_what_training_ended_and_collapses_told_in_confirm(make_factorial: Make) -> None:
    made = make_factorial({OFF: 0.9, K1: 0.92}, replicates=7, blocks=1, points=0)
    made.lose(K1, 1)
    made.row(K1, 2).update(collapsed=True)
    made.row(K1, 3).update(end_reason="preempted", test_auc=None)  # the machine's doing
    rows = made.tables.trial_rows
    rows.append(made.row(K1, 4) | {"stage": "tune", "block": 500, "end_reason": "collapsed"})
    rows.append(made.row(K1, 4) | {"stage": "search", "block": 0, "end_reason": "diverged"})
    off, on = failure_risks(made.trials)
    assert (off.name, off.failed, off.n) == (OFF, 0, 7)
    assert (on.failed, on.n, on.by_stage) == (3, 7, (("tune", 1, 1), ("confirm", 2, 6)))
    oracle = stats.binomtest(3, 7).proportion_ci(method="wilson")
    assert (on.ci_low, on.ci_high) == pytest.approx((oracle.low, oracle.high))
    assert risk_of(made.trials, (OFF, K1), name="both").n == 14
    with pytest.raises(ValueError, match="No run of"):
        risk_of(made.trials, ("koleo=maybe",), name="none")


def test_the_risk_difference_is_newcombes() -> None:
    """Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80."""
    difference = risk_difference(Risk("a", 48, 80, (), 0, 1), Risk("b", 56, 70, (), 0, 1))
    assert difference.estimate == pytest.approx(0.2)
    assert (difference.ci_low, difference.ci_high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_every_supporting_section_is_there_with_few_columns(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=7, blocks=1, points=0)
    made.lose(K4, 2)
    sections = support(findings(made.trials, made.curves, made.stored), made.trials)
    assert [section.heading for section in sections] == [
        "Cells",
        "What changes in the embeddings",
        "Failure risk",
        "Relative cost",
    ]
    assert max(len(table.header) for section in sections for table in section.tables) <= 5
    text = " ".join(line for section in sections for line in section.paragraphs)
    both = "(not measured for KoLeo off; KoLeo, K=1)"
    assert f"neighbours in the same micro-batch {both}; cosine of naive and full-batch gradient {both}." in text
    assert text.count("cosine of naive") == 1
    assert "test AUC: 1 failed run counted as .5." in text
    assert "test recall at 1: 1 failed run counted as 0, the worst there is." in text
    own = next(row for row in sections[0].tables[0].rows if row[0] == K4)
    mean = (np.nansum(made.values(K4)) + 0.5) / 7
    assert own[1:4:2] == [f"{mean:.4f}".removeprefix("0"), "7"]
    assert "With KoLeo, K=1 + KoLeo, K=4, 1 of 14 runs failed; with KoLeo off, 0 of 7: a difference of +" in text


def test_where_no_run_failed_nothing_is_said_of_risks(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=4)
    sections = support(findings(made.trials, made.curves, made.stored), made.trials)
    assert [section.heading for section in sections] == ["Cells", "What changes in the embeddings", "Relative cost"]
    outcomes = [table.header[0] for table in sections[0].tables]
    assert outcomes == ["test AUC", "test recall at 1"]
    assert {row[3] for row in sections[0].tables[0].rows} == {"4"}
