"""Sheets of images: how the figures `images` and `neighbours` are laid out and drawn."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.canvas import canvas, styled
from sweeps.analysis.figures.style import COLOURS, GREY, short
from sweeps.analysis.numbers import number

OTHER_CLASS: Final = COLOURS[1]

_GAP: Final = 0.25
"""Between groups of images, in tiles."""

_LINE_IN: Final = 0.11
"""A line of text under an image."""


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


@styled
def draw_sheet(data: SheetData) -> Figure:
    """Images in rows, grouped; one of another class than its row's has a dashed frame, and its class is named."""
    widths = [max(len(row[group]) for row in data.tiles) for group in range(len(data.groups))]
    starts = [sum(widths[:group]) + _GAP * group for group in range(len(widths))]
    across = starts[-1] + widths[-1]
    label_in, tile_in = 0.8, 3.5 / across
    step = 1 + 2.5 * _LINE_IN / tile_in
    figure, (axes,) = canvas(data.title, data.caption, height=tile_in * step * len(data.tiles) + 0.3)
    for group, (name, start) in enumerate(zip(data.groups, starts, strict=True)):
        axes.text(start, -0.12, name, fontsize=9, va="bottom")
        for line, row in enumerate(data.tiles):
            for place, tile in enumerate(row[group]):
                _draw_tile(axes, tile, start + place, line * step, tile_in)
    for line, name in enumerate(data.row_names):
        axes.text(-0.1, line * step + 0.5, short(name, 13), ha="right", va="center", fontsize=8)
    axes.set(xlim=(-label_in / tile_in, across), ylim=(step * len(data.tiles), -0.25 / tile_in))
    axes.set_axis_off()
    return figure


def _draw_tile(axes: Axes, tile: Tile, x: float, y: float, tile_in: float) -> None:
    """The image in a square of side 1 at (x, y), its cosine below and, if it is of another class, that one's name."""
    picture = np.asarray(Image.open(io.BytesIO(tile.png)).convert("RGB"))
    high, wide = np.array(picture.shape[:2]) / max(picture.shape[:2])
    left, top = x + (1 - wide) / 2, y + (1 - high) / 2
    axes.imshow(picture, extent=(left, left + wide, top + high, top), interpolation="none", aspect="auto")
    if tile.value is None:
        return
    style, colour = ("-", GREY) if tile.same else ((0, (2, 1.5)), OTHER_CLASS)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, linestyle=style, edgecolor=colour, linewidth=1.2))
    line = _LINE_IN / tile_in
    text = number(tile.value, decimals=2)
    axes.text(x + 0.5, y + 1 + 0.25 * line, text, ha="center", va="top", fontsize=6.5)
    if not tile.same:
        room = max(5, int(tile_in * 72 / 4))  # characters
        name = tile.class_name if len(tile.class_name) <= room + 1 else short(tile.class_name, room)
        axes.text(x + 0.5, y + 1 + 1.2 * line, name, ha="center", va="top", fontsize=6.5, color=OTHER_CLASS)
