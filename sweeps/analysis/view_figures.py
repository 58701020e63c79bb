"""Figures of embeddings drawn from `view_data`; nothing is computed here but positions."""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from PIL import Image

from sweeps.analysis.figures import canvas, legend_below, log_ticks, plain_ticks, styled
from sweeps.analysis.style import COLOURS, GREY, MARKERS, Looks, wrapped
from sweeps.analysis.view_data import DistanceData, PlaneData, PlanePanel, SheetData, SpectrumData, Tile
from sweeps.analysis.wording import number

COLOUR_MAP: Final = "cividis"
"""Perceptually even, the same with any colour vision."""

NUMBERED_CLASSES: Final = 12
"""Above this many classes the squares are too small for numbers."""

OTHER_CLASS: Final = COLOURS[1]

_GAP: Final = 0.25
"""Between groups of images, in tiles."""

_LINE_IN: Final = 0.11
"""A line of text under an image."""

_LABEL_BOX: Final = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}


@styled
def draw_distances(data: DistanceData) -> Figure:
    """One matrix per cell on a common scale of colour."""
    rows, n = len(data.cells), len(data.class_names)
    names, numbered = [short(name, 14) for name in data.class_names], n <= NUMBERED_CLASSES
    figure, panels = canvas("Distances between classes", data.caption, height=3.6 * rows, rows=rows)
    matrices = [np.array(matrix, dtype=float) for matrix in data.matrices]
    top = max(float(np.nanmax(matrix)) for matrix in matrices)
    for axes, cell, matrix in zip(panels, data.cells, matrices, strict=True):
        mesh = axes.pcolormesh(np.ma.masked_invalid(matrix), cmap=COLOUR_MAP, vmin=0, vmax=top)
        ticks = np.arange(n) + 0.5
        axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=8 if numbered else 6)
        axes.set_yticks(ticks, names, fontsize=8 if numbered else 6)
        axes.set_title(cell, fontsize=9)
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.invert_yaxis()
        axes.grid(visible=False)
        if numbered:
            _write_numbers(axes, matrix, top)
        else:
            figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=25).ax.tick_params(labelsize=8)
    return figure


@styled
def draw_plane(data: PlaneData) -> Figure:
    """One scatter per cell; for PCA on a common scale with the class ellipses, else without any scale."""
    rows, looks = len(data.panels), _class_looks(data.class_names)
    marks = _marks(data.class_names)
    columns = 4 if max(len(marks[name]) for name in looks) <= 9 else 2
    legend_in = 0.2 * -(-len(looks) // columns)
    title = f"{data.method} of the embeddings"
    figure, panels = canvas(title, data.caption, height=3.2 * rows + legend_in + 0.2, rows=rows)
    for axes, panel in zip(panels, data.panels, strict=True):
        _scatter(axes, panel, looks)
        axes.set_title(wrapped(panel.title, 60), fontsize=9)
        axes.set_aspect("equal", adjustable="datalim" if data.method != "PCA" else "box")
    if data.method == "PCA":
        _share_limits(panels)
        for axes in panels:
            plain_ticks(axes, "x")
            plain_ticks(axes, "y")
        panels[-1].set_xlabel("first principal axis")
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=5, label=marks[name])
        for name, (colour, marker) in looks.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.1, columnspacing=0.8, fontsize=8
    )
    return figure


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


@styled
def draw_spectra(data: SpectrumData) -> Figure:
    """Thin lines are runs, thick ones their mean; a flat line uses every direction alike."""
    figure, (axes,) = canvas("Singular values of the embeddings", data.caption, height=3.2)
    for cell, runs, mean in zip(data.cells, data.runs, data.means, strict=True):
        colour, marker = data.looks[cell]
        for run in runs:
            axes.plot(range(1, len(run) + 1), run, color=colour, linewidth=0.8, alpha=0.4)
        every = max(1, len(mean) // 8)
        axes.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2, marker=marker, markevery=every, label=cell)
    axes.set(xlabel="singular value, largest first", ylabel="share of their sum")
    log_ticks(axes, "y")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


def short(name: str, length: int) -> str:
    """The name, its middle left out where it is longer than `length` (>= 3)."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def _write_numbers(axes: Axes, matrix: np.ndarray, top: float) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            colour = "white" if value < 0.55 * top else "black"
            text = number(float(value), decimals=2)
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)


def _class_looks(names: Sequence[str]) -> Looks:
    """Six colours, then the same with the next marker."""
    return {name: (COLOURS[i % 6], MARKERS[i // 6 % 6]) for i, name in enumerate(names)}


def _marks(names: Sequence[str]) -> dict[str, str]:
    """What a class is called in the legend: of many classes each has a number, which stands in the plane."""
    if len(names) <= NUMBERED_CLASSES:
        return {name: short(name, 12) for name in names}
    return {name: f"{i} {short(name, 22)}" for i, name in enumerate(names, start=1)}


def _scatter(axes: Axes, panel: PlanePanel, looks: Looks) -> None:
    """Points, then ellipses or, without them, a name at the middle of each class."""
    centres = {name: (x, y) for x, y, _, _, _, name in panel.ellipses}
    for name, (colour, marker) in looks.items():
        points = np.array([point[:2] for point in panel.points if point[2] == name])
        if len(points):
            axes.scatter(points[:, 0], points[:, 1], s=7, color=colour, marker=marker, linewidths=0, alpha=0.6)
            x, y = np.median(points, axis=0)
            centres.setdefault(name, (float(x), float(y)))
    for x, y, width, height, angle, name in panel.ellipses:
        axes.add_patch(Ellipse((x, y), width, height, angle=angle, fill=False, color=looks[name][0], linewidth=1.3))
    marks = _marks(list(looks))
    for name, (x, y) in centres.items():
        text = marks[name] if len(looks) <= NUMBERED_CLASSES else marks[name].split()[0]
        axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox=_LABEL_BOX)
    if not panel.ellipses:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)


def _share_limits(panels: Sequence[Axes]) -> None:
    """The same coordinates in every panel, so that sizes compare."""
    for which in ("x", "y"):
        limits = [getattr(axes, f"get_{which}lim")() for axes in panels]
        for axes in panels:
            getattr(axes, f"set_{which}lim")(min(low for low, _ in limits), max(high for _, high in limits))


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
