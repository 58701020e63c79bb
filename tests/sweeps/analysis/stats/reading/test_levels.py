"""What a cell's name says, and means and relative cost of cells by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.stats.description.costs import cost_ratios
from sweeps.analysis.stats.description.held_out import column_values, mean_of, unit_of
from sweeps.analysis.stats.reading.levels import levels_of

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_levels_of_a_label() -> None:
    assert levels_of("koleo=on,accum_steps=4") == {"koleo": "on", "accum_steps": "4"}
    assert levels_of("baseline") == {}


def test_means_and_costs_by_hand(make_factorial: Make) -> None:
    made = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91}, replicates=7, blocks=1, points=0)
    for row in made.tables.trial_rows:
        row["wall_s"] = {OFF: 10.0, K1: 20.0, K4: 10.0 * row["replicate"]}[row["cell_id"]]
        row["gpu_s"] = 0.0
    made.row(K4, 7)["end_reason"] = "oom"
    k1, k4 = cost_ratios(made.trials, reference=OFF)
    assert (k1.cell_id, k1.n, k1.ratios["gpu_s"], k1.ratios["images_seen"]) == (K1, 7, None, 1.0)
    assert k1.ratios["wall_s"] == pytest.approx(2.0)
    assert k4.n == 6
    assert k4.ratios["wall_s"] == pytest.approx(720 ** (1 / 6))
    assert cost_ratios(made.trials, reference="koleo=maybe") == []


def test_means_are_over_replicates_or_over_seeds_of_a_single_one(make_factorial: Make) -> None:
    for replicates, blocks, unit in ((5, 3, "replicates"), (1, 6, "seeds at one tuning")):
        made = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91}, replicates=replicates, blocks=blocks)
        mean = mean_of(column_values(made.trials, "test_auc"), K1)
        values = made.values(K1).mean(axis=1) if replicates > 1 else made.values(K1)[0]
        assert mean is not None
        assert (mean.mean, mean.deviation, mean.n) == pytest.approx((values.mean(), values.std(ddof=1), values.size))
        assert unit_of(made.trials) == unit
