"""The embeddings in a plane by PCA, UMAP or t-SNE: of held-out images, and of training images beside test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.drawing.canvas import canvas, plain_ticks, styled
from sweeps.analysis.figures.drawing.panel_grid import STACKED, panel_grid, share_limits
from sweeps.analysis.figures.drawing.style import COLOURS, MARKERS, Looks, short, wrapped
from sweeps.analysis.figures.embeddings.stored_views import Shown, where
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.reading.pairing import Place

PCA_READING: Final = (
    "An ellipse holds the half of a class that is nearest to its mean. Each run has axes of its own: compare sizes and "
    "overlap, not positions."
)
UMAP_TSNE_READING: Final = (
    "The same images in each panel. Neighbours are kept, distances, sizes and gaps are not: read clusters, not lengths."
)
TRAIN_READING: Final = (
    "Training images beside test images of the same run. Each plane has a layout of its own: classes that hold "
    "together on the left but mix on the right have been memorised."
)

PROJECTIONS: Final = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
"""View -> its name."""

NAMED_CLASSES: Final = 12
"""Above this many classes each stands in the plane as a number."""

SHORT_NAME: Final = 5
"""Characters of which a dozen fit into a narrow panel."""

NUMBERED: Final = "\u2002"
"""Between the number of a class and its name: a space that no name has."""

GRID_IN: Final = (1.9, 2.3)
"""Height of a panel in a grid without and with axes: where width limits a square, its title has its room."""

SIDE_IN: Final = (2.2, 1.4)
"""Of a panel alone in its row, and of one in a grid."""

LABEL_PT: Final = 8
CHARACTER_IN: Final = 0.62 * LABEL_PT / 72
LABEL_IN: Final = 1.25 * LABEL_PT / 72

PUSHES: Final = 60

_LEADER: Final[dict[str, Any]] = {"arrowstyle": "-", "color": "#444444", "linewidth": 0.5}

_LABEL_BOX: Final = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}


@dataclass(frozen=True, slots=True)
class ProjectionPanel:
    """One run's points and ellipses."""

    title: str
    points: tuple[tuple[float, float, str], ...]
    """x, y and class name."""
    ellipses: tuple[tuple[float, float, float, float, float, str], ...]
    """Centre x and y, full width and height, angle in degrees, class name."""


@dataclass(frozen=True, slots=True)
class ProjectionData:
    """One method's plane per cell."""

    method: str
    panels: tuple[ProjectionPanel, ...]
    class_names: tuple[str, ...]
    caption: str
    pairs: bool = False
    """Whether panels come in pairs that belong side by side."""


def projection_data(data: Shown, split: str, view: str, *, block: Place) -> ProjectionData:
    """The runs of one block in the plane of `view`, one of PROJECTIONS; PCA with the ellipses of its classes."""
    panels, counts = [], set()
    names: dict[int, str] = {}
    for cell, blocks in data.trials.items():
        rows = data.rows(view, split, blocks[block])
        names |= {row["class_id"]: row["class_name"] for row in rows}
        counts.add((len(rows), rows[0]["seed"]))
        points = tuple((row["x"], row["y"], row["class_name"]) for row in rows)
        ellipses: tuple[Any, ...] = ()
        title = cell
        if view == "pca":
            found = [row for row in data.rows("ellipse", split, blocks[block]) if row["width"] is not None]
            ellipses = tuple((*(r[k] for k in ("x", "y", "width", "height", "angle")), r["class_name"]) for r in found)
            title += ": " + "; ".join(filter(None, (_axes(data.rows("pca_axis", split, blocks[block])), _area(found))))
        panels.append(ProjectionPanel(title, points, ellipses))
    ((n, seed),) = counts
    total = data.images(split)
    fit = "fitted to all" if view == "pca" else f"{PROJECTIONS[view]} of standardised embeddings"
    run = f"{data.named(block)}, seed {seed}"
    caption = f"n = {n:,} of {total:,} images, {len(names)} classes, {fit}; {run}; {where(data, split)}"
    return ProjectionData(PROJECTIONS[view], tuple(panels), tuple(names[c] for c in sorted(names)), caption)


