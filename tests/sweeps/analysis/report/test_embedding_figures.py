from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings import neighbours, stored_views
from sweeps.analysis.figures.embeddings.neighbours import neighbour_sheet
from sweeps.analysis.figures.embeddings.pca_umap_tsne import (
    draw_projection,
    projection_data,
)
from sweeps.analysis.figures.embeddings.sheets import draw_sheet
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.report import embedding_figures
from sweeps.analysis.report.compose import render_sweep
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.analysis.wording import cell_name
from sweeps.results.store import read
from tests.sweeps.analysis.invented.views import NAMES
from tests.sweeps.analysis.svg_texts import texts

CELLS = ("koleo=off", "koleo=on")
FIRST = ("loss=softmax", "loss=arcface")
Row = dict[str, Any]


def test_cells_without_a_common_block_have_averages_only(viewed: Path) -> None:
    trials = read(viewed, "trials")
    kept = [row for row in trials.to_pylist() if (row["cell_id"], row["block"]) in {(CELLS[0], 1), (CELLS[1], 2)}]
    found = stored_views.shown(
        read(viewed, "views"), pa.Table.from_pylist(kept, schema=trials.schema), CELLS, dataset="digits"
    )
    assert found is not None
    assert found.block is None
    names = [picture.name for picture in embedding_figures.pictures(found, read(viewed, "eval_groups"))]
    assert names == ["distances-test", "spectra-test"]


def test_a_view_that_is_missing_is_told_with_its_reason(viewed: Path) -> None:
    trials = read(viewed, "trials")
    assert embedding_figures.missing(trials) == []
    why = "RuntimeError: no locator available; caching is off (numba)"
    told = [f"umap (test): {why}; spectrum (unseen): OSError: no room", f"umap (test): {why}", None]
    told.append("neighbours of grey copies (test): OSError: no room; tsne (train): OSError: no room")
    at = trials.column_names.index("views_failed")
    lost = trials.set_column(at, trials.field(at), pa.array(told, pa.string()))
    assert embedding_figures.missing(lost) == [
        f"Missing: UMAP, test split. It could not be computed in 2 of 4 runs ({why}).",
        "Missing: spectrum, unseen classes. It could not be computed in 1 of 4 runs (OSError: no room).",
        "Missing: nearest neighbours of grey queries, test split. It could not be computed in 1 of 4 runs "
        "(OSError: no room).",
        "Missing: t-SNE, training images. It could not be computed in 1 of 4 runs (OSError: no room).",
    ]


@pytest.mark.slow
def test_all_cells_have_planes_and_four_have_sheets(many_arms: Any, many: dict[str, Row]) -> None:
    shown = stored_views.shown(many_arms.views, many_arms.trials, list(many), dataset="digits", first=FIRST)
    assert shown is not None
    assert shown.cells == tuple(many)
    assert shown.sheet_cells == (*FIRST, *list(many)[:2])
    names = [picture.name for picture in embedding_figures.pictures(shown, many_arms.groups)]
    assert sum(name.startswith("images-test") for name in names) == 4
    assert {"distances-unseen", "distances-test", "umap-train", "tsne-train"} <= set(names)
    grey = names.index("neighbours-grey-test-1")
    assert names[grey - 1] == "neighbours-test-1"
    assert embedding_figures.chosen(shown).endswith(
        f"those of the first contrasts: {'; '.join(map(cell_name, shown.sheet_cells))}."
    )
    few = stored_views.shown(many_arms.views, many_arms.trials, list(many)[:4], dataset="digits", first=FIRST)
    assert few is not None
    assert few.sheet_cells == few.cells


@pytest.mark.slow
def test_drawings_say_what_they_show_and_are_the_same_bytes_each_time(viewed: Path, viewed_cells: Shown) -> None:
    groups = read(viewed, "eval_groups")
    first = {one.name: svg_of(one.drawn()) for one in embedding_figures.pictures(viewed_cells, groups)}
    assert list(first) == [
        "distances-test",
        "spectra-test",
        "micro-batches",
        "pca-test",
        "umap-test",
        "images-test-1",
        "neighbours-test-1",
        "images-test-2",
        "neighbours-test-2",
    ]
    for name, svg in first.items():
        words = " ".join(texts(svg).split())
        assert any(n in words for n in ("n = 120 ", "n = 8 queries", "n = 64 images")), name
        assert "digits, test split" in words, name
        assert "KoLeo" in words, name
    again = draw_sheet(neighbour_sheet(viewed_cells, groups, "test", "koleo=on", block=Place(1, 1)))
    assert first["neighbours-test-2"] == svg_of(again)
    assert first["pca-test"] == svg_of(draw_projection(projection_data(viewed_cells, "test", "pca", block=Place(1, 1))))
    for name in ("pca-test", "umap-test", "distances-test"):
        assert set(NAMES) <= set(texts(first[name]).split("\n"))


@pytest.mark.slow
def test_the_report_shows_them_where_the_store_has_them(
    make_confirm: Callable[..., Any], plan: dict[str, Any], viewed: Path, tmp_path: Path
) -> None:
    page = render_sweep(viewed).read_text(encoding="utf-8")
    assert "<h2>Embeddings</h2>" in page
    assert "data:image/png;base64," in page
    assert neighbours.READINGS["neighbours"].split("; ")[0] in page
    assert (viewed / "figures" / "images-test-2.svg").is_file()
    assert "(figures/pca-test.svg)" in (viewed / "report.md").read_text(encoding="utf-8")
    without = render_sweep(make_confirm(blocks=2).write(tmp_path / "without", plan=plan))
    assert "<h2>Embeddings</h2>" not in without.read_text(encoding="utf-8")
