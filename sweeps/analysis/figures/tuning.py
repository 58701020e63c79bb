"""Figures of the tune stage: is tuning fair, and what does KoLeo's weight do?"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweeps.analysis.figures.figure_data import looks_of
from sweeps.analysis.figures.figures import canvas, dots, legend_below, log_ticks, plain_ticks, styled
from sweeps.analysis.figures.style import GREY, Looks
from sweeps.analysis.stats.cells import levels_of
from sweeps.analysis.stats.descriptive import rows_of

STAGE: Final = "tune"

LOG_RATIO: Final = 10
"""A setting whose largest value is this many times its smallest has a logarithmic axis."""

WEIGHT: Final = "koleo_weight"

Points = tuple[tuple[float, float], ...]


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


@dataclass(frozen=True, slots=True)
class DoseData:
    """Weight of KoLeo against what it changed at the same point of the other settings, by cell."""

    points: dict[str, Points]
    looks: Looks
    caption: str


def isolation_data(trials: pa.Table, *, dataset: str) -> IsolationData | None:
    """Every setting that varies within a cell of the tune stage; None without such trials."""
    rows = _configured(trials)
    names = _varying(rows)
    if not names:
        return None
    lost = sum(row["final_val_auc"] is None for row in rows)
    failed = f"; {lost} without an outcome" if lost else ""
    caption = f"n = {each(_count(rows).values())} trials per cell; {dataset}; stage tune{failed}"
    return IsolationData(tuple(_panel(rows, name) for name in names), looks_of(trials), caption)


def dose_data(trials: pa.Table, *, dataset: str) -> DoseData | None:
    """Validation AUC with KoLeo minus without it at the same Sobol point; None where no point has both.

    A cell without KoLeo that names no accum_steps serves all of them: it is the partner where none has the same levels.
    """
    rows = [row for row in _configured(trials) if row["final_val_auc"] is not None and row.get("point") is not None]
    off = {(row["cell_id"], row["point"]): row["final_val_auc"] for row in rows if not row["config"]["koleo"]}
    partners = {cell: levels_of(cell) for cell, _ in off}
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        partner = _partner(row["cell_id"], partners) if row["config"]["koleo"] else None
        if partner is not None and (partner, row["point"]) in off:
            change = row["final_val_auc"] - off[partner, row["point"]]
            points.setdefault(row["cell_id"], []).append((row["config"][WEIGHT], change))
    if not points:
        return None
    shown = {cell: tuple(sorted(points[cell])) for cell in sorted(points)}
    caption = f"n = {each(map(len, shown.values()))} pairs per cell; {dataset}; stage tune; exploratory"
    return DoseData(shown, looks_of(trials), caption)


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
        axes.set(ylabel="validation AUC", xlabel=panel.setting.replace("_", " "))
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


@styled
def draw_dose(data: DoseData) -> Figure:
    """KoLeo's weight across, what it changed upwards; one dot per pair of trials."""
    figure, (axes,) = canvas("What KoLeo changed, by its weight", data.caption, height=3.0)
    axes.axhline(0, color=GREY, linewidth=1)
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        axes.plot(*np.transpose(points), marker=marker, color=colour, markersize=5, linewidth=0.8, alpha=0.8)
    axes.set(xlabel="KoLeo weight", ylabel="change in validation AUC")
    plain_ticks(axes, "y", signed=True)
    weights = [weight for points in data.points.values() for weight, _ in points]
    (log_ticks if _is_log(weights) else plain_ticks)(axes, "x")
    legend_below(figure, dots(data.looks, data.points))
    return figure


def _configured(trials: pa.Table) -> list[dict[str, Any]]:
    columns = [n for n in ("cell_id", "final_val_auc", "config_json", "point") if n in trials.column_names]
    return [row | {"config": json.loads(row["config_json"])} for row in rows_of(trials, STAGE, columns)]


def _varying(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Numeric settings with more than one value within some cell, lr first, then by name."""
    seen: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        for name, value in row["config"].items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name != "seed":
                seen.setdefault((name, row["cell_id"]), set()).add(value)
    return sorted(
        {name for (name, _), values in seen.items() if len(values) > 1}, key=lambda name: (name != "lr", name)
    )


def _panel(rows: Iterable[Mapping[str, Any]], name: str) -> Panel:
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
        log=_is_log(values),
        points={cell: tuple(sorted(points[cell])) for cell in sorted(points)},
        chosen={cell: max(points[cell], key=lambda point: point[1]) for cell in sorted(points)},
        lost=tuple(sorted(lost)),
    )


def _partner(cell: str, partners: Mapping[str, Mapping[str, str]]) -> str | None:
    """The cell without KoLeo that shares most levels with `cell` and has none that differs."""
    wanted = levels_of(cell) | {"koleo": "off"}
    fitting = [name for name, levels in partners.items() if levels.items() <= wanted.items()]
    return max(fitting, key=lambda name: (len(partners[name]), name), default=None)


def _count(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["cell_id"]] = counts.get(row["cell_id"], 0) + 1
    return counts


def each(counts: Iterable[int]) -> str:
    """`8`, or `7 to 8` where cells differ."""
    ordered = sorted(counts)
    return str(ordered[0]) if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


def _is_log(values: Iterable[float]) -> bool:
    ordered = sorted(values)
    return bool(ordered) and ordered[0] > 0 and ordered[-1] / ordered[0] >= LOG_RATIO
