"""The measure that a sweep is tuned by, of every trial of a stage by epoch, with the means of its arms."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, styled, whole_ticks
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.panel_grid import by_epoch, panel_grid, share_limits
from sweeps.analysis.figures.drawing.style import (
    ADAPTIVE,
    DASHES,
    GREY,
    Dash,
    K,
    Looks,
    dash_of,
    looks_of,
    series_name,
    titled,
    wrapped,
)
from sweeps.analysis.numbers import four
from sweeps.analysis.stats.description.descriptive import SAMPLED, UNKNOWN_CELL, rows_of, tuned_by
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.results.columns import named

END_MARKS = {"asha_stopped": ("x", "stopped by ASHA"), "diverged": ("*", "diverged"), "collapsed": ("*", "collapsed")}


STAGE_NAMES = {"tune": "tuning", "confirm": "confirmation"}
"""Stages whose names are verbs."""


MOST_TOGETHER: Final = 8
"""Arms above which lines of all in one panel hide each other, and their legend is larger than the plot."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One trial's values by epoch, or the mean of those of an arm."""

    trial: str
    """Its id; empty for a mean."""

    arm: str
    end_reason: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CurveData:
    """All trials of a stage; per-arm means only where nothing was stopped or proposed, which would bias them."""

    measure: str
    """Column of `curves`."""

    stage: str
    curves: tuple[Curve, ...]
    means: tuple[Curve, ...]
    looks: Looks
    stamp: str
    caption: str


def curve_data(
    trials: pa.Table, curves: pa.Table, *, stage: str, dataset: str, without: Collection[str] = ()
) -> CurveData | None:
    """Learning curves of one stage by arm, unfinished trials included; epochs without a finite value are gaps.

    None where no trial has a finite value.

    Args:
        trials: the table `trials` with `stage`.
        curves: the table `curves` with `stage`.
        stage: which one.
        dataset: for the caption.
        without: cells to leave out.
    """
    known = {row["trial_id"]: row for row in rows_of(trials, stage, ("trial_id", "cell_id", "end_reason", "origin"))}
    measure = tuned_by(trials)
    points: dict[str, list[tuple[int, float]]] = {}
    for row in rows_of(curves, stage, ("trial_id", "epoch", measure)):
        if row[measure] is not None:
            points.setdefault(row["trial_id"], []).append((row["epoch"], row[measure]))
    found = []
    for trial_id, pairs in points.items():
        row = known.get(trial_id, {"cell_id": UNKNOWN_CELL, "end_reason": "unfinished"})
        if row["cell_id"] not in without:
            epochs, values = zip(*sorted(pairs), strict=True)
            found.append(Curve(trial_id, row["cell_id"], row["end_reason"], epochs, values))
    if not found:
        return None
    adaptive = stage == "search" or any(row["origin"] == SAMPLED for row in known.values())
    return CurveData(
        measure=measure,
        stage=stage,
        curves=tuple(found),
        means=() if adaptive else tuple(_mean_curves(found)),
        looks=looks_of(trials),
        stamp=ADAPTIVE if adaptive else "",
        caption=f"n = {plural(len(found), 'trial')}; {dataset}; stage {stage}",
    )


def _mean_curves(curves: list[Curve]) -> list[Curve]:
    """Mean per arm at the epochs that every completed run of the arm has."""
    means = []
    for arm in sorted({curve.arm for curve in curves}):
        runs = [dict(zip(c.epochs, c.values, strict=True)) for c in curves if c.arm == arm and _completed(c)]
        epochs = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
        if epochs:
            values = tuple(float(np.mean([run[epoch] for run in runs])) for epoch in epochs)
            means.append(Curve("", arm, "completed", tuple(epochs), values))
    return means


def _completed(curve: Curve) -> bool:
    return curve.end_reason == "completed"


def reading(data: CurveData) -> str:
    """How to read the figure."""
    return "A thin line is one trial" + ("; a thick line is the mean of its cell." if data.means else ".")


