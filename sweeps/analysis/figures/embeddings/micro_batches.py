"""What KoLeo sees of a batch that accumulation divides: neighbours and directions in the plane, for each K."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import styled
from sweeps.analysis.figures.drawing.panel_grid import panel_grid
from sweeps.analysis.figures.drawing.style import COLOURS, GREY, named_cells
from sweeps.analysis.figures.embeddings.stored_views import Shown, where
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.pairing import Place

READING: Final = (
    "A batch in the plane. A line joins an image to its nearest neighbour in the batch as long as both are in one "
    "micro-batch; an arrow points where KoLeo would push it, away from the nearest neighbour that its micro-batch has. "
    "Neighbours are those of the plane, where they can be seen, not of the full embeddings."
)

BATCH: Final = 64
"""Images: the first that are stored, in their order; micro-batches are slices of them."""

STEPS: Final = (1, 2, 4, 8, 16)

SEEN, ARROWS = COLOURS[0], COLOURS[1]

ARROW: Final = 0.045
"""Length, as a share of the width of the plane."""

TITLE: Final = "What a micro-batch sees of a batch"


@dataclass(frozen=True, slots=True)
class MicroBatchData:
    """One run's batch."""

    points: tuple[tuple[float, float], ...]
    neighbours: dict[int, tuple[int, ...]]
    """K -> of each image the place of the nearest other in its micro-batch."""

    caption: str

    def seen(self, k: int) -> list[bool]:
        """Of each image whether its micro-batch has its nearest neighbour in the batch."""
        return [own == nearest for own, nearest in zip(self.neighbours[k], self.neighbours[1], strict=True)]

    @property
    def moving(self) -> dict[str, Any]:
        """What the slider of the page needs."""
        width = float(np.ptp(np.array(self.points), axis=0).max())
        return {
            "title": TITLE,
            "about": named_cells(self.caption),
            "points": [[round(value, 4) for value in point] for point in self.points],
            "neighbours": [[k, list(own)] for k, own in self.neighbours.items()],
            "arrow": round(ARROW * width, 5),
            "colours": [GREY, SEEN, ARROWS],
        }


def micro_batch_data(data: Shown, split: str, *, block: Place) -> MicroBatchData | None:
    """The first stored images of a run with KoLeo, else of the first cell; None where no micro-batch would have two."""
    cell = next((cell for cell in data.cells if levels_of(cell).get("koleo") == "on"), data.cells[0])
    rows = data.rows("pca", split, data.trials[cell][block])[:BATCH]
    steps = [k for k in STEPS if len(rows) % k == 0 and len(rows) // k > 1]
    if len(steps) < 2:
        return None
    points = np.array([(row["x"], row["y"]) for row in rows], dtype=float)
    caption = (
        f"n = {plural(len(rows), 'image')}; {cell}, {data.named(block)}; {where(data, split)}; PCA fitted to all images"
    )
    return MicroBatchData(
        points=tuple((float(x), float(y)) for x, y in points),
        neighbours={k: tuple(nearest_within(points, k).tolist()) for k in steps},
        caption=caption,
    )


def nearest_within(points: np.ndarray, k: int) -> np.ndarray:
    """Of each of the points [n, 2] the place of the nearest other in its slice of n / k points."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    slices = np.arange(len(points)) * k // len(points)
    distances[slices[:, None] != slices[None]] = np.inf
    np.fill_diagonal(distances, np.inf)
    nearest: np.ndarray = distances.argmin(axis=1)
    return nearest


@styled
def draw_micro_batches(data: MicroBatchData) -> Figure:
    """A panel per K."""
    names = [f"K={k}: {sum(data.seen(k))} of {len(data.points)} see it" for k in data.neighbours]
    handles = [
        Line2D([], [], color=SEEN, linewidth=1.2, label="nearest neighbour, seen"),
        Line2D([], [], color=ARROWS, marker=">", linewidth=1.2, markersize=4, label="where KoLeo pushes"),
    ]
    figure, panels = panel_grid(TITLE, data.caption, names, handles, height=1.9)
    points = np.array(data.points)
    for axes, (k, nearest) in zip(panels, data.neighbours.items(), strict=True):
        ends = [points[[i, nearest[i]]] for i, seen in enumerate(data.seen(k)) if seen]
        axes.add_collection(LineCollection(ends, colors=SEEN, linewidths=0.9, zorder=1))
        away = points - points[list(nearest)]
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
        arrows = away * ARROW * np.ptp(points, axis=0).max()
        axes.quiver(*points.T, *arrows.T, color=ARROWS, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=2)
        axes.plot(*points.T, "o", color=GREY, markersize=2.2, linestyle="none", zorder=3)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xticks=[], yticks=[])
    return figure
