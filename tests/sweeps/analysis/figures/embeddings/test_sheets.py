"""Sheets of images: the stored pixels, each in its place, and frames around those of other classes."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.embeddings.neighbours import neighbour_sheet
from sweeps.analysis.figures.embeddings.sheets import SheetData, Tile, draw_sheet
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.results.store import read


def test_a_sheet_draws_the_stored_pixels_and_frames_strangers(viewed: Path, viewed_cells: Shown) -> None:
    data = neighbour_sheet(viewed_cells, read(viewed, "eval_groups"), "test", "koleo=on", block=Place(1, 1))
    svg = svg_of(draw_sheet(data))
    sheet = _sheet(svg)
    side = _pixels(data.tiles[0][0][0]).shape[0]
    step = len(sheet) // len(data.tiles)
    for row, groups in enumerate(data.tiles):
        tiles = [tile for group in groups for tile in group]
        lefts = [0, *(sheet.shape[1] - side * (len(tiles) - place) for place in range(1, len(tiles)))]
        for left, tile in zip(lefts, tiles, strict=True):
            np.testing.assert_array_equal(sheet[row * step :][:side, left : left + side, :3], _pixels(tile))
    strangers = sum(tile.value is not None and not tile.same for row in data.tiles for group in row for tile in group)
    (dashed,) = re.findall(r'<path d="([^"]*)"[^>]*stroke-dasharray', svg)
    assert dashed.count("M") == strangers > 0


def test_pictures_of_any_shape_fill_their_squares_in_one_direction() -> None:
    wide, small = (np.full(shape, value, np.uint8) for shape, value in (((2, 8, 3), 50), ((4, 4, 3), 100)))
    tiles = tuple(Tile(_png(pixels), "a", 0.5, True) for pixels in (wide, small))
    sheet = _sheet(svg_of(draw_sheet(SheetData("Title", ("all",), ("a",), ((tiles,),), "caption"))))
    assert sheet.shape[1] == 16
    assert [tuple(np.unique(sheet[:8, left : left + 8, 3], return_counts=True)[1]) for left in (0, 8)] == [
        (48, 16),  # clear above and below
        (64,),
    ]
    assert set(sheet[3, :8, 0]) == {50}
    assert set(sheet[:8, 8:, 0].flat) == {100}


def _sheet(svg: str) -> np.ndarray:
    """The one image of the figure, upright."""
    (text,) = re.findall(r'data:image/png;base64,([^"]+)"', svg)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def _pixels(tile: Tile) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(tile.png)).convert("RGB"))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
