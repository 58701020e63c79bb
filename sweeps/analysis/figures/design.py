"""Figures of the planned comparison: outcomes against accumulation by arm, and all contrasts on one axis."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from sweeps.analysis.figures.figures import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import BAND, GREY, Looks, arm_style, wrapped
from sweeps.analysis.numbers import decimals_for, number
from sweeps.analysis.stats.cells import levels_of
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.analysis.stats.effects import Effect
from sweeps.results.columns import named

K: Final = "accum_steps"

FAMILIES: Final = {"primary": ("D", "black"), "exploratory": ("o", "#5c5c5c"), "control": ("s", "#8a8a8a")}
"""Marker and colour of a contrast by what it is for."""


@dataclass(frozen=True, slots=True)
class Series:
    """One arm over accumulation steps."""

    name: str
    """The cell without its level of accum_steps."""

    ks: tuple[int, ...]
    """Ascending."""

    values: tuple[tuple[tuple[int, float], ...], ...]
    """Per K the (block, outcome) of each run."""

    means: tuple[float, ...]

    for_all: bool
    """Whether one cell stands for every K, since accumulation does nothing there."""


@dataclass(frozen=True, slots=True)
class InteractionData:
    """Outcome of every run against accumulation steps, by arm, with cell means."""

    series: tuple[Series, ...]
    ks: tuple[int, ...]
    looks: Looks
    caption: str


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One contrast."""

    label: str
    effect: Effect
    family: str


@dataclass(frozen=True, slots=True)
class ForestData:
    """Contrasts in the order given, on one axis."""

    rows: tuple[ForestRow, ...]
    outcome: str
    caption: str


def series_name(cell: str) -> str:
    """The cell's name without its level of accum_steps."""
    return ",".join(part for part in cell.split(",") if part.partition("=")[0].strip() != K) or "all arms"


def series_looks(trials: pa.Table) -> Looks:
    """Colour and marker of every arm of the sweep, the same in each figure over K."""
    return arm_style(series_name(cell) for cell in pc.unique(trials["cell_id"]).to_pylist())


def interaction_data(trials: pa.Table, *, dataset: str, without: Collection[str] = ()) -> InteractionData | None:
    """Confirm runs by arm and K; None if no arm has more than one K.

    A run that failed has no outcome and counts as `COMPOSITE_AUC`, as it does in the contrasts; the caption says so.

    Args:
        trials: the table `trials` with `stage`.
        dataset: for the caption.
        without: cells to leave out: controls, drop-in cells.
    """
    columns = ("cell_id", "block", K, "test_auc", "end_reason")
    rows = [row for row in rows_of(trials, "confirm", columns) if row["cell_id"] not in without]
    cells = {row["cell_id"]: row[K] for row in rows}
    ks = sorted(set(cells.values()))
    names = sorted({series_name(cell) for cell in cells})
    series = []
    for name in names:
        own = {k: cell for cell, k in cells.items() if series_name(cell) == name}
        values = [
            tuple(
                (row["block"], COMPOSITE_AUC if row["test_auc"] is None else row["test_auc"])
                for row in rows
                if row["cell_id"] == own[k]
            )
            for k in sorted(own)
        ]
        means = tuple(float(np.mean([value for _, value in of_k])) for of_k in values)
        for_all = len(own) == 1 and K not in levels_of(next(iter(own.values())))
        series.append(Series(name, tuple(sorted(own)), tuple(values), means, for_all))
    if not any(len(one.ks) > 1 for one in series):
        return None
    lost = sum(row["test_auc"] is None for row in rows)
    failed = f"; {lost} failed, counted as {number(COMPOSITE_AUC, decimals=1)}" if lost else ""
    blocks = len({row["block"] for row in rows})
    caption = f"n = {blocks} blocks, {len(rows)} runs; {dataset}; stage confirm{failed}"
    return InteractionData(tuple(series), tuple(ks), series_looks(trials), caption)


