"""Eleven cells with long names: they fit into the figures."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from sweeps.analysis.figures import labels as label_figures
from sweeps.analysis.figures import losses as loss_figures
from sweeps.analysis.figures import similarities
from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.figures.embeddings.distances import distance_data, draw_distances
from sweeps.analysis.figures.embeddings.pca_umap_tsne import draw_projection, projection_data
from sweeps.analysis.figures.embeddings.spectra import draw_spectra, spectrum_data
from sweeps.analysis.stats.description.curves import cells_of
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.analysis.stats.reading.stored_plan import StoredPlan

Row = dict[str, Any]


def cut_off(figure: Figure) -> list[str]:
    """Titles and names of axes that leave the page of a drawn figure."""
    figure.draw_without_rendering()
    wide, high = figure.get_size_inches() * figure.dpi
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label] if axes.get_visible() else []
    boxes = {text.get_text(): text.get_window_extent() for text in texts if text.get_text()}
    return [name for name, box in boxes.items() if min(box.x0, box.y0) < -1 or box.x1 > wide + 1 or box.y1 > high + 1]


@pytest.mark.slow
def test_names_of_eleven_cells_stay_on_the_page(many_arms: Any, many: dict[str, Row]) -> None:
    cells = cells_of(many_arms.trials, StoredPlan())
    shown = stored_views.shown(many_arms.views, many_arms.trials, cells, dataset="digits")
    assert shown is not None
    where = {"dataset": "digits"}
    losses = loss_figures.loss_data(many_arms.trials, many_arms.curves, cells, **where)
    similar = similarities.similarity_data(many_arms.trials, many_arms.curves, cells, **where)
    labels = label_figures.label_data(many_arms.evaluations, many_arms.trials, cells, split="unseen", **where)
    assert losses is not None
    assert similar is not None
    assert labels is not None
    for figure in (
        loss_figures.draw_losses(losses),
        similarities.draw_similarities(similar),
        label_figures.draw_labels(labels),
        draw_distances(distance_data(shown, "test")),
        draw_projection(projection_data(shown, "test", "umap", block=Place(1, 1))),
        draw_spectra(spectrum_data(shown, "test")),
    ):
        assert cut_off(figure) == []
        assert figure.get_size_inches()[0] == pytest.approx(4.4)
