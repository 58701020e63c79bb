"""Failure risk against an oracle, and the sections beside the effects."""

from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from sweeps.analysis.report.support_sections import support
from sweeps.analysis.stats.failures import Risk, failure_risks, risk_difference, risk_of
from sweeps.analysis.stats.findings import findings
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
E1 = Contrast(code="E1", estimand="koleo", label="KoLeo", weights={OFF: -1.0, K1: 0.5, K4: 0.5})


def test_risks_count_what_training_ended_and_collapses_told_in_confirm(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92})
    tables.row(K1, 1).update(end_reason="diverged", test_auc=None)
    tables.row(K1, 2).update(collapsed=True)
    tables.row(K1, 3).update(end_reason="preempted", test_auc=None)  # the machine's doing
    tables.trial_rows.append(tables.row(K1, 4) | {"stage": "tune", "block": 0, "end_reason": "collapsed"})
    tables.trial_rows.append(tables.row(K1, 4) | {"stage": "search", "block": 0, "end_reason": "diverged"})
    off, on = failure_risks(tables.trials)
    assert (off.name, off.failed, off.n) == (OFF, 0, 7)
    assert (on.failed, on.n, on.by_stage) == (3, 7, (("tune", 1, 1), ("confirm", 2, 6)))
    oracle = stats.binomtest(3, 7).proportion_ci(method="wilson")
    assert (on.ci_low, on.ci_high) == pytest.approx((oracle.low, oracle.high))
    assert risk_of(tables.trials, (OFF, K1), name="both").n == 14
    with pytest.raises(ValueError, match="No run of"):
        risk_of(tables.trials, ("koleo=maybe",), name="none")


def test_the_risk_difference_is_newcombes() -> None:
    """Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80."""
    difference = risk_difference(Risk("a", 48, 80, (), 0, 1), Risk("b", 56, 70, (), 0, 1))
    assert difference.estimate == pytest.approx(0.2)
    assert (difference.ci_low, difference.ci_high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_every_supporting_section_is_there_with_few_columns(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    tables.row(K4, 2).update(end_reason="diverged", test_auc=None)
    sections = support(findings(tables.trials, tables.curves, [E1]), tables.trials)
    assert [section.heading for section in sections] == [
        "Cells",
        "What changes in the embeddings",
        "Failure risk",
        "Relative cost",
    ]
    assert max(len(table.header) for section in sections for table in section.tables) <= 5
    text = " ".join(line for section in sections for line in section.paragraphs)
    assert "same-class share of KoLeo's neighbours (E1 koleo: not measured in koleo=off)" in text
    assert f"Of {K1} + {K4} 1 of 14 runs failed, of {OFF} 0 of 7" in text


def test_where_no_run_failed_nothing_is_said_of_risks(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    sections = support(findings(tables.trials, tables.curves, [E1]), tables.trials)
    assert [section.heading for section in sections] == ["Cells", "What changes in the embeddings", "Relative cost"]
