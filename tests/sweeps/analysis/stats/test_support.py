"""Failure risk, mechanism, cell means, variance and cost, each against an oracle or by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sweeps.analysis.report.support_sections import support
from sweeps.analysis.stats.cells import anova, cell_means, cost_ratios, outcomes_of
from sweeps.analysis.stats.contrasts import cell_blocks
from sweeps.analysis.stats.effects import t_interval
from sweeps.analysis.stats.failures import Risk, failure_risks, risk_difference, risk_of
from sweeps.analysis.stats.findings import findings
from sweeps.analysis.stats.mechanism import mechanism_effects
from sweeps.analysis.stats.plan import Contrast

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


def test_mechanism_is_the_contrast_at_the_last_epoch_and_names_what_is_missing(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    rng = np.random.default_rng(0)
    for row in tables.curve_rows:
        row["val_effective_rank"] = float(rng.normal(20, 1)) if row["epoch"] == 5 else 0.0
    blocks = cell_blocks(tables.trials, E1)
    last = {r["trial_id"]: r["val_effective_rank"] for r in tables.curve_rows if r["epoch"] == 5}
    off, one, four = (np.array([last[tables.row(c, b)["trial_id"]] for b in range(1, 8)]) for c in (OFF, K1, K4))
    found = {effect.metric: effect for effect in mechanism_effects(tables.curves, blocks)}
    rank = found["val_effective_rank"].effect
    assert rank is not None
    expected = t_interval((one + four) / 2 - off)
    assert (rank.estimate, rank.ci_low, rank.n) == pytest.approx((expected.estimate, expected.ci_low, 7))
    assert found["koleo_nn_same_class_frac"].reason == f"not measured in {OFF}"
    assert found["nn_agreement"].reason == "not measured"
    lost = tables.row(K4, 3)["trial_id"]
    for row in tables.curve_rows:
        if row["trial_id"] == lost:
            row["val_effective_rank"] = None
    fewer = mechanism_effects(tables.curves, blocks)[0].effect
    assert fewer is not None
    assert fewer.n == 6


def test_variance_is_split_into_blocks_cells_and_residual_by_hand() -> None:
    values = np.random.default_rng(1).normal(0.9, 0.01, (3, 8))
    outcomes = {(f"cell={c}", b): float(values[c, b]) for c in range(3) for b in range(8)}
    block, cell, residual = anova(outcomes)
    assert [(s.name, s.df) for s in (block, cell, residual)] == [("block", 7), ("cell", 2), ("Residual", 14)]
    assert cell.mean_square == pytest.approx(8 * values.mean(axis=1).var(ddof=1))
    assert block.mean_square == pytest.approx(3 * values.mean(axis=0).var(ddof=1))
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    assert residual.mean_square == pytest.approx((left**2).sum() / 14)
    assert cell.f == pytest.approx(cell.mean_square / residual.mean_square)
    assert cell.p_value == pytest.approx(stats.f.sf(cell.f, 2, 14))
    assert (residual.f, residual.p_value) == (None, None)


def test_variance_of_crossed_factors_has_their_interaction_and_constants_have_none() -> None:
    rng = np.random.default_rng(2)
    cells = [f"koleo={a},accum_steps={k}" for a in ("off", "on") for k in (1, 4)]
    outcomes = {(cell, b): float(rng.normal(0.9, 0.01)) for cell in cells for b in range(7)}
    names = [source.name for source in anova(outcomes)]
    assert names == ["block", "accum_steps", "koleo", "accum_steps x koleo", "Residual"]
    assert anova({key: 0.9 + 0.01 * key[1] for key in outcomes}) == []
    assert anova({key: value for key, value in outcomes.items() if key[0] in cells[:2]}) == []


def test_means_and_costs_by_hand(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    for row in tables.trial_rows:
        row["wall_s"] = {OFF: 10.0, K1: 20.0, K4: 10.0 * row["block"]}[row["cell_id"]]
        row["gpu_s"] = 0.0
    tables.row(K4, 7)["end_reason"] = "oom"
    k1, k4 = cost_ratios(tables.trials, reference=OFF)
    assert (k1.cell_id, k1.n, k1.ratios["gpu_s"], k1.ratios["images_seen"]) == (K1, 7, None, 1.0)
    assert k1.ratios["wall_s"] == pytest.approx(2.0)
    assert k4.n == 6
    assert k4.ratios["wall_s"] == pytest.approx(720 ** (1 / 6))
    assert cost_ratios(tables.trials, reference="koleo=maybe") == []
    means = {m.cell_id: m for m in cell_means(outcomes_of([cell_blocks(tables.trials, E1)]))}
    values = [tables.row(K1, b)["test_auc"] for b in range(1, 8)]
    assert (means[K1].mean, means[K1].deviation, means[K1].n) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1), 7)
    )


def test_every_supporting_section_is_there_with_few_columns(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    sections = support(findings(tables.trials, tables.curves, [E1], tables.groups), tables.trials)
    assert [section.heading for section in sections] == [
        "Cells",
        "What changes in the embeddings",
        "Failure risk",
        "Relative cost",
    ]
    assert max(len(table.header) for section in sections for table in section.tables) <= 5
    text = " ".join(line for section in sections for line in section.paragraphs)
    assert "same-class share of KoLeo's neighbours (E1 koleo: not measured in koleo=off)" in text
    assert f"Of {K1} + {K4} 0 of 14 runs failed, of {OFF} 0 of 7" in text
