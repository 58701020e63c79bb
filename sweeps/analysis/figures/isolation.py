"""Validation AUC against each tuned setting: is tuning fair?"""

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
from sweeps.analysis.figures.canvas import canvas, dots, legend_below, log_ticks, plain_ticks, spans_decades, styled
from sweeps.analysis.figures.style import GREY, Looks, Points, each, looks_of
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.results.columns import named

READING: Final = (
    "Every cell met the same settings. Tuning is fair where each cell's best lies inside the range and the others fall "
    "off around it."
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One tuned setting: (value, validation AUC) of each trial, by cell."""

    setting: str
    log: bool
    points: dict[str, Points]
    chosen: dict[str, tuple[float, float]]
    """The best trial of each cell."""
    lost: tuple[float, ...]
    """Values of the trials that have no outcome."""


@dataclass(frozen=True, slots=True)
class IsolationData:
    """Validation AUC against each tuned setting."""

    panels: tuple[Panel, ...]
    looks: Looks
    caption: str


def isolation_data(trials: pa.Table, *, dataset: str) -> IsolationData | None:
    """Every setting that varies within a cell of the tune stage; None without such trials."""
    rows = [
        row | {"config": json.loads(row["config_json"])}
        for row in rows_of(trials, "tune", ("cell_id", "final_val_auc", "config_json"))
    ]
    names = _varying(rows)
    if not names:
        return None
    lost = sum(row["final_val_auc"] is None for row in rows)
    failed = f"; {lost} without an outcome" if lost else ""
    per_cell = each(Counter(row["cell_id"] for row in rows).values())
    caption = f"n = {per_cell} trials per cell; {dataset}; stage tune{failed}"
    return IsolationData(tuple(_panel(rows, name) for name in names), looks_of(trials), caption)


def _varying(rows: Iterable[Row]) -> list[str]:
    """Numeric settings with more than one value within some cell, lr first, then by name."""
    seen: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        for name, value in row["config"].items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name != "seed":
                seen.setdefault((name, row["cell_id"]), set()).add(value)
    return sorted(
        {name for (name, _), values in seen.items() if len(values) > 1}, key=lambda name: (name != "lr", name)
    )


def _panel(rows: Iterable[Row], name: str) -> Panel:
    points: dict[str, list[tuple[float, float]]] = {}
    lost = []
    for row in rows:
        value, auc = row["config"].get(name), row["final_val_auc"]
        if value is not None and auc is not None:
            points.setdefault(row["cell_id"], []).append((float(value), auc))
        elif value is not None:
            lost.append(float(value))
    values = [value for of_cell in points.values() for value, _ in of_cell] + lost
    return Panel(
        setting=name,
        log=spans_decades(values),
        points={cell: tuple(sorted(points[cell])) for cell in sorted(points)},
        chosen={cell: max(points[cell], key=lambda point: point[1]) for cell in sorted(points)},
        lost=tuple(sorted(lost)),
    )


@styled
def draw_isolation(data: IsolationData) -> Figure:
    """One panel per setting; a dot is a trial, a ring the best of its cell, a cross one without an outcome."""
    n = len(data.panels)
    figure, panels = canvas("Validation AUC against each tuned setting", data.caption, height=2.2 * n + 0.5, rows=n)
    for axes, panel in zip(panels, data.panels, strict=True):
        for cell, points in panel.points.items():
            colour, marker = data.looks[cell]
            axes.plot(*np.transpose(points), marker, color=colour, markersize=4, alpha=0.65, linestyle="none")
            axes.plot(
                *panel.chosen[cell],
                marker,
                markerfacecolor="none",
                markeredgecolor=colour,
                markersize=10,
                markeredgewidth=2,
            )
        axes.margins(y=0.12)
        if panel.lost:  # on the lower edge; without points an unclipped artist would upset the layout
            edge = [axes.get_ylim()[0]] * len(panel.lost)
            axes.plot(panel.lost, edge, "x", color=GREY, markersize=6, linestyle="none", clip_on=False)
        axes.set(ylabel=named("final_val_auc"), xlabel=panel.setting.replace("_", " "))
        plain_ticks(axes, "y")
        (log_ticks if panel.log else plain_ticks)(axes, "x")
    cells = [cell for cell in data.looks if any(cell in panel.points for panel in data.panels)]
    handles = dots(data.looks, cells)
    ring = Line2D([], [], marker="o", color=GREY, markerfacecolor="none", markersize=9, markeredgewidth=2)
    ring.set(linestyle="none", label="best of its cell")
    handles.append(ring)
    if any(panel.lost for panel in data.panels):
        handles.append(Line2D([], [], color=GREY, marker="x", markersize=6, linestyle="none", label="no outcome"))
    legend_below(figure, handles)
    return figure
