"""Sheets of images: how the figures `images` and `neighbours` are laid out and drawn."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.drawing.canvas import canvas, styled
from sweeps.analysis.figures.drawing.style import COLOURS, GREY, short
from sweeps.analysis.numbers import number

OTHER_CLASS: Final = COLOURS[1]

_GAP: Final = 0.25
"""Between groups of images, in tiles."""

_LINE_IN: Final = 0.11
"""A line of text under an image."""

_NAMES_IN: Final = 0.8
"""Room for the names of rows."""

_TILES_IN: Final = 3.5
"""Width of all images."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a sheet."""

    png: bytes
    class_name: str
    value: float | None
    """Cosine to the class mean or the query; None for the query itself."""
    same: bool
    """Whether it is of the row's class."""


@dataclass(frozen=True, slots=True)
class SheetData:
    """Rows of images in groups: of classes, or of queries and their neighbours."""

    title: str
    groups: tuple[str, ...]
    row_names: tuple[str, ...]
    tiles: tuple[tuple[tuple[Tile, ...], ...], ...]
    """Row -> group -> images."""
    caption: str


def tile_of(row: Row) -> Tile:
    """The image that a row of the views `closest` to `neighbours_grey` is about."""
    return Tile(row["thumbnail"], row["other_class_name"], row["value"], row["class_id"] == row["other_class_id"])


@dataclass(frozen=True, slots=True)
class _Placed:
    """A tile with its picture, in pixels of the sheet."""

    tile: Tile
    picture: Image.Image
    left: int
    top: int


@styled
def draw_sheet(data: SheetData) -> Figure:
    """Images in rows, grouped; one of another class than its row's has a dashed frame, and its class is named."""
    pictures = [[[_picture(tile) for tile in group] for group in row] for row in data.tiles]
    side = max(max(picture.size) for row in pictures for group in row for picture in group)
    widths = [max(len(row[group]) for row in data.tiles) for group in range(len(data.groups))]
    starts = [sum(widths[:group]) * side + round(_GAP * side) * group for group in range(len(widths))]
    across = starts[-1] + widths[-1] * side
    tile_in = _TILES_IN * side / across
    line = _LINE_IN * side / tile_in  # everything is placed in pixels of the images
    step = side + round(2.5 * line)
    placed = [
        _Placed(tile, picture, starts[group] + place * side, row * step)
        for row, groups in enumerate(data.tiles)
        for group, tiles in enumerate(groups)
        for place, (tile, picture) in enumerate(zip(tiles, pictures[row][group], strict=True))
    ]
    high = step * len(data.tiles)
    figure, (axes,) = canvas(data.title, data.caption, height=tile_in * high / side + 0.3)
    # One image: hundreds would take most of the time that a report takes.
    axes.imshow(_mosaic(placed, side, across, high), extent=(0, across, high, 0), interpolation="none", aspect="auto")
    _draw_frames(axes, placed, side)
    for name, start in zip(data.groups, starts, strict=True):
        axes.text(start, -0.12 * side, name, fontsize=9, va="bottom")
    for row, name in enumerate(data.row_names):
        axes.text(-0.1 * side, row * step + side / 2, short(name, 12), ha="right", va="center", fontsize=8)
    for one in placed:
        _write_below(axes, one, side, line, room=max(5, int(tile_in * 72 / 4)))
    for text in axes.texts:
        text.set_in_layout(False)  # they have their room
    axes.set(xlim=(-_NAMES_IN * side / tile_in, across + 0.03 * side), ylim=(high, -0.25 * side / tile_in))
    axes.set_axis_off()
    return figure


def _picture(tile: Tile) -> Image.Image:
    return Image.open(io.BytesIO(tile.png)).convert("RGB")


def _mosaic(placed: Sequence[_Placed], side: int, across: int, high: int) -> np.ndarray:
    """All pictures on a clear ground, each as large as fits into a square of `side` pixels, in its middle."""
    sheet = Image.new("RGBA", (across, high))
    for one in placed:
        larger = side / max(one.picture.size)
        wide, tall = (round(pixels * larger) for pixels in one.picture.size)
        picture = one.picture.resize((wide, tall), Image.Resampling.NEAREST)
        sheet.paste(picture, (one.left + (side - wide) // 2, one.top + (side - tall) // 2))
    return np.asarray(sheet)


def _draw_frames(axes: Axes, placed: Sequence[_Placed], side: int) -> None:
    """Around all that are no queries: a line of many squares for those of the row's class, one for the others."""
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (np.nan, np.nan)]) * side
    for same, style, colour in ((True, "-", GREY), (False, (0, (2, 1.5)), OTHER_CLASS)):
        corners = [(one.left, one.top) for one in placed if one.tile.value is not None and one.tile.same == same]
        outlines = (np.array(corners).reshape(-1, 1, 2) + square).reshape(-1, 2)
        axes.plot(*outlines.T, linestyle=style, color=colour, linewidth=1.2, solid_joinstyle="miter")


def _write_below(axes: Axes, one: _Placed, side: int, line: float, *, room: int) -> None:
    """The cosine and, if the image is of another class, that one's name in at most `room` characters."""
    if one.tile.value is None:
        return
    x, y = one.left + side / 2, one.top + side
    text = number(one.tile.value, decimals=2)
    axes.text(x, y + 0.25 * line, text, ha="center", va="top", fontsize=6.5)
    if not one.tile.same:
        name = one.tile.class_name if len(one.tile.class_name) <= room + 1 else short(one.tile.class_name, room)
        axes.text(x, y + 1.2 * line, name, ha="center", va="top", fontsize=6.5, color=OTHER_CLASS)
