import numpy as np
import pytest

from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.embeddings.spectra import spectrum_data
from sweeps.analysis.figures.embeddings.stored_views import Shown
from tests.sweeps.analysis.invented.views import of


def test_spectra_are_shares_and_their_mean(viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = spectrum_data(viewed_cells, "test")
    for runs, mean, trials in zip(data.runs, data.means, (("t00000", "t00002"), ("t00001", "t00003")), strict=True):
        for run, trial in zip(runs, trials, strict=True):
            values = np.array([row["value"] for row in of(stored[trial], "spectrum")])
            np.testing.assert_allclose(run, values / values.sum())
        np.testing.assert_allclose(mean, np.mean(runs, axis=0))
        assert sum(mean) == pytest.approx(1)
    assert "; 2 runs per cell; " in data.caption
