from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.figures.embeddings.pca_umap_tsne import (
    NUMBERED,
    ProjectionData,
    ProjectionPanel,
    draw_projection,
    projection_data,
    train_projection_data,
)
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.stats.reading.pairing import Place
from tests.sweeps.analysis.invented.views import NAMES, of
from tests.sweeps.analysis.svg_texts import texts

Row = dict[str, Any]


def test_planes_hold_every_point_and_ellipse(viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = projection_data(viewed_cells, "test", "pca", block=Place(1, 2))
    assert (data.method, data.class_names) == ("PCA", NAMES)
    for panel, trial in zip(data.panels, ("t00002", "t00003"), strict=True):
        assert list(panel.points) == [(row["x"], row["y"], row["class_name"]) for row in of(stored[trial], "pca")]
        ellipses = of(stored[trial], "ellipse")
        keys = ("x", "y", "width", "height", "angle", "class_name")
        assert list(panel.ellipses) == [tuple(row[key] for key in keys) for row in ellipses]
        area = f"{np.mean([row['value'] for row in ellipses]):.3f}".lstrip("0")
        share = f"{sum(row['value'] for row in of(stored[trial], 'pca_axis')):.2f}".lstrip("0")
        assert panel.title.endswith(f": {share} of the variance; mean ellipse area {area}")
    assert data.caption == "n = 120 of 120 images, 10 classes, fitted to all; block 2, seed 2; digits, test split"
    umap = projection_data(viewed_cells, "test", "umap", block=Place(1, 1))
    assert umap.caption == (
        "n = 120 of 120 images, 10 classes, UMAP of standardised embeddings; block 1, seed 1; digits, test split"
    )
    assert all(panel.ellipses == () for panel in umap.panels)


def test_training_images_stand_beside_test_images(many_arms: Any, many: dict[str, Row]) -> None:
    shown = stored_views.shown(many_arms.views, many_arms.trials, list(many), dataset="digits")
    assert shown is not None
    data = train_projection_data(shown, "umap", block=Place(1, 1))
    assert [panel.title for panel in data.panels[:2]] == [f"{shown.cells[0]}\ntrain", f"{shown.cells[0]}\ntest"]
    trial = shown.trials[shown.cells[0]][Place(1, 1)]
    stored = [r for r in many_arms.view_rows if (r["trial_id"], r["split"], r["view"]) == (trial, "train", "umap")]
    assert data.panels[0].points == tuple((r["x"], r["y"], r["class_name"]) for r in stored)
    assert data.caption.startswith("n = 40 training and 40 test images, 20 classes, 4 of 11 cells")


@pytest.mark.parametrize("method", ["PCA", "UMAP"])
@pytest.mark.parametrize("alike", [1, 2, 4])
def test_no_name_of_a_class_overprints_another(method: str, alike: int) -> None:
    """Classes in pairs about one middle, and about all of them."""
    names = ("automobile", "truck", "horse", "deer", "airplane", "ship", "frog", "dog")
    rng = np.random.default_rng(1)
    points = tuple(
        (float(x + i // alike), float(y + i // alike % 2), name)
        for i, name in enumerate(names)
        for x, y in rng.normal(0, 0.2, (40, 2))
    )
    ellipses = tuple((float(i // alike), float(i // alike % 2), 0.4, 0.3, 0.0, name) for i, name in enumerate(names))
    panel = ProjectionPanel("koleo=on", points, ellipses if method == "PCA" else ())
    figure = draw_projection(ProjectionData(method, (panel,), names, "caption"))
    svg_of(figure)  # lays out
    (axes,) = figure.axes
    boxes = [Text.get_window_extent(label) for label in axes.texts]
    assert len(boxes) == len(names)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_many_classes_are_numbered_and_long_names_shortened() -> None:
    names = tuple(f"a plankter with a long name, kind {i}" for i in range(20))
    points = tuple((float(i), float(i % 3), name) for i, name in enumerate(names))
    panel = ProjectionPanel("koleo=on", points, ())
    plane = texts(svg_of(draw_projection(ProjectionData("UMAP", (panel,), names, "n = 20"))))
    assert {str(i) for i in range(1, 21)} <= set(plane.split("\n"))
    assert f"20{NUMBERED}a plankter …e, kind 19" in plane