def forest_data(items: Sequence[tuple[str, Effect, str]], *, dataset: str, outcome: str = "test_auc") -> ForestData:
    """Contrasts as rows.

    Args:
        items: (label, effect, family), family one of FAMILIES; all in units of `outcome`.
        dataset: for the caption.
        outcome: column of `trials`.

    Raises:
        ValueError: no contrast.
    """
    if not items:
        raise ValueError("A forest needs at least one estimated contrast.")
    blocks = sorted({effect.n for _, effect, _ in items})
    n = f"{blocks[0]}" if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
    rows = tuple(ForestRow(label, effect, family) for label, effect, family in items)
    return ForestData(rows, outcome, f"n = {n} blocks; {dataset}; stage confirm; 95 % intervals")


@styled
def draw_interaction(data: InteractionData) -> Figure:
    """K across, one line of cell means per arm, one dot per run; faint lines join the runs of a block."""
    figure, (axes,) = canvas("Outcome by accumulation steps and arm", data.caption, height=3.4)
    place = {k: i for i, k in enumerate(data.ks)}
    spread = 0.16 * (np.arange(len(data.series)) - (len(data.series) - 1) / 2)
    for series, offset in zip(data.series, spread, strict=True):
        colour, marker = data.looks[series.name]
        xs = np.array([place[k] for k in series.ks]) + offset
        of_block: dict[int, list[tuple[float, float]]] = {}
        for x, of_k in zip(xs.tolist(), series.values, strict=True):
            for block, value in of_k:
                of_block.setdefault(block, []).append((x, value))
        axes.add_collection(LineCollection(list(of_block.values()), colors=colour, linewidths=0.6, alpha=0.3))
        for x, of_k in zip(xs, series.values, strict=True):
            axes.plot(
                [x] * len(of_k), [v for _, v in of_k], ".", color=colour, markersize=6, alpha=0.5, markeredgewidth=0
            )
        if series.for_all:
            axes.axhline(series.means[0], color=colour, linewidth=1.4, linestyle=(0, (5, 3)))
        axes.plot(xs, series.means, marker=marker, color=colour, linewidth=2, markersize=7, markeredgecolor="white")
    axes.set(xticks=range(len(data.ks)), xticklabels=data.ks, xlim=(-0.5, len(data.ks) - 0.5))
    axes.set(xlabel="accumulation steps K", ylabel="test AUC")
    plain_ticks(axes, "y")
    handles: list[Line2D] = []
    for series in data.series:
        (handle,) = dots(data.looks, [series.name])
        handle.set(linestyle=(0, (5, 3)) if series.for_all else "-")
        handle.set_label(f"{series.name}, the same at every K" if series.for_all else series.name)
        handles.append(handle)
    legend_below(figure, handles)
    return figure


@styled
def draw_forest(data: ForestData) -> Figure:
    """Point and 95 % interval per contrast over its band of ±SESOI, the numbers under its name."""
    labels = [wrapped(row.label, 22) for row in data.rows]
    lines = [label.count("\n") + 2 for label in labels]
    figure, (axes,) = canvas("Contrasts", data.caption, height=1.0 + 0.19 * sum(lines))
    centres = np.cumsum(lines) - np.array(lines) / 2
    for row, y, high in zip(data.rows, centres, lines, strict=True):
        effect, (marker, colour) = row.effect, FAMILIES[row.family]
        sesoi = effect.sesoi
        axes.add_patch(Rectangle((-sesoi, y - high / 2), 2 * sesoi, high, facecolor=BAND, linewidth=0, zorder=0))
        axes.plot([effect.ci_low, effect.ci_high], [y, y], color=colour, linewidth=2)
        axes.plot([effect.estimate], [y], marker, color=colour, markersize=6.5, markeredgecolor="white")
    axes.axvline(0, color=GREY, linewidth=1)
    texts = [f"{label}\n{_estimate(row.effect)}" for label, row in zip(labels, data.rows, strict=True)]
    axes.set_yticks(centres, texts, fontsize=8.5)
    axes.set(ylim=(sum(lines), 0), xlabel=wrapped(f"difference in {named(data.outcome)}", 34))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    plain_ticks(axes, "x", signed=True)
    seen = [family for family in FAMILIES if any(row.family == family for row in data.rows)]
    marks = {family: FAMILIES[family] for family in seen}
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=name) for name, (marker, colour) in marks.items()
    ]
    legend_below(figure, [*handles, Patch(facecolor=BAND, label="±SESOI")])
    return figure


def _estimate(effect: Effect) -> str:
    return number(effect.estimate, decimals=decimals_for(effect), signed=True)