def train_projection_data(data: Shown, view: str, *, block: Place) -> ProjectionData:
    """Training images beside test images in the plane of `view`, for the cells that get sheets; no ellipses."""
    panels: list[ProjectionPanel] = []
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for cell in data.sheet_cells:
        for split in ("train", "test"):
            rows = data.rows(view, split, data.trials[cell][block])
            names |= {row["class_id"]: row["class_name"] for row in rows}
            counts[split] = len(rows)
            points = tuple((row["x"], row["y"], row["class_name"]) for row in rows)
            panels.append(ProjectionPanel(f"{cell}\n{split}", points, ()))
    of = f", {len(data.sheet_cells)} of {len(data.cells)} cells" if len(data.sheet_cells) < len(data.cells) else ""
    caption = (
        f"n = {counts['train']:,} training and {counts['test']:,} test images, {len(names)} classes{of}; each laid out "
        f"by itself; {data.named(block)}; {data.dataset}"
    )
    return ProjectionData(PROJECTIONS[view], tuple(panels), tuple(names[c] for c in sorted(names)), caption, pairs=True)


def _axes(rows: list[Row]) -> str:
    shares = [row["value"] for row in rows]
    return "no variance" if None in shares else f"{number(sum(shares), decimals=2)} of the variance"


def _area(ellipses: list[Row]) -> str:
    return (
        f"mean ellipse area {number(float(np.mean([row['value'] for row in ellipses])), decimals=3)}"
        if ellipses
        else ""
    )


@styled
def draw_projection(data: ProjectionData) -> Figure:
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
        alike = data.panels if data.method == "PCA" else [panel]  # on a common scale
        spans = (float(np.ptp([p[i] for p in own.points])) for own in alike for i in (0, 1) if own.points)
        _scatter(axes, panel, looks, marks, inch=(max(spans, default=0) or 1) / SIDE_IN[grid])
        axes.set_aspect("equal", adjustable="datalim" if data.method != "PCA" else "box")
    if data.method == "PCA":
        share_limits(panels, "x", "y")
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


def _class_looks(names: Sequence[str]) -> Looks:
    """Six colours, then the same with the next marker."""
    return {name: (COLOURS[i % 6], MARKERS[i // 6 % 6]) for i, name in enumerate(names)}


def _marks(names: Sequence[str], *, narrow: bool) -> dict[str, str]:
    """What a class is called in the legend: of many classes, or of long names in narrow panels, each has a number.

    It is the number alone that stands in the plane.
    """
    if len(names) > NAMED_CLASSES or (narrow and max(map(len, names)) > SHORT_NAME):
        return {name: f"{i}{NUMBERED}{short(name, 22)}" for i, name in enumerate(names, start=1)}
    return {name: short(name, 12) for name in names}


def _scatter(axes: Axes, panel: ProjectionPanel, looks: Looks, marks: dict[str, str], *, inch: float) -> None:
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
    named = [marks[name].split(NUMBERED)[0] for name in centres]
    for text, centre, place in zip(named, centres.values(), _apart([*centres.values()], named, inch), strict=True):
        label = axes.annotate(text, centre, xytext=tuple(place), fontsize=LABEL_PT, bbox=_LABEL_BOX, arrowprops=_LEADER)
        label.set(ha="center", va="center", in_layout=False)
    if not panel.ellipses:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)


def _apart(centres: Sequence[tuple[float, float]], texts: Sequence[str], inch: float) -> np.ndarray:
    """Places for labels, pushed from the centres until none overprints another; `inch` in the units of `centres`."""
    places = np.array(centres, dtype=float)
    rooms = inch * np.array([(CHARACTER_IN * (len(text) + 1), LABEL_IN) for text in texts])
    for _ in range(PUSHES):
        for i, j in combinations(range(len(places)), 2):
            apart = places[j] - places[i]
            missing = (rooms[i] + rooms[j]) / 2 - np.abs(apart)
            if missing.min() > 0:
                axis = int(missing.argmin())  # the shorter way
                push = missing[axis] / 2 * (1 if apart[axis] >= 0 else -1)
                places[i, axis] -= push
                places[j, axis] += push
    return places
