from typing import Any

import pytest

from sweeps.analysis.figures import mechanism
from sweeps.analysis.figures.style import svg_of

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_plane_has_a_point_for_each_run_at_its_last_epoch(sweep: Any) -> None:
    for row in sweep.tables.curve_rows:
        if row["epoch"] < 5:
            row["val_effective_rank"] = -1.0
    data = mechanism.plane_data(sweep.tables.trials, sweep.tables.curves, dataset="digits")
    assert data is not None
    assert sorted(data.points[ON4]) == [(pytest.approx(0.3), 25 + block / 4) for block in range(1, 8)]
    assert {cell: len(points) for cell, points in data.points.items()} == {
        OFF: 7,
        "koleo=off,accum_steps=4": 4,
        ON1: 7,
        ON4: 7,
        "koleo=on,accum_steps=4,accum_mode=cached": 4,
    }


def test_gap_is_told_per_arm_and_mode_where_it_was_measured(sweep: Any) -> None:
    data = mechanism.gap_data(sweep.tables.trials, sweep.tables.curves, dataset="digits")
    assert data is not None
    assert data.ks == (4,)
    cosines = data.values["micro_full_grad_cos"]
    assert set(cosines) == {"koleo=on", "koleo=on,accum_mode=cached"}
    assert sorted(cosines["koleo=on"]) == [(4, pytest.approx(0.6 + 0.01 * block)) for block in range(1, 8)]
    svg = svg_of(mechanism.draw_gap(data))
    assert "full-batch gradient" in svg
    assert "koleo=on,accum_mode=cached" in svg


def test_cost_is_in_gpu_seconds_where_there_is_a_gpu(sweep: Any) -> None:
    on_cpu = mechanism.cost_data(sweep.tables.trials, dataset="digits")
    assert on_cpu is not None
    assert (on_cpu.x, on_cpu.points[OFF][0][0]) == ("wall seconds (no GPU)", 4.1)
    for row in sweep.tables.trial_rows:
        row["gpu_s"] = 2.5
    on_gpu = mechanism.cost_data(sweep.tables.trials, dataset="digits")
    assert on_gpu is not None
    assert (on_gpu.x, on_gpu.points[OFF][0][0]) == ("GPU-seconds", 2.5)
    assert "GPU-seconds" in svg_of(mechanism.draw_scatter(on_gpu))


def test_nothing_measured_nothing_shown(make_search: Any) -> None:
    tables = make_search()
    assert mechanism.plane_data(tables.trials, tables.curves, dataset="digits") is None
    assert mechanism.gap_data(tables.trials, tables.curves, dataset="digits") is None
    assert mechanism.cost_data(tables.trials, dataset="digits") is None
