from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.paired import SIDES_READING, draw_paired, paired_data, reading
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.reading.contrasts import cell_runs
from sweeps.analysis.stats.reading.stored_plan import Contrast
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def test_old_drop_in_blocks_are_the_lines(make_confirm: Make) -> None:
    runs = cell_runs(make_confirm().trials, CONTRAST)
    data = paired_data(runs, runs.effect(), CONTRAST, looks={}, dataset="digits", origin="drop-in")
    assert np.mean(data.differences) == pytest.approx(data.effect.estimate)
    assert np.subtract(data.columns[1], data.columns[0]).tolist() == list(data.differences)
    assert data.labels == ("koleo=off", "koleo=on")
    assert data.caption == "7 seeds; digits; stage confirm; drop-in"


def test_lines_are_replicates_and_columns_are_cells(make_factorial: Make) -> None:
    made = make_factorial(replicates=6, blocks=3)
    contrast = made.stored.contrasts[0]
    runs = cell_runs(made.trials.filter(made.trials["stage"].to_numpy(zero_copy_only=False) == "confirm"), contrast)
    data = paired_data(runs, runs.effect(), contrast, looks={}, dataset="digits", origin="best of tune")
    assert (len(data.columns), data.controls) == (4, 2)
    for label, column in zip(data.labels, data.columns, strict=True):
        assert column == pytest.approx(made.values(label).mean(axis=1))
    assert data.caption == "6 tunings x 3 seeds; digits; stage confirm; best of tune"
    assert reading(data).startswith("Each line is one replicate")
    assert SIDES_READING not in reading(data)
    words = texts(svg_of(draw_paired(data)))
    assert interval(data.effect) in words
    assert "replicate" in words
