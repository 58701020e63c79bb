"""How the embeddings fill their space: effective rank against nearest-neighbour distance."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import Looks, Points, looks_of, titled
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.description.descriptive import last_rows, rows_of

READING: Final = "A small mark is a run, a large one the mean of its cell."

KOLEO_READING: Final = " KoLeo pushes nearest neighbours apart."

DISTANCE, RANK = "val_nn_distance", "val_effective_rank"
"""Columns of `curves`."""


@dataclass(frozen=True, slots=True)
class PlaneData:
    """(distance to the nearest neighbour, effective rank) of each run, by cell."""

    points: dict[str, Points]
    trials: dict[str, tuple[str, ...]]
    """Ids of the runs, by cell."""

    looks: Looks
    caption: str


def plane_data(trials: pa.Table, curves: pa.Table, *, dataset: str) -> PlaneData | None:
    """Every confirm run that completed, at its last epoch; None without."""
    ends = last_rows(curves, "confirm", (DISTANCE, RANK))
    points: dict[str, list[tuple[float, float]]] = {}
    ids: dict[str, tuple[str, ...]] = {}
    for row in rows_of(trials, "confirm", ("trial_id", "cell_id", "end_reason")):
        end = ends.get(row["trial_id"], {})
        if row["end_reason"] == "completed" and all(end.get(name) is not None for name in (DISTANCE, RANK)):
            points.setdefault(row["cell_id"], []).append((end[DISTANCE], end[RANK]))
            ids[row["cell_id"]] = (*ids.get(row["cell_id"], ()), row["trial_id"])
    if not points:
        return None
    n = sum(map(len, points.values()))
    return PlaneData(
        points={cell: tuple(points[cell]) for cell in sorted(points)},
        trials=ids,
        looks=looks_of(trials),
        caption=f"n = {plural(n, 'run')}; {dataset}; stage confirm, validation split, last epoch",
    )


def reading(trials: pa.Table) -> str:
    """How to read the figure of these trials."""
    return READING + KOLEO_READING * bool(pc.any(trials["koleo"]).as_py())


@styled
def draw_plane(data: PlaneData) -> Figure:
    """A small dot is a run, a large one the mean of its cell."""
    figure, (axes,) = canvas("How the embeddings fill their space", data.caption, height=3.3)
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        (runs,) = axes.plot(*np.transpose(points), marker, color=colour, markersize=4, alpha=0.5, linestyle="none")
        at = zip(data.trials[cell], points, strict=True)
        titled(runs, *(f"{trial}: distance {number(x)}, rank {y:.1f}" for trial, (x, y) in at))
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        axes.plot(*np.mean(points, axis=0), marker, color=colour, markersize=9, markeredgecolor="black")
    axes.set(xlabel="mean distance to the nearest neighbour", ylabel="effective rank")
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    legend_below(figure, dots(data.looks, data.points))
    return figure
