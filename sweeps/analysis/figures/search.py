"""The last value of each search trial, in the order they were drawn."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, dots, legend_below, plain_ticks, styled, whole_ticks
from sweeps.analysis.figures.drawing.style import ADAPTIVE, GREY, Looks, looks_of, titled, wrapped
from sweeps.analysis.numbers import four
from sweeps.analysis.stats.description.descriptive import rows_of, selected_by
from sweeps.results.columns import named

READING: Final = "The first ten trials are drawn at random, later ones where earlier ones did well: it rises by design."


@dataclass(frozen=True, slots=True)
class SearchData:
    """Last value, of what the sweep is tuned by, of each search trial, in the order they were drawn."""

    measure: str
    """Column of `trials`."""

    arms: tuple[str, ...]
    trials: tuple[str, ...]
    """Their ids."""

    numbers: tuple[int, ...]
    values: tuple[float, ...]
    completed: tuple[bool, ...]
    looks: Looks
    stamp: str
    caption: str


def search_data(trials: pa.Table, *, dataset: str) -> SearchData | None:
    """Last value against trial order; trials without a finite value are counted in the caption.

    None where no trial has a finite value.
    """
    measure = selected_by(trials)
    rows = rows_of(trials, "search", ("trial_id", "cell_id", "end_reason", measure))
    shown = [(i, row) for i, row in enumerate(rows) if row[measure] is not None]
    if not shown:
        return None
    lost = len(rows) - len(shown)
    without = f"; {lost} without a value" if lost else ""
    return SearchData(
        measure=measure,
        arms=tuple(row["cell_id"] for _, row in shown),
        trials=tuple(row["trial_id"] for _, row in shown),
        numbers=tuple(i for i, _ in shown),
        values=tuple(row[measure] for _, row in shown),
        completed=tuple(row["end_reason"] == "completed" for _, row in shown),
        looks=looks_of(trials),
        stamp=ADAPTIVE,
        caption=f"n = {plural(len(rows), 'trial')}{without}; {dataset}; stage search",
    )


@styled
def draw_search(data: SearchData) -> Figure:
    """Last value against trial number; filled if the trial completed, hollow if it was stopped or failed."""
    figure, (axes,) = canvas(f"Search: {named(data.measure)} by trial", data.caption, height=3.2, stamp=data.stamp)
    looks = {arm: look for arm, look in data.looks.items() if arm in data.arms}
    for arm, (colour, marker) in looks.items():
        for completed, face in ((True, colour), (False, "white")):
            chosen = [i for i, name in enumerate(data.arms) if name == arm and data.completed[i] == completed]
            points = [(data.numbers[i], data.values[i]) for i in chosen] or np.empty((0, 2))
            (marks,) = axes.plot(*np.transpose(points), marker, color=colour, markerfacecolor=face, markersize=6)
            titled(marks, *(f"{data.trials[i]}: {four(data.values[i])}" for i in chosen))
    axes.set(xlabel="trial", ylabel=wrapped(f"last {named(data.measure)}", 30))
    whole_ticks(axes)
    plain_ticks(axes, "y")
    handles = dots(looks, looks)
    for label, face in (("completed", GREY), ("stopped or failed", "white")):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor=face, linestyle="none", label=label))
    legend_below(figure, handles)
    return figure
