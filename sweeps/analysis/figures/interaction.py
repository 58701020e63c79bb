"""Outcomes against accumulation steps by arm."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import K, Looks, series_looks, series_name, wrapped
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.reading.composite import composite_of, counted_as, measured_or_composite
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.results.columns import named
from sweeps.results.endings import FAILED_TRAINING

READING: Final = (
    "Large marks are means of a cell, small dots its replicates, faint lines join those of one replicate (at one "
    "tuning: seeds). Lines that are not parallel are what an interaction looks like; whether there is one is for the "
    "interval to say."
)


@dataclass(frozen=True, slots=True)
class Series:
    """One arm over accumulation steps."""

    name: str
    """The cell without its level of accum_steps."""

    ks: tuple[int, ...]
    """Ascending."""

    values: tuple[tuple[tuple[int, float], ...], ...]
    """Per K the (number, outcome) of each replicate; of each seed where there is one replicate."""

    means: tuple[float, ...]

    for_all: bool
    """Whether one cell stands for every K, since accumulation does nothing there."""


@dataclass(frozen=True, slots=True)
class InteractionData:
    """Outcome of every replicate against accumulation steps, by arm, with cell means."""

    outcome: str
    series: tuple[Series, ...]
    ks: tuple[int, ...]
    looks: Looks
    caption: str


def interaction_data(
    trials: pa.Table, *, outcome: str = "test_auc", dataset: str, without: Collection[str] = ()
) -> InteractionData | None:
    """Confirm runs by arm and K; None if no arm has more than one K, or none has the outcome.

    A run that failed has no outcome and counts with the composite, as it does in the contrasts; the caption says so.

    Args:
        trials: the table `trials` with `stage`.
        outcome: column of it.
        dataset: for the caption.
        without: cells to leave out: controls, drop-in cells.
    """
    columns = ("cell_id", "replicate", "block", K, outcome, "end_reason")
    rows = [row for row in rows_of(trials, "confirm", columns) if row["cell_id"] not in without]
    rows = [row for row in rows if row[outcome] is not None or _counts(row, outcome)]
    cells = {row["cell_id"]: row[K] for row in rows}
    ks = sorted(set(cells.values()))
    names = sorted({series_name(cell) for cell in cells})
    series = []
    for name in names:
        own = {k: cell for cell, k in cells.items() if series_name(cell) == name}
        values = [_by_unit([row for row in rows if row["cell_id"] == own[k]], outcome) for k in sorted(own)]
        means = tuple(float(np.mean([value for _, value in of_k])) for of_k in values)
        for_all = len(own) == 1 and K not in levels_of(next(iter(own.values())))
        series.append(Series(name, tuple(sorted(own)), tuple(values), means, for_all))
    if not any(len(one.ks) > 1 for one in series):
        return None
    lost = sum(row[outcome] is None for row in rows)
    failed = f"; {lost} failed, {counted_as(outcome)}" if lost else ""
    replicates = len({place_of(row).replicate for row in rows})
    n = f"{replicates} replicates" if replicates > 1 else f"{len({row['block'] for row in rows})} seeds"
    caption = f"n = {n}, {len(rows)} runs; {dataset}; stage confirm{failed}"
    return InteractionData(outcome, tuple(series), tuple(ks), series_looks(trials), caption)


def _counts(row: Row, outcome: str) -> bool:
    """Whether a run without the outcome has a value all the same: its training failed, which is the method's doing."""
    return row["end_reason"] in FAILED_TRAINING and composite_of(outcome) is not None


def _by_unit(rows: Sequence[Row], outcome: str) -> tuple[tuple[int, float], ...]:
    """(replicate, mean over its seeds) of one cell; (block, value) of a single replicate."""
    values = {place_of(row): measured_or_composite(row[outcome], outcome) for row in rows}
    replicates = sorted({place.replicate for place in values})
    if len(replicates) > 1:
        return tuple((r, float(np.mean([v for at, v in values.items() if at.replicate == r]))) for r in replicates)
    return tuple((place.block, values[place]) for place in sorted(values))


@styled
def draw_interaction(data: InteractionData) -> Figure:
    """K across, one line of cell means per arm, one dot per unit; faint lines join those of a unit."""
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
    axes.set(xlabel="accumulation steps K", ylabel=wrapped(named(data.outcome), 30))
    plain_ticks(axes, "y")
    handles: list[Line2D] = []
    for series in data.series:
        (handle,) = dots(data.looks, [series.name])
        handle.set(linestyle=(0, (5, 3)) if series.for_all else "-")
        handle.set_label(f"{series.name}, the same at every K" if series.for_all else series.name)
        handles.append(handle)
    legend_below(figure, handles)
    return figure
