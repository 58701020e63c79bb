import math
from dataclasses import replace

import numpy as np
import pytest

from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings.spectra import draw_spectra, spectrum_data
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.wording import cell_name
from tests.sweeps.analysis.invented.views import of
from tests.sweeps.analysis.svg_texts import texts


def test_spectra_are_shares_and_their_mean(viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = spectrum_data(viewed_cells, "test")
    for runs, mean, trials in zip(data.runs, data.means, (("t00000", "t00002"), ("t00001", "t00003")), strict=True):
        for run, trial in zip(runs, trials, strict=True):
            values = np.array([row["value"] for row in of(stored[trial], "spectrum")])
            np.testing.assert_allclose(run, values / values.sum())
        np.testing.assert_allclose(mean, np.mean(runs, axis=0))
        assert sum(mean) == pytest.approx(1)
    assert "; 2 runs per cell; " in data.caption


@pytest.mark.parametrize("tail", [0.0, math.nan])
@pytest.mark.filterwarnings("error")
def test_embeddings_with_dead_directions_are_drawn_with_names_on_the_page(tail: float, viewed_cells: Shown) -> None:
    whole = spectrum_data(viewed_cells, "test")
    dead = tuple(value if i < 4 else tail for i, value in enumerate(whole.means[0]))
    figure = draw_spectra(replace(whole, runs=((dead,), *whole.runs[1:]), means=(dead, *whole.means[1:])))
    named = texts(svg_of(figure))
    assert all(cell_name(cell) in named for cell in whole.cells)
