import numpy as np
import pytest

from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings.micro_batches import (
    BATCH,
    draw_micro_batches,
    micro_batch_data,
    nearest_within,
)
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.stats.reading.pairing import Place
from tests.sweeps.analysis.invented.views import of
from tests.sweeps.analysis.svg_texts import texts


def test_neighbours_are_the_nearest_of_the_own_micro_batch() -> None:
    points = np.array([(0, 0), (3, 0), (1, 0), (9, 0), (2.2, 0), (9, 1)])
    assert nearest_within(points, 1).tolist() == [2, 4, 0, 5, 1, 3]
    assert nearest_within(points, 2).tolist() == [2, 2, 0, 5, 3, 3]
    assert nearest_within(points, 3).tolist() == [1, 0, 3, 2, 5, 4]


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_the_batch_is_the_first_stored_points_of_a_run_with_koleo(
    viewed_cells: Shown, stored: dict[str, ViewTables], k: int
) -> None:
    data = micro_batch_data(viewed_cells, "test", block=Place(1, 2))
    assert data is not None
    rows = of(stored["t00003"], "pca")[:BATCH]
    assert data.points == tuple((row["x"], row["y"]) for row in rows)
    for i, (x, y) in enumerate(data.points):
        size = BATCH // k
        others = [j for j in range(i // size * size, i // size * size + size) if j != i]
        nearest = min(others, key=lambda j: (data.points[j][0] - x) ** 2 + (data.points[j][1] - y) ** 2)
        assert data.neighbours[k][i] == nearest
    assert data.caption.startswith("n = 64 images; koleo=on, block 2; digits, test split")


def test_fewer_see_their_neighbour_as_k_grows_and_the_figure_counts_them(viewed_cells: Shown) -> None:
    data = micro_batch_data(viewed_cells, "test", block=Place(1, 1))
    assert data is not None
    counts = [sum(data.seen(k)) for k in data.neighbours]
    assert counts[0] == BATCH
    assert counts == sorted(counts, reverse=True)
    words = texts(svg_of(draw_micro_batches(data)))
    for k, count in zip(data.neighbours, counts, strict=True):
        assert f"K={k}: {count} of 64 see it" in words
