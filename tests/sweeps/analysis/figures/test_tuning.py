import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from opda.nonparametric import EmpiricalDistribution

from sweeps.analysis.figures import tuning
from sweeps.analysis.figures.drawing.style import svg_of
from tests.sweeps.analysis.svg_texts import texts

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def of_cells(**values: list[float]) -> pa.Table:
    """A tune stage with these validation AUCs by cell."""
    return pa.Table.from_pylist(
        [
            {
                "stage": "tune",
                "trial_id": f"t{cell}{i:02}",
                "cell_id": cell,
                "final_val_auc": value,
                "replicate": None,
                "origin": "designed",
                "tuned_by": None,
            }
            for cell, own in values.items()
            for i, value in enumerate(own)
        ]
    )


def test_tuning_curve_is_the_median_of_the_best_of_n(staged: Any) -> None:
    data = tuning.tuning_data(staged.tables.trials, dataset="digits")
    assert data is not None
    assert [curve.cell for curve in data.curves] == [OFF, ON1, ON4]
    for curve in data.curves:
        values = [
            0.5 if row["final_val_auc"] is None else row["final_val_auc"] for row in staged.rows("tune", curve.cell)
        ]
        # The best of n is below y with probability F(y)^n, so its median is F's quantile at .5^(1/n).
        for n, median in enumerate(curve.means, start=1):
            assert median == pytest.approx(np.quantile(values, 0.5 ** (1 / n), method="inverted_cdf"))


def test_bands_are_those_of_the_library_and_hold_the_medians() -> None:
    values = np.random.default_rng(2).uniform(0.8, 0.95, 16).tolist()
    data = tuning.tuning_data(of_cells(a=values), dataset="digits")
    assert data is not None
    (curve,) = data.curves
    rng = np.random.default_rng(tuning.BAND_SEED)
    low, _, high = EmpiricalDistribution.confidence_bands(
        values, 0.95, a=0.0, b=1.0, method="ld_equal_tailed", generator=rng, n_jobs=1
    )
    ns = np.arange(1, 17)
    # A low distribution function is one of high values.
    assert curve.band == (tuple(high.quantile_tuning_curve(ns)), tuple(low.quantile_tuning_curve(ns)))
    assert all(a <= b <= c for a, b, c in zip(curve.band[0], curve.means, curve.band[1], strict=True))
    assert "95 % band, all n at once" in svg_of(tuning.draw_tuning(data))


def test_cells_of_few_trials_have_no_band_and_nothing_is_said_of_one() -> None:
    rng = np.random.default_rng(3)
    few, many = rng.uniform(0.8, 0.95, 15).tolist(), rng.uniform(0.8, 0.95, 16).tolist()
    for cells, banded in (({"a": few, "b": few}, []), ({"a": few, "b": many}, ["b"])):
        data = tuning.tuning_data(of_cells(**cells), dataset="digits")
        assert data is not None
        assert [curve.cell for curve in data.curves if curve.band is not None] == banded
        svg = svg_of(tuning.draw_tuning(data))
        assert len(re.findall(r'id="FillBetween\w*"', svg)) == len(banded)
        for said in (texts(svg), tuning.reading(data)):
            assert ("band" in said.lower()) == bool(banded)


@pytest.mark.slow
def test_bands_cover_the_true_curve() -> None:
    """Uniform scores: the median best of n is .5^(1/n). 200 sets of 16, all n at once; 95 % less 2.6 SE."""
    rng, covered = np.random.default_rng(5), 0
    true = 0.5 ** (1 / np.arange(1, 17))
    for _ in range(200):
        data = tuning.tuning_data(of_cells(a=rng.uniform(size=16).tolist()), dataset="none")
        assert data is not None
        (curve,) = data.curves
        assert curve.band is not None
        lows, highs = np.array(curve.band)
        covered += bool(np.all((lows <= true) & (true <= highs)))
    assert covered / 200 >= 0.91


def test_replicates_have_a_line_each_and_thick_ones_are_their_mean(make_factorial: Any) -> None:
    made = make_factorial(replicates=4, points=5)
    data = tuning.tuning_data(made.trials, dataset="digits")
    assert data is not None
    for curve in data.curves:
        assert (len(curve.replicates), curve.band) == (4, None)
        assert curve.means == pytest.approx(np.mean(curve.replicates, axis=0))
    assert data.caption == "n = 5 trials per cell in each of 4 replicates; digits; stage tune; exploratory"
    assert "Thin lines are replicates" in tuning.reading(data)
    svg_of(tuning.draw_tuning(data))


def test_proposed_trials_are_read_in_their_order(make_factorial: Any) -> None:
    made = make_factorial(replicates=2, points=6, tuner="optuna", outcome="recall_at_1")
    data = tuning.tuning_data(made.trials, dataset="digits")
    assert data is not None
    assert (data.measure, data.sampled) == ("final_val_recall_at_1", True)
    rows = [r for r in made.tables.trial_rows if r["stage"] == "tune" and r["cell_id"] == data.curves[0].cell]
    values = [r["final_val_recall_at_1"] for r in rows if r["replicate"] == 1]
    assert data.curves[0].replicates[0] == pytest.approx(np.maximum.accumulate(values))
    assert tuning.reading(data).startswith("The best of the first n trials")


def test_no_tune_stage_no_figure(make_confirm: Any) -> None:
    assert tuning.tuning_data(make_confirm().trials, dataset="digits") is None


def test_the_drawing_names_the_cells(staged: Any) -> None:
    data = tuning.tuning_data(staged.tables.trials, dataset="digits")
    assert data is not None
    svg = svg_of(tuning.draw_tuning(data))
    for text in ("the other cells", "KoLeo, K=4", "trials (n)"):
        assert text in svg
