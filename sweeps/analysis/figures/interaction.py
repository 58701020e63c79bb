"""Outcomes against accumulation steps by arm."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.style import K, Looks, series_looks, series_name, titled
from sweeps.analysis.numbers import four
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.description.held_out import unit_of
from sweeps.analysis.stats.reading.composite import composite_of, counted_as, measured_or_composite
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.analysis.wording import cell_name
from sweeps.results.columns import named
from sweeps.results.endings import FAILED_TRAINING

READING: Final = (
    "Large marks are means of cells; small dots are what the caption counts, replicates or seeds, and faint lines join "
    "the dots of one of them. Lines that are not parallel suggest an interaction; its interval says "
    "whether there is one."
)

MOST_SPREAD: Final = 0.8
"""Of all arms at one K, where 1 is the way to the next."""

EVERY_K: Final = (0, (5, 3))
"""Dashes of an arm that one cell stands for at every K."""


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
    unit: str
    """What a dot is: `replicate`, or `seed` where there is one replicate or nothing was tuned."""

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
    unit = "replicate" if unit_of(trials) == "replicates" else "seed"
    replicates, blocks = (len(set(numbers)) for numbers in zip(*map(place_of, rows), strict=True))
    n = replicates if replicates > 1 else blocks
    caption = f"n = {plural(n, unit)}, {plural(len(rows), 'run')}; {dataset}; stage confirm{failed}"
    return InteractionData(outcome, tuple(series), tuple(ks), unit, series_looks(trials), caption)


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
def draw_interaction(outcomes: Sequence[InteractionData]) -> Figure:
    """A panel per outcome: K across, one line of cell means per arm, one dot per unit; faint lines join a unit's."""
    first = outcomes[0]
    figure, panels = canvas("Accumulation steps and arm", first.caption, height=3.2, columns=len(outcomes))
    every: dict[str, LineEnd] = {}
    last: dict[str, LineEnd] = {}
    for axes, data in zip(panels, outcomes, strict=True):
        last = _draw_outcome(axes, data)
        every |= last
        axes.set_title(named(data.outcome), fontsize=9)
    # An arm has the same colour and marker in every panel, so it is named beside the last, if that one has it.
    if len(last) < len(every) or not name_ends((panels[-1], [*last.values()])):
        handles = dots({**first.looks, **outcomes[-1].looks}, every)
        for handle, end in zip(handles, every.values(), strict=True):
            handle.set(linestyle=end.dash, label=end.name)
        legend_below(figure, handles)
    return figure


def _draw_outcome(axes: Axes, data: InteractionData) -> dict[str, LineEnd]:
    """Draws one outcome; returns where its arms end on the right."""
    ends = {}
    place = {k: i for i, k in enumerate(data.ks)}
    spread = min(0.16, MOST_SPREAD / len(data.series)) * (np.arange(len(data.series)) - (len(data.series) - 1) / 2)
    for series, offset in zip(data.series, spread, strict=True):
        colour, marker = data.looks[series.name]
        xs = np.array([place[k] for k in series.ks]) + offset
        of_unit: dict[int, list[tuple[float, float]]] = {}
        for x, of_k in zip(xs.tolist(), series.values, strict=True):
            for unit, value in of_k:
                of_unit.setdefault(unit, []).append((x, value))
        axes.add_collection(LineCollection(list(of_unit.values()), colors=colour, linewidths=0.6, alpha=0.3))
        for x, of_k in zip(xs, series.values, strict=True):
            (units,) = axes.plot([x] * len(of_k), [v for _, v in of_k], ".", color=colour, markersize=6, alpha=0.5)
            units.set_markeredgewidth(0)
            titled(units, *(f"{data.unit} {unit}: {four(value)}" for unit, value in of_k))
        if series.for_all:
            axes.axhline(series.means[0], color=colour, linewidth=1.4, linestyle=EVERY_K)
        (means,) = axes.plot(xs, series.means, marker=marker, color=colour, linewidth=2, markersize=7)
        means.set_markeredgecolor("white")
        told = zip(series.ks, series.means, strict=True)
        titled(means, *(f"{cell_name(series.name)}, K={k}: mean {four(mean)}" for k, mean in told))
        if series.for_all:
            ends[series.name] = LineEnd(f"{cell_name(series.name)}, every K", series.means[0], colour, EVERY_K)
        else:
            ends[series.name] = LineEnd(series.name, series.means[-1], colour)
    axes.set(xticks=range(len(data.ks)), xticklabels=data.ks, xlim=(-0.5, len(data.ks) - 0.5))
    axes.set_xlabel("accumulation steps K")
    plain_ticks(axes, "y")
    return ends
