"""What settings are chosen by, against each tuned setting: is tuning fair?"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.drawing.canvas import (
    canvas,
    dots,
    legend_below,
    log_ticks,
    plain_ticks,
    spans_decades,
    styled,
)
from sweeps.analysis.figures.drawing.style import GREY, Looks, Points, each, looks_of, titled, wrapped
from sweeps.analysis.numbers import four, setting
from sweeps.analysis.stats.description.descriptive import SAMPLED, rows_of, selected_by
from sweeps.analysis.wording import capital
from sweeps.results.columns import named

READING: Final = "Tuning is fair if each cell's best lies inside the range, with worse values around it."
DESIGNED_READING: Final = "In each replicate every cell tried the same settings. "
SAMPLED_READING: Final = (
    "In each replicate every cell tried the same first settings; the others were proposed where it had done well, and "
    "poor trials were stopped early. "
)


SEEDS: Final = ("seed", "split_seed")


@dataclass(frozen=True, slots=True)
class Panel:
    """One tuned setting: (its value, the measure) of each trial, by cell."""

    setting: str
    log: bool
    points: dict[str, Points]
    trials: dict[str, tuple[str, ...]]
    """Their ids, by cell in the same order."""

    chosen: dict[str, Points]
    """The best trial of each cell, of every replicate."""
    lost: tuple[float, ...]
    """Values of the trials that have no outcome."""


@dataclass(frozen=True, slots=True)
class IsolationData:
    """The measure against each tuned setting."""

    measure: str
    """Column of `trials`."""

    sampled: bool
    """Whether some settings were proposed by what others had given."""

    panels: tuple[Panel, ...]
    looks: Looks
    caption: str


def isolation_data(trials: pa.Table, *, dataset: str) -> IsolationData | None:
    """Every setting that varies within a cell of the tune stage; None without such trials."""
    measure = selected_by(trials)
    columns = ("trial_id", "cell_id", "replicate", "origin", "end_reason", "config_json", measure)
    rows = [
        row | {"config": json.loads(row["config_json"]), "replicate": row["replicate"] or 1}
        for row in rows_of(trials, "tune", columns)
    ]
    names = _varying(rows)
    if not names:
        return None
    lost = sum(row[measure] is None for row in rows)
    stopped = sum(row["end_reason"] == "asha_stopped" for row in rows)
    failed = f"; {lost} without an outcome" if lost else ""
    failed += f"; {stopped} stopped early, at their last value" if stopped else ""
    per_cell = each(Counter((row["cell_id"], row["replicate"]) for row in rows).values(), "trial")
    replicates = len({row["replicate"] for row in rows})
    of = f" in each of {replicates} replicates" if replicates > 1 else ""
    caption = f"n = {per_cell} per cell{of}; {dataset}; stage tune{failed}"
    sampled = any(row["origin"] == SAMPLED for row in rows)
    panels = tuple(_panel(rows, name, measure) for name in names)
    return IsolationData(measure, sampled, panels, looks_of(trials), caption)


def reading(data: IsolationData) -> str:
    """How to read the figure."""
    return (SAMPLED_READING if data.sampled else DESIGNED_READING) + READING


def _varying(rows: Iterable[Row]) -> list[str]:
    """Numeric settings with more than one value within some cell, lr first, then by name."""
    seen: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        for name, value in row["config"].items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in SEEDS:
                seen.setdefault((name, row["cell_id"]), set()).add(value)
    return sorted(
        {name for (name, _), values in seen.items() if len(values) > 1}, key=lambda name: (name != "lr", name)
    )


def _panel(rows: Iterable[Row], name: str, measure: str) -> Panel:
    found: dict[str, list[tuple[tuple[float, float], str]]] = {}
    best: dict[tuple[str, int], tuple[float, float]] = {}
    lost = []
    for row in rows:
        value, reached = row["config"].get(name), row[measure]
        if value is not None and reached is not None:
            point, key = (float(value), reached), (row["cell_id"], row["replicate"])
            found.setdefault(row["cell_id"], []).append((point, row["trial_id"]))
            if row["end_reason"] == "completed" and (key not in best or reached > best[key][1]):
                best[key] = point
        elif value is not None:
            lost.append(float(value))
    own = {cell: sorted(found[cell]) for cell in sorted(found)}
    points = {cell: tuple(point for point, _ in of_cell) for cell, of_cell in own.items()}
    values = [value for of_cell in points.values() for value, _ in of_cell] + lost
    return Panel(
        setting=name,
        log=spans_decades(values),
        points=points,
        trials={cell: tuple(trial for _, trial in of_cell) for cell, of_cell in own.items()},
        chosen={cell: tuple(best[key] for key in sorted(best) if key[0] == cell) for cell in points},
        lost=tuple(sorted(lost)),
    )


@styled
def draw_isolation(data: IsolationData) -> Figure:
    """One panel per setting; a dot is a trial, a ring the best of its cell and replicate, a cross one without any."""
    n = len(data.panels)
    figure, panels = canvas(
        f"{capital(named(data.measure))} against each tuned setting", data.caption, height=2.2 * n + 0.5, rows=n
    )
    for axes, panel in zip(panels, data.panels, strict=True):
        for cell, points in panel.points.items():
            colour, marker = data.looks[cell]
            (tried,) = axes.plot(
                *np.transpose(points), marker, color=colour, markersize=3, alpha=0.45, linestyle="none"
            )
            at = zip(panel.trials[cell], points, strict=True)
            titled(tried, *(f"{trial}: {setting(x)}, {four(y)}" for trial, (x, y) in at))
            (rings,) = axes.plot(*np.transpose(panel.chosen[cell] or np.empty((0, 2))), marker, linestyle="none")
            rings.set(markerfacecolor="none", markeredgecolor=colour, markersize=7, markeredgewidth=1.2)
        axes.margins(y=0.12)
        if panel.lost:  # on the lower edge; without points an unclipped artist would upset the layout
            edge = [axes.get_ylim()[0]] * len(panel.lost)
            axes.plot(panel.lost, edge, "x", color=GREY, markersize=6, linestyle="none", clip_on=False)
        axes.set(ylabel=wrapped(named(data.measure), 24), xlabel=panel.setting.replace("_", " "))
        plain_ticks(axes, "y")
        (log_ticks if panel.log else plain_ticks)(axes, "x")
    cells = [cell for cell in data.looks if any(cell in panel.points for panel in data.panels)]
    handles = dots(data.looks, cells)
    ring = Line2D([], [], marker="o", color=GREY, markerfacecolor="none", markersize=7, markeredgewidth=1.2)
    ring.set(linestyle="none", label="best of its cell and replicate")
    handles.append(ring)
    if any(panel.lost for panel in data.panels):
        handles.append(Line2D([], [], color=GREY, marker="x", markersize=6, linestyle="none", label="no outcome"))
    legend_below(figure, handles)
    return figure
