from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.figures.embeddings.distances import DISTANCES, DistanceData, distance_data, draw_distances
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.results.store import Store, read
from tests.sweeps.analysis.invented.views import NAMES, of
from tests.sweeps.analysis.svg_texts import texts

CELLS = ("koleo=off", "koleo=on")
Row = dict[str, Any]


def test_distances_are_means_over_blocks(viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = distance_data(viewed_cells, "test")
    assert data.class_names == NAMES
    for matrix, trials in zip(data.matrices, (("t00000", "t00002"), ("t00001", "t00003")), strict=True):
        for a in range(10):
            for b in range(10):
                values = [
                    row["value"]
                    for trial in trials
                    for row in of(stored[trial], "class_distance")
                    if (row["class_id"], row["other_class_id"]) == (a, b)
                ]
                assert len(values) == 2
                assert matrix[a][b] == pytest.approx(np.mean(values))
    assert data.caption == (
        "n = 120 images, 10 classes shown, mean over 2 runs; digits, test split; cosine distance, "
        "computed in embedding space"
    )


def test_a_distance_that_no_pair_has_is_left_blank(viewed: Path, stored: dict[str, ViewTables]) -> None:
    store = Store.open(viewed)
    for trial in ("t00000", "t00002"):
        rows = [row for row in of(stored[trial], "class_distance") if row["item"] == row["rank"] == 3]
        store.write("views", "confirm", trial, 1, [{**row, "value": float("nan")} for row in rows])
    found = stored_views.shown(read(viewed, "views"), read(viewed, "trials"), CELLS, dataset="digits")
    assert found is not None
    data = distance_data(found, "test")
    assert data.matrices[0][3][3] is None
    assert data.matrices[1][3][3] is not None
    assert "nan" not in texts(svg_of(draw_distances(data)))


def test_each_metric_has_its_own_matrix(many_arms: Any, many: dict[str, Row]) -> None:
    shown = stored_views.shown(many_arms.views, many_arms.trials, list(many), dataset="digits")
    assert shown is not None
    corners = {view: distance_data(shown, "unseen", view).matrices[0][0][1] for view in DISTANCES}
    assert corners == {
        "class_distance": pytest.approx(0.9),
        "class_distance_l2": pytest.approx(1.26),
        "class_distance_angular": pytest.approx(1.35),
    }
    caption = distance_data(shown, "unseen", "class_distance_l2").caption
    assert "unseen classes; Euclidean distance" in caption


def test_of_many_classes_long_names_are_shortened_and_numbers_left_out() -> None:
    names = tuple(f"a plankter with a long name, kind {i}" for i in range(20))
    matrix = tuple(tuple(1.0 for _ in names) for _ in names)
    drawn = texts(svg_of(draw_distances(DistanceData(("on",), names, (matrix,), "n = 20"))))
    assert "a plank…kind 7" in drawn
    assert "1.00" not in drawn
