"""Figures of embeddings drawn from `view_data`; nothing is computed here but positions."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from sweeps.analysis.figures.figures import canvas, legend_below, log_ticks, plain_ticks, styled
from sweeps.analysis.figures.grids import panel_grid
from sweeps.analysis.figures.style import COLOURS, MARKERS, Looks, dash_of, wrapped
from sweeps.analysis.figures.view_data import DistanceData, PlaneData, PlanePanel, SpectrumData
from sweeps.analysis.numbers import number

COLOUR_MAP: Final = "cividis"
"""Perceptually even, the same with any colour vision."""

NUMBERED_CLASSES: Final = 12
"""Above this many classes the squares are too small for numbers."""

SHORT_NAME: Final = 5
"""Characters of which a dozen fit into a narrow panel."""

NUMBERED: Final = "\u2002"
"""Between the number of a class and its name: a space that no name has."""

STACKED: Final = 4
"""Up to so many panels stand one below another, at full width; more stand two abreast."""

GRID_IN: Final = (1.9, 2.3)
"""Height of a panel in a grid without and with axes: where width limits a square, its title has its room."""

_LABEL_BOX: Final = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}


@styled
def draw_distances(data: DistanceData) -> Figure:
    """One matrix per cell on a common scale of colour."""
    if len(data.cells) > STACKED:
        return _distance_grid(data)
    rows, n = len(data.cells), len(data.class_names)
    names, numbered = [short(name, 14) for name in data.class_names], n <= NUMBERED_CLASSES
    figure, panels = canvas("Distances between classes", data.caption, height=3.6 * rows, rows=rows)
    matrices = [np.array(matrix, dtype=float) for matrix in data.matrices]
    top = max(float(np.nanmax(matrix)) for matrix in matrices)
    for axes, cell, matrix in zip(panels, data.cells, matrices, strict=True):
        mesh = _draw_matrix(axes, matrix, top)
        ticks = np.arange(n) + 0.5
        axes.set_xticks(ticks, names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=8 if numbered else 6)
        axes.set_yticks(ticks, names, fontsize=8 if numbered else 6)
        axes.set_title(wrapped(cell, 50), fontsize=9)
        if numbered:
            _write_numbers(axes, matrix, top)
        else:
            figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=25).ax.tick_params(labelsize=8)
    return figure


def _distance_grid(data: DistanceData) -> Figure:
    """Two abreast, classes by number: too small for names and values."""
    marks = [f"{i} {short(name, 22)}" for i, name in enumerate(data.class_names, start=1)]
    key_in = 0.16 * -(-len(marks) // 2) + 0.5
    figure, panels = panel_grid("Distances between classes", data.caption, data.cells, (), height=1.75, foot=key_in)
    matrices = [np.array(matrix, dtype=float) for matrix in data.matrices]
    top = max(float(np.nanmax(matrix)) for matrix in matrices)
    every = 1 if len(marks) <= NUMBERED_CLASSES else 5
    places = [i for i in range(len(marks)) if i == 0 or (i + 1) % every == 0]
    for axes, matrix in zip(panels, matrices, strict=True):
        mesh = _draw_matrix(axes, matrix, top)
        for set_ticks in (axes.set_xticks, axes.set_yticks):
            set_ticks([i + 0.5 for i in places], [str(i + 1) for i in places], fontsize=6.5)
    figure.colorbar(mesh, ax=panels, shrink=0.6, aspect=30, location="bottom").ax.tick_params(labelsize=8)
    handles = [Line2D([], [], linestyle="none", label=mark) for mark in marks]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=0, fontsize=7)
    return figure


def _draw_matrix(axes: Axes, matrix: np.ndarray, top: float) -> QuadMesh:
    mesh = axes.pcolormesh(np.ma.masked_invalid(matrix), cmap=COLOUR_MAP, vmin=0, vmax=top)
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.grid(visible=False)
    return mesh


@styled
def draw_plane(data: PlaneData) -> Figure:
    """One scatter per cell; for PCA on a common scale with the class ellipses, else without any scale."""
    rows, looks = len(data.panels), _class_looks(data.class_names)
    grid = data.pairs or rows > STACKED
    marks = _marks(data.class_names, narrow=grid)
    columns = 4 if max(len(marks[name]) for name in looks) <= 9 else 2
    legend_in = 0.2 * -(-len(looks) // columns)
    title = f"{data.method} of the embeddings"
    if grid:
        titles = [panel.title.replace(": ", "\n").replace("; ", "\n") for panel in data.panels]
        figure, panels = panel_grid(
            title, data.caption, titles, (), height=GRID_IN[data.method == "PCA"], foot=legend_in + 0.2
        )
    else:
        figure, panels = canvas(title, data.caption, height=3.2 * rows + legend_in + 0.2, rows=rows)
        for axes, panel in zip(panels, data.panels, strict=True):
            axes.set_title(wrapped(panel.title, 60), fontsize=9)
    for axes, panel in zip(panels, data.panels, strict=True):
        _scatter(axes, panel, looks, marks)
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
def draw_spectra(data: SpectrumData) -> Figure:
    """Thin lines are runs, thick ones their mean; a flat line uses every direction alike."""
    figure, (axes,) = canvas("Singular values of the embeddings", data.caption, height=3.2)
    for cell, runs, mean in zip(data.cells, data.runs, data.means, strict=True):
        colour, marker = data.looks[cell]
        for run in runs:
            axes.plot(range(1, len(run) + 1), run, color=colour, linewidth=0.8, alpha=0.4)
        every = max(1, len(mean) // 8)
        (line,) = axes.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2, marker=marker, markevery=every)
        line.set(linestyle=dash_of(data.looks, cell), label=cell)
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


def _marks(names: Sequence[str], *, narrow: bool) -> dict[str, str]:
    """What a class is called in the legend: of many classes, or of long names in narrow panels, each has a number.

    It is the number alone that stands in the plane.
    """
    if len(names) > NUMBERED_CLASSES or (narrow and max(map(len, names)) > SHORT_NAME):
        return {name: f"{i}{NUMBERED}{short(name, 22)}" for i, name in enumerate(names, start=1)}
    return {name: short(name, 12) for name in names}


def _scatter(axes: Axes, panel: PlanePanel, looks: Looks, marks: dict[str, str]) -> None:
    """Points, then ellipses or, without them, a name at the middle of each class."""
    centres = {name: (x, y) for x, y, _, _, _, name in panel.ellipses}
    for name, (colour, marker) in looks.items():
        points = np.array([point[:2] for point in panel.points if point[2] == name])
        if len(points):
            # A line without strokes costs a tenth of what a scatter does.
            axes.plot(*points.T, marker, color=colour, markersize=2.6, markeredgewidth=0, alpha=0.6)
            x, y = np.median(points, axis=0)
            centres.setdefault(name, (float(x), float(y)))
    for x, y, width, height, angle, name in panel.ellipses:
        axes.add_patch(Ellipse((x, y), width, height, angle=angle, fill=False, color=looks[name][0], linewidth=1.3))
    for name, (x, y) in centres.items():
        text = marks[name].split(NUMBERED)[0]
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
