"""Figures of embeddings: what is shown is what is stored."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from embedding_core.data.image_sets import ImageSet, load
from embedding_core.views.sampling import SHOWN_QUERIES
from embedding_core.views.view_tables import SHOWN_NEIGHBOURS, ViewTables, compute_views
from sweeps.analysis.figures import sheet_data, sheets, view_data
from sweeps.analysis.figures import views as view_figures
from sweeps.analysis.figures.style import svg_of
from sweeps.analysis.figures.view_data import Shown
from sweeps.analysis.report import view_figures as pictures
from sweeps.commands.report import render
from sweeps.results.store import Store, read

Rows = list[dict[str, Any]]
CELLS = ("koleo=off", "koleo=on")
BLOCKS = (1, 2)
IMAGES = 120
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def computed(cell: int, block: int) -> ViewTables:
    """Views of digits whose `embeddings` are their pixels, more or less contrasted; UMAP stands in as another PCA."""
    digits = load("digits")
    images = ImageSet(digits.images[:IMAGES], digits.labels[:IMAGES], NAMES)
    z = images.images.flatten(1).float().pow(1 + cell) + 10 * block
    found = compute_views(torch.nn.functional.normalize(z), images, split="test", seed=block)
    planar = [{**row, "view": "umap"} for row in found.views if row["view"] == "pca"]
    return found._replace(views=[*found.views, *planar])


def all_computed() -> dict[str, ViewTables]:
    """By trial, numbered as `make_confirm` does: block by block, off before on."""
    return {f"t{2 * (b - 1) + c:05d}": computed(c, b) for b in BLOCKS for c in range(2)}


@pytest.fixture(scope="module")
def stored() -> dict[str, ViewTables]:
    return all_computed()


@pytest.fixture
def folder(
    make_confirm: Callable[..., Any], stored: dict[str, ViewTables], plan: dict[str, Any], tmp_path: Path
) -> Path:
    folder: Path = make_confirm(blocks=2).write(tmp_path / "sweep", plan=plan)
    store = Store.open(folder)
    for trial, tables in stored.items():
        store.write("views", "confirm", trial, 1, tables.views)
        store.write("eval_groups", "confirm", trial, 1, tables.eval_groups)
    return folder


@pytest.fixture
def shown(folder: Path) -> Shown:
    found = view_data.shown(read(folder, "views"), read(folder, "trials"), CELLS, dataset="digits")
    assert found is not None
    return found


def of(tables: ViewTables, view: str) -> Rows:
    return [row for row in tables.views if row["view"] == view]


def texts(svg: str) -> str:
    return "\n".join("".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


# Which runs are shown


def test_cells_in_the_order_asked_and_their_blocks(folder: Path) -> None:
    tables = read(folder, "views"), read(folder, "trials")
    found = view_data.shown(*tables, ["koleo=on", "koleo=off"], dataset="digits")
    assert found is not None
    assert found.trials == {"koleo=on": {1: "t00001", 2: "t00003"}, "koleo=off": {1: "t00000", 2: "t00002"}}
    assert found.block == 1
    alone = view_data.shown(*tables, ["koleo=on", "never run"], dataset="digits")
    assert alone is not None
    assert alone.cells == ("koleo=on",)
    others = view_data.shown(*tables, ["never run"], dataset="digits")
    assert others is not None
    assert others.cells == CELLS


def test_nothing_stored_is_nothing_shown(make_confirm: Callable[..., Any], folder: Path) -> None:
    trials = read(folder, "trials")
    assert view_data.shown(read(folder, "views").slice(0, 0), trials, CELLS, dataset="digits") is None
    assert view_data.shown(read(folder, "views"), trials.slice(0, 0), CELLS, dataset="digits") is None


def test_cells_without_a_common_block_have_averages_only(folder: Path) -> None:
    trials = read(folder, "trials")
    kept = [row for row in trials.to_pylist() if (row["cell_id"], row["block"]) in {(CELLS[0], 1), (CELLS[1], 2)}]
    found = view_data.shown(
        read(folder, "views"), pa.Table.from_pylist(kept, schema=trials.schema), CELLS, dataset="digits"
    )
    assert found is not None
    assert found.block is None
    names = [name for name, _, _ in pictures.pictures(found, read(folder, "eval_groups"))]
    assert names == ["distances-test", "distances-l2-test", "distances-angular-test", "spectra-test"]


# What they show


def test_distances_are_means_over_blocks(shown: Shown, stored: dict[str, ViewTables]) -> None:
    data = view_data.distance_data(shown, "test")
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
        "n = 120 images, 10 classes shown, mean over 2 blocks; digits, test split; cosine distance, "
        "computed in embedding space"
    )


def test_a_distance_that_no_pair_has_is_left_blank(folder: Path, stored: dict[str, ViewTables]) -> None:
    store = Store.open(folder)
    for trial in ("t00000", "t00002"):
        rows = [row for row in of(stored[trial], "class_distance") if row["item"] == row["rank"] == 3]
        store.write("views", "confirm", trial, 1, [{**row, "value": float("nan")} for row in rows])
    found = view_data.shown(read(folder, "views"), read(folder, "trials"), CELLS, dataset="digits")
    assert found is not None
    data = view_data.distance_data(found, "test")
    assert data.matrices[0][3][3] is None
    assert data.matrices[1][3][3] is not None
    assert "nan" not in texts(svg_of(view_figures.draw_distances(data)))


def test_planes_hold_every_point_and_ellipse(shown: Shown, stored: dict[str, ViewTables]) -> None:
    data = view_data.plane_data(shown, "test", "pca", block=2)
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
    umap = view_data.plane_data(shown, "test", "umap", block=1)
    assert umap.caption == (
        "n = 120 of 120 images, 10 classes, UMAP of standardised embeddings; block 1, seed 1; digits, test split"
    )
    assert all(panel.ellipses == () for panel in umap.panels)


def test_a_class_sheet_holds_the_first_of_each_kind(shown: Shown, stored: dict[str, ViewTables]) -> None:
    data = sheet_data.class_sheet(shown, "test", "koleo=on", block=1)
    assert data.row_names == NAMES
    for label, row in enumerate(data.tiles):
        for kind, tiles in zip(data.groups, row, strict=True):
            wanted = [r for r in of(stored["t00001"], kind) if r["class_id"] == label][: sheet_data.SHEET_IMAGES]
            assert [tile.png for tile in tiles] == [r["thumbnail"] for r in wanted]
            assert [tile.value for tile in tiles] == [r["value"] for r in wanted]
            assert [tile.class_name for tile in tiles] == [NAMES[r["other_class_id"]] for r in wanted]
            assert [tile.same for tile in tiles] == [kind != "foreign"] * len(tiles)
    assert data.caption.startswith("n = 120 images, 10 classes; koleo=on, block 1, seed 1; digits, test split")


def test_a_neighbour_sheet_counts_its_hits(folder: Path, shown: Shown, stored: dict[str, ViewTables]) -> None:
    data = sheet_data.neighbour_sheet(shown, read(folder, "eval_groups"), "test", "koleo=off", block=2)
    rows = [row for row in of(stored["t00002"], "neighbours") if row["rank"]]
    hits = sum(row["class_id"] == row["other_class_id"] for row in rows)
    assert [tile.same for _, others in data.tiles for tile in others].count(True) == hits
    assert [tile.value for (tile,), _ in data.tiles] == [None] * SHOWN_QUERIES
    rates = [r for r in stored["t00002"].eval_groups if r["metric"] == "hit_rate" and r["k"] == SHOWN_NEIGHBOURS]
    overall = np.average([r["value"] for r in rates], weights=[r["n"] for r in rates])
    written = f"{overall:.3f}".removeprefix("0")
    counted = f"n = 8 queries: {hits} of 40 neighbours of the query's class; over all 120 images {written}; koleo=off"
    assert data.caption.startswith(counted)
    assert "koleo=off, block 2, seed 2" in data.caption
    without = sheet_data.neighbour_sheet(shown, read(folder, "eval_groups").slice(0, 0), "test", "koleo=off", block=2)
    assert "over all" not in without.caption


def test_spectra_are_shares_and_their_mean(shown: Shown, stored: dict[str, ViewTables]) -> None:
    data = view_data.spectrum_data(shown, "test")
    for runs, mean, trials in zip(data.runs, data.means, (("t00000", "t00002"), ("t00001", "t00003")), strict=True):
        for run, trial in zip(runs, trials, strict=True):
            values = np.array([row["value"] for row in of(stored[trial], "spectrum")])
            np.testing.assert_allclose(run, values / values.sum())
        np.testing.assert_allclose(mean, np.mean(runs, axis=0))
        assert sum(mean) == pytest.approx(1)
    assert "; 2 blocks per cell; " in data.caption


# How they are drawn


@pytest.mark.slow
def test_drawings_say_what_they_show_and_are_the_same_bytes_each_time(folder: Path, shown: Shown) -> None:
    groups = read(folder, "eval_groups")
    first = {name: svg_of(figure) for name, figure, _ in pictures.pictures(shown, groups)}
    assert list(first) == [
        "distances-test",
        "distances-l2-test",
        "distances-angular-test",
        "spectra-test",
        "pca-test",
        "umap-test",
        "images-test-1",
        "neighbours-test-1",
        "images-test-2",
        "neighbours-test-2",
    ]
    for name, svg in first.items():
        words = " ".join(texts(svg).split())
        assert "n = 1" in words or "n = 8 queries" in words, name
        assert "digits, test split" in words, name
        assert "koleo=o" in words, name
    again = sheets.draw_sheet(sheet_data.neighbour_sheet(shown, groups, "test", "koleo=on", block=1))
    assert first["neighbours-test-2"] == svg_of(again)
    assert first["pca-test"] == svg_of(view_figures.draw_plane(view_data.plane_data(shown, "test", "pca", block=1)))
    for name in ("pca-test", "umap-test", "distances-test"):
        assert set(NAMES) <= set(texts(first[name]).split("\n"))


def test_a_sheet_draws_the_stored_pixels_and_frames_strangers(folder: Path, shown: Shown) -> None:
    data = sheet_data.neighbour_sheet(shown, read(folder, "eval_groups"), "test", "koleo=on", block=1)
    svg = svg_of(sheets.draw_sheet(data))
    tiles = [tile for row in data.tiles for group in row for tile in group]
    drawn = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in _embedded(svg)]
    wanted = [np.asarray(Image.open(io.BytesIO(tile.png)).convert("RGB")) for tile in tiles]
    assert len(drawn) == len(wanted) == 48
    pixels = {array[..., :3].tobytes() for array in drawn} | {array[::-1, :, :3].tobytes() for array in drawn}
    assert {array.tobytes() for array in wanted} <= pixels
    strangers = sum(tile.value is not None and not tile.same for tile in tiles)
    dashed = re.findall(r"stroke-dasharray: [^;]*;", svg)
    assert strangers == len(dashed) > 0


def test_many_classes_are_numbered_and_long_names_shortened() -> None:
    names = tuple(f"a plankter with a long name, kind {i}" for i in range(20))
    points = tuple((float(i), float(i % 3), name) for i, name in enumerate(names))
    panel = view_data.PlanePanel("koleo=on", points, ())
    plane = texts(svg_of(view_figures.draw_plane(view_data.PlaneData("UMAP", (panel,), names, "n = 20"))))
    assert {str(i) for i in range(1, 21)} <= set(plane.split("\n"))
    assert f"20{view_figures.NUMBERED}a plankter …e, kind 19" in plane
    matrix = tuple(tuple(1.0 for _ in names) for _ in names)
    drawn = texts(svg_of(view_figures.draw_distances(view_data.DistanceData(("on",), names, (matrix,), "n = 20"))))
    assert "a plank…kind 7" in drawn
    assert "1.00" not in drawn


@pytest.mark.parametrize(
    ("name", "length", "expected"), [("abc", 3, "abc"), ("abcdef", 5, "ab…ef"), ("abcdef", 4, "ab…f")]
)
def test_short_names_keep_both_ends(name: str, length: int, expected: str) -> None:
    assert view_figures.short(name, length) == expected


@pytest.mark.slow
def test_the_report_shows_them_where_the_store_has_them(
    make_confirm: Callable[..., Any], plan: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    page = render(folder).read_text(encoding="utf-8")
    assert "<h2>Embeddings</h2>" in page
    assert "data:image/png;base64," in page
    assert pictures.NEIGHBOUR_SHEET.split("; ")[0] in page
    assert (folder / "figures" / "images-test-2.svg").is_file()
    assert "(figures/pca-test.svg)" in (folder / "report.md").read_text(encoding="utf-8")
    without = render(make_confirm(blocks=2).write(tmp_path / "without", plan=plan))
    assert "<h2>Embeddings</h2>" not in without.read_text(encoding="utf-8")


def _embedded(svg: str) -> list[str]:
    return re.findall(r'data:image/png;base64,([^"]+)"', svg)