@styled
def draw_curves(data: CurveData) -> Figure:
    """Values by epoch, one thin line a trial, thick means where there are any, a mark where a trial ended."""
    arms = [arm for arm in data.looks if any(curve.arm == arm for curve in data.curves)]
    if len(arms) > MOST_TOGETHER:
        return _draw_apart(data, arms)
    figure, (axes,) = canvas(_title(data), data.caption, height=3.2, stamp=data.stamp)
    dashes = {arm: dash_of(data.looks, arm) for arm in arms}
    _draw_arms(axes, data, dashes)
    axes.set(xlabel="epoch", ylabel=wrapped(named(data.measure), 30))
    axes.autoscale_view()
    whole_ticks(axes, most=8)
    plain_ticks(axes, "y")
    means = {mean.arm: mean for mean in data.means}
    lines = [LineEnd(arm, mean.values[-1], data.looks[arm][0], dashes[arm]) for arm, mean in means.items()]
    named_beside = len(means) == len(arms) and name_ends((axes, lines))
    handles = [
        Line2D([], [], color=data.looks[arm][0], linewidth=1 + (arm in means), linestyle=dash, label=arm)
        for arm, dash in dashes.items()
    ]
    legend_below(figure, handles * (not named_beside) + _ends(data))
    return figure


def _draw_apart(data: CurveData, arms: Sequence[str]) -> Figure:
    """A panel for all steps of accumulation of what else is alike, on a common scale."""
    groups: dict[str, list[str]] = {}
    for arm in arms:
        groups.setdefault(series_name(arm), []).append(arm)
    ks = sorted({levels_of(arm).get(K, "1") for arm in arms}, key=lambda k: (len(k), k))
    dash: dict[str, Dash] = {k: DASHES[i % len(DASHES)] for i, k in enumerate(ks)}
    handles = [Line2D([], [], color=GREY, linewidth=2, linestyle=dash[k], label=f"K={k}") for k in ks if len(ks) > 1]
    about = f"{data.caption}; {named(data.measure)}"
    figure, panels = panel_grid(_title(data), about, list(groups), handles + _ends(data), height=1.3, stamp=data.stamp)
    for axes, own in zip(panels, groups.values(), strict=True):
        _draw_arms(axes, data, {arm: dash[levels_of(arm).get(K, "1")] for arm in own})
    by_epoch(panels)
    share_limits(panels, "y")
    return figure


def _title(data: CurveData) -> str:
    return f"Learning curves: {STAGE_NAMES.get(data.stage, data.stage)}"


def _draw_arms(axes: Axes, data: CurveData, dashes: Mapping[str, Dash]) -> None:
    """Those arms that `dashes` has the line style of."""
    faint, looks = 0.2 if data.means else 0.5, data.looks
    for arm, dash in dashes.items():
        colour = looks[arm][0]
        own = [curve for curve in data.curves if curve.arm == arm]
        lines = [np.column_stack([curve.epochs, curve.values]) for curve in own]
        thin = axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, alpha=faint, linestyles=dash))
        titled(thin, *map(_told, own))
        alone = [curve for curve in own if len(curve.epochs) == 1]  # a line of one point would not be seen
        _mark_ends(axes, alone, ".", color=colour, markersize=4, alpha=faint)
        for reason, (mark, _) in END_MARKS.items():
            ended = [curve for curve in own if curve.end_reason == reason]
            _mark_ends(axes, ended, mark, color=colour, markersize=6, markeredgewidth=1.4)
    for mean in (mean for mean in data.means if mean.arm in dashes):
        (line,) = axes.plot(
            mean.epochs, mean.values, color=looks[mean.arm][0], linewidth=2.2, linestyle=dashes[mean.arm]
        )
        line.set_marker("." if len(mean.epochs) == 1 else "")


def _mark_ends(axes: Axes, curves: Sequence[Curve], mark: str, **look: Any) -> None:
    if curves:
        (marks,) = axes.plot([c.epochs[-1] for c in curves], [c.values[-1] for c in curves], mark, **look)
        titled(marks, *map(_told, curves))


def _told(curve: Curve) -> str:
    """What one reads where one points at it."""
    return f"{curve.trial}: {four(curve.values[-1])}"


def _ends(data: CurveData) -> list[Line2D]:
    """Legend entries of how trials ended, as far as some did."""
    return [
        Line2D([], [], color=GREY, marker=mark, markersize=7, linestyle="none", label=label)
        for reason, (mark, label) in END_MARKS.items()
        if any(curve.end_reason == reason for curve in data.curves)
    ]
