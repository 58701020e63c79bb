"""What a cell's name says, and means and relative cost of cells by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.stats.costs import cost_ratios
from sweeps.analysis.stats.held_out import column_values, mean_of
from sweeps.analysis.stats.levels import levels_of

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_levels_of_a_label() -> None:
    assert levels_of("koleo=on,accum_steps=4") == {"koleo": "on", "accum_steps": "4"}
    assert levels_of("baseline") == {}


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
    mean = mean_of(column_values(tables.trials, "test_auc"), K1)
    assert mean is not None
    values = [tables.row(K1, b)["test_auc"] for b in range(1, 8)]
    assert (mean.mean, mean.deviation, mean.n) == pytest.approx((np.mean(values), np.std(values, ddof=1), 7))
