"""Mean distances between the classes in embedding space, a matrix per cell."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, plain_ticks, styled
from sweeps.analysis.figures.drawing.panel_grid import panel_grid
from sweeps.analysis.figures.drawing.style import short, wrapped
from sweeps.analysis.figures.embeddings.stored_views import IN_EMBEDDING_SPACE, Shown, where
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.descriptive import mean_of_known

READING: Final = (
    "Mean distance between the images of two classes; on the diagonal within a class, without an image's distance to "
    "itself. The first panel shows distances, any other what differs from the first: purple is nearer, orange farther."
)

DISTANCES: Final = {
    "class_distance": "cosine distance",
    "class_distance_l2": "Euclidean distance",
    "class_distance_angular": "angular distance in radians",
}
"""View -> what it holds."""

COLOUR_MAP: Final = "cividis"
"""Perceptually even, the same with any colour vision."""

DIFFERENCES: Final = "PuOr_r"
"""White in the middle, and told apart with any colour vision."""

MOST_STACKED: Final = 2
"""Cells above which matrices stand two abreast."""

NUMBERED_CLASSES: Final = 12
"""Above this many classes the squares are too small for numbers."""


@dataclass(frozen=True, slots=True)
class DistanceData:
    """Mean distance between classes per cell, averaged over blocks."""

    cells: tuple[str, ...]
    class_names: tuple[str, ...]
    matrices: tuple[tuple[tuple[float | None, ...], ...], ...]
    """One per cell, classes by row and column; None where no pair exists."""
    caption: str


def distance_data(data: Shown, split: str, view: str = "class_distance") -> DistanceData:
    """Class distances of one of DISTANCES, mean over each cell's blocks; classes that every run shows."""
    per_cell = [
        [{(r["class_id"], r["other_class_id"]): r for r in data.rows(view, split, trial)} for trial in blocks.values()]
        for blocks in data.trials.values()
    ]
    runs = [run for cell in per_cell for run in cell]
    classes = sorted(set.intersection(*({row for row, _ in run} for run in runs)))
    matrices = tuple(
        tuple(tuple(mean_of_known([run[a, b]["value"] for run in cell]) for b in classes) for a in classes)
        for cell in per_cell
    )
    names = tuple(runs[0][c, c]["class_name"] for c in classes)
    blocks = " and ".join(plural(n, "run") for n in sorted({len(cell) for cell in per_cell}))
    what = f"n = {data.images(split):,} images, {len(classes)} classes shown, mean over {blocks}"
    return DistanceData(
        data.cells, names, matrices, f"{what}; {where(data, split)}; {DISTANCES[view]}, {IN_EMBEDDING_SPACE}"
    )


@styled
def draw_distances(data: DistanceData) -> Figure:
    """One matrix per cell on a common scale of colour."""
    if len(data.cells) > MOST_STACKED:
        return _distance_grid(data)
    rows, n = len(data.cells), len(data.class_names)
    names, numbered = [short(name, 14) for name in data.class_names], n <= NUMBERED_CLASSES
    figure, panels = canvas("Distances between classes", data.caption, height=3.6 * rows, rows=rows)
    shown, limits = _compared(data)
    for axes, cell, matrix, (low, high) in zip(panels, data.cells, shown, limits, strict=True):
        mesh = _draw_matrix(axes, matrix, low, high)
        ticks = np.arange(n) + 0.5
        axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=8 if numbered else 6)
        axes.set_yticks(ticks, names, fontsize=8 if numbered else 6)
        axes.set_title(wrapped(_titles(data.cells)[cell], 50), fontsize=9)
        if numbered:
            _write_numbers(axes, matrix, low, high)
        else:
            bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=25)
            bar.ax.tick_params(labelsize=8)
            plain_ticks(bar.ax, "y")
    return figure


def _distance_grid(data: DistanceData) -> Figure:
    """Two abreast, classes by number: too small for names and values."""
    marks = [f"{i} {short(name, 22)}" for i, name in enumerate(data.class_names, start=1)]
    key_in = 0.16 * -(-len(marks) // 2) + 0.5
    names = list(_titles(data.cells).values())
    figure, panels = panel_grid("Distances between classes", data.caption, names, (), height=1.75, foot=key_in)
    every = 1 if len(marks) <= NUMBERED_CLASSES else 5
    places = [i for i in range(len(marks)) if i == 0 or (i + 1) % every == 0]
    meshes = []
    for axes, matrix, (low, high) in zip(panels, *_compared(data), strict=True):
        meshes.append(_draw_matrix(axes, matrix, low, high))
        for set_ticks in (axes.set_xticks, axes.set_yticks):
            set_ticks([i + 0.5 for i in places], [str(i + 1) for i in places], fontsize=6.5)
    for mesh, own, what in ((meshes[0], panels[0], "distance"), (meshes[-1], panels[1:], "difference")):
        bar = figure.colorbar(mesh, ax=own, shrink=0.6, aspect=25, location="bottom")
        bar.set_label(what, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        plain_ticks(bar.ax, "x", signed=what == "difference")
    handles = [Line2D([], [], linestyle="none", label=mark) for mark in marks]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=0, fontsize=7)
    return figure


def _titles(cells: tuple[str, ...]) -> dict[str, str]:
    """Of the panels: the first cell, and others less the first."""
    return {cell: f"{cell} less {cells[0]}" if i else cell for i, cell in enumerate(cells)}


def _compared(data: DistanceData) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    """The first matrix and what the others differ from it by, with the ends of their scales of colour."""
    first, *others = (np.array(matrix, dtype=float) for matrix in data.matrices)
    differences = [other - first for other in others]
    most = max((float(np.nanmax(np.abs(each))) for each in differences), default=0.0) or 1.0
    return [first, *differences], [(0.0, float(np.nanmax(first))), *[(-most, most)] * len(others)]


def _draw_matrix(axes: Axes, matrix: np.ndarray, low: float, high: float) -> QuadMesh:
    colours = DIFFERENCES if low else COLOUR_MAP
    mesh = axes.pcolormesh(np.ma.masked_invalid(matrix), cmap=colours, vmin=low, vmax=high)
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.grid(visible=False)
    return mesh


def _write_numbers(axes: Axes, matrix: np.ndarray, low: float, high: float) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            dark = abs(value) > 0.75 * high if low else value < 0.55 * high
            colour, text = "white" if dark else "black", number(float(value), decimals=2, signed=low < 0)
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)
