from typing import Any

import pyarrow.compute as pc
import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.plane import KOLEO_READING, draw_plane, plane_data, reading

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_plane_has_a_point_for_each_run_at_its_last_epoch(staged: Any) -> None:
    for row in staged.tables.curve_rows:
        if row["epoch"] < 5:
            row["val_effective_rank"] = -1.0
    data = plane_data(staged.tables.trials, staged.tables.curves, dataset="digits")
    assert data is not None
    assert sorted(data.points[ON4]) == [(pytest.approx(0.3), 25 + block / 4) for block in range(1, 8)]
    assert {cell: len(points) for cell, points in data.points.items()} == {
        OFF: 7,
        "koleo=off,accum_steps=4": 4,
        ON1: 7,
        ON4: 7,
        "koleo=on,accum_steps=4,accum_mode=cached": 4,
    }
    assert "effective rank" in svg_of(draw_plane(data))


def test_nothing_measured_nothing_shown(make_search: Any) -> None:
    tables = make_search()
    assert plane_data(tables.trials, tables.curves, dataset="digits") is None


def test_koleo_is_spoken_of_where_it_ran(staged: Any) -> None:
    trials = staged.tables.trials
    assert KOLEO_READING in reading(trials)
    assert KOLEO_READING not in reading(trials.filter(pc.invert(trials["koleo"])))
