from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from opda.nonparametric import EmpiricalDistribution

from sweeps.analysis.figures import budget, tuning
from sweeps.analysis.figures.style import svg_of

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def tuned(sweep: Any, cell: str) -> list[dict[str, Any]]:
    return [row for row in sweep.tables.trial_rows if (row["stage"], row["cell_id"]) == ("tune", cell)]


def test_isolation_has_a_panel_for_each_setting_that_was_tuned(sweep: Any) -> None:
    data = tuning.isolation_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    assert [(panel.setting, panel.log) for panel in data.panels] == [
        ("lr", True),
        ("koleo_weight", True),
        ("margin", False),
    ]
    lr, weight, _ = data.panels
    assert set(lr.points[OFF]) == {(row["lr"], row["final_val_auc"]) for row in tuned(sweep, OFF)}
    assert OFF not in weight.points
    best = max(tuned(sweep, ON1), key=lambda row: row["final_val_auc"])
    assert lr.chosen[ON1] == (best["lr"], best["final_val_auc"])
    (lost,) = (row for row in tuned(sweep, ON4) if row["final_val_auc"] is None)
    assert (lr.lost, len(lr.points[ON4])) == ((lost["lr"],), 7)
    assert data.caption == "n = 8 trials per cell; digits; stage tune; 1 without an outcome"


def test_dose_is_the_change_at_the_same_point(sweep: Any) -> None:
    data = tuning.dose_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    off = {row["point"]: row["final_val_auc"] for row in tuned(sweep, OFF)}
    for cell in (ON1, ON4):
        expected = [
            (row["koleo_weight"], row["final_val_auc"] - off[row["point"]])
            for row in tuned(sweep, cell)
            if row["final_val_auc"] is not None
        ]
        assert data.points[cell] == tuple(sorted(expected))
    assert data.caption == "n = 7 to 8 pairs per cell; digits; stage tune; exploratory"


def test_dose_pairs_cells_at_the_same_k_where_both_arms_have_it(sweep: Any) -> None:
    for row in [dict(row) for row in tuned(sweep, OFF)]:
        extra = {"cell_id": "koleo=off,accum_steps=4", "final_val_auc": 0.5, "trial_id": f"x{row['point']}"}
        sweep.tables.trial_rows.append(row | extra)
    data = tuning.dose_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    expected = {row["final_val_auc"] - 0.5 for row in tuned(sweep, ON4) if row["final_val_auc"] is not None}
    assert {change for _, change in data.points[ON4]} == expected
    assert max(abs(change) for _, change in data.points[ON1]) < 0.1


def test_tuning_curve_is_the_median_of_the_best_of_n(sweep: Any) -> None:
    data = budget.tuning_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    assert [curve.cell for curve in data.curves] == [OFF, ON1, ON4]
    for curve in data.curves:
        values = [0.5 if row["final_val_auc"] is None else row["final_val_auc"] for row in tuned(sweep, curve.cell)]
        # The best of n is below y with probability F(y)^n, so its median is F's quantile at .5^(1/n).
        for n, median in enumerate(curve.medians, start=1):
            assert median == pytest.approx(np.quantile(values, 0.5 ** (1 / n), method="inverted_cdf"))
        assert all(a <= b <= c for a, b, c in zip(curve.lows, curve.medians, curve.highs, strict=True))


def test_bands_are_those_of_the_library(sweep: Any) -> None:
    data = budget.tuning_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    values = [row["final_val_auc"] for row in tuned(sweep, OFF)]
    rng = np.random.default_rng(budget.BAND_SEED)
    low, _, high = EmpiricalDistribution.confidence_bands(
        values, 0.95, a=0.0, b=1.0, method="ld_equal_tailed", generator=rng, n_jobs=1
    )
    # A low distribution function is one of high values.
    assert data.curves[0].lows == tuple(high.quantile_tuning_curve(np.arange(1, 9)))
    assert data.curves[0].highs == tuple(low.quantile_tuning_curve(np.arange(1, 9)))


@pytest.mark.slow
def test_bands_cover_the_true_curve() -> None:
    """Uniform scores: the median best of n is .5^(1/n). 200 sets of 8, all n at once; 95 % less 2.6 standard errors."""
    rng, covered = np.random.default_rng(5), 0
    true = 0.5 ** (1 / np.arange(1, 9))
    for _ in range(200):
        rows = [
            {"stage": "tune", "trial_id": f"t{i}", "cell_id": "a", "final_val_auc": float(value)}
            for i, value in enumerate(rng.uniform(size=8))
        ]
        data = budget.tuning_data(pa.Table.from_pylist(rows), dataset="none")
        assert data is not None
        (curve,) = data.curves
        covered += bool(np.all((np.array(curve.lows) <= true) & (true <= np.array(curve.highs))))
    assert covered / 200 >= 0.91


def test_no_tune_stage_no_figures(make_confirm: Any) -> None:
    trials = make_confirm().trials
    assert tuning.isolation_data(trials, dataset="digits") is None
    assert tuning.dose_data(trials, dataset="digits") is None
    assert budget.tuning_data(trials, dataset="digits") is None


def test_drawings_name_cells_and_settings(sweep: Any) -> None:
    trials = sweep.tables.trials
    isolation, dose, curves = (
        svg_of(draw(compute(trials, dataset="digits")))  # type: ignore[operator]
        for compute, draw in (
            (tuning.isolation_data, tuning.draw_isolation),
            (tuning.dose_data, tuning.draw_dose),
            (budget.tuning_data, budget.draw_tuning),
        )
    )
    for text in ("koleo weight", "margin", "best of its cell", "no outcome", ON4):
        assert text in isolation
    assert "change in validation AUC" in dose
    assert f">{OFF}<" not in dose
    for text in ("95 % band, all n at once", "koleo=on, accum_steps=4", "trials (n)"):
        assert text in curves
