"""Figures of how KoLeo and accumulation act, and of what a run costs; confirm runs at their last epoch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.analysis.figures.design import K, series_looks, series_name
from sweeps.analysis.figures.figure_data import looks_of
from sweeps.analysis.figures.figures import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import Looks
from sweeps.analysis.stats.descriptive import last_rows, rows_of

STAGE: Final = "confirm"

PLANE: Final = ("val_nn_distance", "val_effective_rank")

GAP: Final = {
    "nn_agreement": "neighbours in the\nsame micro-batch",
    "micro_full_grad_cos": "cosine of naive and\nfull-batch gradient",
}
"""What naive accumulation keeps of the full batch; measured where K > 1."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ScatterData:
    """One point per run, by cell."""

    title: str
    x: str
    y: str
    points: dict[str, Points]
    looks: Looks
    caption: str


@dataclass(frozen=True, slots=True)
class GapData:
    """Gap metrics against accumulation steps, by arm and mode: metric -> arm -> (K, value) of each run."""

    values: dict[str, dict[str, Points]]
    ks: tuple[int, ...]
    looks: Looks
    caption: str


def plane_data(trials: pa.Table, curves: pa.Table, *, dataset: str) -> ScatterData | None:
    """Effective rank against nearest-neighbour distance of every confirm run that completed; None without."""
    ends = last_rows(curves, STAGE, PLANE)
    pairs = []
    for row in rows_of(trials, STAGE, ("trial_id", "cell_id", "end_reason")):
        end = ends.get(row["trial_id"], {})
        if row["end_reason"] == "completed" and all(end.get(name) is not None for name in PLANE):
            pairs.append((row["cell_id"], (end[PLANE[0]], end[PLANE[1]])))
    words = ("How the embeddings fill their space", "mean distance to the nearest neighbour", "effective rank")
    return _scatter(pairs, looks_of(trials), words, f"{dataset}; stage confirm, validation split, last epoch")


def gap_data(trials: pa.Table, curves: pa.Table, *, dataset: str) -> GapData | None:
    """What naive accumulation keeps of the full batch, against K; None where no run measured it."""
    ends = last_rows(curves, STAGE, tuple(GAP))
    rows = [row for row in rows_of(trials, STAGE, ("trial_id", "cell_id", K)) if row["trial_id"] in ends]
    values: dict[str, dict[str, Points]] = {name: {} for name in GAP}
    for name in GAP:
        for row in rows:
            value, arm = ends[row["trial_id"]][name], series_name(row["cell_id"])
            if value is not None:
                values[name][arm] = (*values[name].get(arm, ()), (row[K], value))
    if not any(values.values()):
        return None
    ks = sorted({int(k) for of_arm in values.values() for points in of_arm.values() for k, _ in points})
    runs = max(sum(map(len, of_arm.values())) for of_arm in values.values())
    caption = f"n = {runs} runs; {dataset}; stage confirm, training batches, last epoch"
    return GapData(values, tuple(ks), series_looks(trials), caption)


def cost_data(trials: pa.Table, *, dataset: str) -> ScatterData | None:
    """Test AUC against GPU-seconds of every confirm run, wall seconds where there is no GPU; None without."""
    rows = rows_of(trials, STAGE, ("cell_id", "test_auc", "gpu_s", "wall_s"))
    on_gpu = any(row["gpu_s"] for row in rows)
    column, unit = ("gpu_s", "GPU-seconds") if on_gpu else ("wall_s", "wall seconds (no GPU)")
    pairs = [
        (row["cell_id"], (row[column], row["test_auc"]))
        for row in rows
        if row["test_auc"] is not None and row[column] is not None
    ]
    return _scatter(pairs, looks_of(trials), ("What a run costs", unit, "test AUC"), f"{dataset}; stage confirm")


@styled
def draw_scatter(data: ScatterData) -> Figure:
    """A small dot is a run, a large one the mean of its cell."""
    figure, (axes,) = canvas(data.title, data.caption, height=3.3)
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        axes.plot(*np.transpose(points), marker, color=colour, markersize=4, alpha=0.5, linestyle="none")
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        axes.plot(*np.mean(points, axis=0), marker, color=colour, markersize=9, markeredgecolor="black")
    axes.set(xlabel=data.x, ylabel=data.y)
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    legend_below(figure, dots(data.looks, data.points))
    return figure


@styled
def draw_gap(data: GapData) -> Figure:
    """One panel per metric; a dot is a run, lines join the means of an arm."""
    figure, panels = canvas("What accumulation keeps of the batch", data.caption, height=4.2, rows=len(GAP))
    place = {k: i for i, k in enumerate(data.ks)}
    for axes, (name, of_arm) in zip(panels, data.values.items(), strict=True):
        _by_k(axes, of_arm, place, data.looks)
        axes.set(ylabel=GAP[name], xticks=range(len(data.ks)), xticklabels=data.ks, xlim=(-0.5, len(data.ks) - 0.5))
        plain_ticks(axes, "y")
    panels[-1].set_xlabel("accumulation steps K")
    arms = {arm for of_arm in data.values.values() for arm in of_arm}
    legend_below(figure, dots(data.looks, [arm for arm in data.looks if arm in arms]))
    return figure


def _by_k(axes: Axes, of_arm: Mapping[str, Points], place: Mapping[int, int], looks: Looks) -> None:
    spread = 0.14
    for i, (arm, points) in enumerate(of_arm.items()):
        colour, marker = looks[arm]
        offset = spread * (i - (len(of_arm) - 1) / 2)
        xs = np.array([place[int(k)] + offset for k, _ in points])
        values = np.array([value for _, value in points])
        axes.plot(xs, values, marker, color=colour, markersize=4, alpha=0.5, linestyle="none")
        places = sorted(set(xs.tolist()))
        means = [float(values[xs == x].mean()) for x in places]
        axes.plot(places, means, marker=marker, color=colour, markersize=8, markeredgecolor="black", linewidth=1.4)


def _scatter(
    pairs: Iterable[tuple[str, tuple[float, float]]], looks: Looks, words: tuple[str, str, str], where: str
) -> ScatterData | None:
    """`words` are the title and the names of the axes."""
    points: dict[str, list[tuple[float, float]]] = {}
    for cell, point in pairs:
        points.setdefault(cell, []).append(point)
    if not points:
        return None
    shown = {cell: tuple(points[cell]) for cell in sorted(points)}
    title, x, y = words
    return ScatterData(title, x, y, shown, looks, f"n = {sum(map(len, shown.values()))} runs; {where}")
