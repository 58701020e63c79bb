"""Figures drawn from `figure_data`; nothing is computed here but positions. Each returns a matplotlib Figure."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.analysis.descriptive import UNKNOWN_CELL
from sweeps.analysis.figure_data import BarData, CurveData, EpochData, PairedData, SearchData
from sweeps.analysis.style import (
    BAND,
    CAPTION_PT,
    COLOURS,
    GREY,
    LINE_SPACING,
    STAMP_COLOUR,
    STYLE,
    TITLE_PT,
    TOP_IN,
    WIDTH_IN,
    arm_style,
    head,
)
from sweeps.analysis.wording import interval, number, sesoi_text

T = TypeVar("T")

END_MARKS = {"asha_stopped": ("x", "stopped by ASHA"), "diverged": ("*", "diverged"), "collapsed": ("*", "collapsed")}


def styled(draw: Callable[[T], Figure]) -> Callable[[T], Figure]:
    """Draw under `STYLE` without touching the caller's settings."""

    @wraps(draw)
    def drawn(data: T) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(data)

    return drawn


@styled
def draw_paired(data: PairedData) -> Figure:
    """Above, the two outcomes of each block joined by a line; below, their differences against the SESOI band."""
    figure, (top, bottom) = canvas("Paired outcomes and their difference", data.caption, height=4.4, rows=2)
    for control, treatment in zip(data.control, data.treatment, strict=True):
        top.plot([0, 1], [control, treatment], color=GREY, linewidth=1)
    for x, values, colour, marker in ((0, data.control, COLOURS[0], "o"), (1, data.treatment, COLOURS[1], "^")):
        top.plot([x] * len(values), values, marker, color=colour, markersize=6, linestyle="none")
    top.set(xlim=(-0.35, 1.35), xticks=[0, 1], xticklabels=data.labels, ylabel=_named(data.outcome))
    plain_ticks(top, "y")
    sesoi, effect = data.effect.sesoi, data.effect
    bottom.axvspan(-sesoi, sesoi, color=BAND, zorder=0, label=f"±SESOI ({sesoi_text(sesoi)})")
    bottom.axvline(0, color=GREY, linewidth=1)
    # Spread over the height by block, so that equal differences stay apart.
    heights = np.linspace(0.45, 1.0, len(data.differences))
    bottom.plot(data.differences, heights, "o", color=COLOURS[2], markersize=5, linestyle="none", label="block")
    bottom.plot([effect.ci_low, effect.ci_high], [0, 0], color="black", linewidth=2, label="95 % interval")
    bottom.plot([effect.estimate], [0], "D", color="black", markersize=6, linestyle="none", label="mean")
    bottom.set(ylim=(-0.3, 1.25), yticks=[], xlabel=f"difference in {_named(data.outcome)}: {interval(effect)}")
    plain_ticks(bottom, "x", signed=True)
    figure.legend(*bottom.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def draw_epochs(data: EpochData) -> Figure:
    """The contrast against epochs, with pointwise 95 % intervals."""
    figure, (axes,) = canvas("Difference at each epoch", data.caption, height=2.9)
    axes.axhspan(-data.sesoi, data.sesoi, color=BAND, zorder=0, label=f"±SESOI ({sesoi_text(data.sesoi)})")
    axes.axhline(0, color=GREY, linewidth=1)
    axes.vlines(data.epochs, data.lows, data.highs, color="black", linewidth=2, label="95 % interval, pointwise")
    axes.plot(data.epochs, data.estimates, "D-", color="black", markersize=5, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel=f"difference in {_named(data.outcome)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    plain_ticks(axes, "y", signed=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def draw_curves(data: CurveData) -> Figure:
    """Validation AUC by epoch, one thin line a trial, thick means where there are any, a mark where a trial ended."""
    figure, (axes,) = canvas("Learning curves by arm", data.caption, height=3.2, stamp=data.stamp)
    looks = arm_style([curve.arm for curve in data.curves if curve.arm != UNKNOWN_CELL])
    looks[UNKNOWN_CELL] = (GREY, "o")
    faint = 0.45 if data.means else 0.7
    for curve in data.curves:
        colour = looks[curve.arm][0]
        axes.plot(curve.epochs, curve.values, color=colour, linewidth=0.9, alpha=faint, marker=".", markersize=3)
        if curve.end_reason in END_MARKS:
            mark = END_MARKS[curve.end_reason][0]
            axes.plot(curve.epochs[-1:], curve.values[-1:], mark, color=colour, markersize=7, markeredgewidth=1.6)
    for mean in data.means:
        colour, marker = looks[mean.arm]
        axes.plot(mean.epochs, mean.values, color=colour, linewidth=2.2, marker=marker, markersize=5)
    axes.set(xlabel="epoch", ylabel="validation AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    plain_ticks(axes, "y")
    arms = [arm for arm in looks if any(curve.arm == arm for curve in data.curves)]
    handles = [Line2D([], [], color=looks[a][0], linewidth=2, label=f"{a}, mean" if data.means else a) for a in arms]
    for reason, (mark, label) in END_MARKS.items():
        if any(curve.end_reason == reason for curve in data.curves):
            handles.append(Line2D([], [], color=GREY, marker=mark, markersize=7, linestyle="none", label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def draw_search(data: SearchData) -> Figure:
    """Last validation AUC against trial number; filled if the trial completed, hollow if it was stopped or failed."""
    figure, (axes,) = canvas("Search: validation AUC by trial", data.caption, height=3.2, stamp=data.stamp)
    looks = arm_style(list(data.arms))
    for arm, number_, value, completed in zip(data.arms, data.numbers, data.values, data.completed, strict=True):
        colour, marker = looks[arm]
        face = colour if completed else "white"
        axes.plot(number_, value, marker, color=colour, markerfacecolor=face, markersize=6, linestyle="none")
    axes.set(xlabel="trial", ylabel="last validation AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_ticks(axes, "y")
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=arm)
        for arm, (colour, marker) in looks.items()
    ]
    for label, face in (("completed", GREY), ("stopped or failed", "white")):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor=face, linestyle="none", label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def draw_importances(data: BarData) -> Figure:
    """Bars per setting, one colour per evaluator."""
    rows = len(data.settings)
    height = 1.3 + 0.2 * rows * len(data.shares)
    figure, (axes,) = canvas("Importance of the settings", data.caption, height=height, stamp=data.stamp)
    thickness = 0.8 / len(data.shares)
    for i, (evaluator, shares) in enumerate(data.shares.items()):
        offsets = np.arange(rows) + (i - (len(data.shares) - 1) / 2) * thickness
        widths = [share or 0.0 for share in shares]
        hatch = "///" if i % 2 else None
        axes.barh(offsets, widths, thickness, color=COLOURS[i], hatch=hatch, edgecolor="white", label=evaluator)
        for y, share in zip(offsets, shares, strict=True):
            if share is not None:
                axes.text(share + 0.01, y, number(share, decimals=2), va="center", fontsize=8)
    axes.set(yticks=range(rows), yticklabels=data.settings, xlabel="share of importance")
    axes.set_xlim(0, 1.15 * max(share or 0.0 for shares in data.shares.values() for share in shares) + 0.02)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    plain_ticks(axes, "x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def canvas(
    title: str, caption: str, *, height: float, rows: int = 1, stamp: str = ""
) -> tuple[Figure, tuple[Axes, ...]]:
    """A figure of the common width; its title, stamp and caption stand above `height` inches of axes and legend."""
    heading, below = head(title, caption, stamp)
    heading_in = LINE_SPACING * (1 + heading.count("\n")) * TITLE_PT / 72
    below_in = LINE_SPACING * (1 + below.count("\n")) * CAPTION_PT / 72
    height += heading_in + below_in
    figure = Figure(figsize=(WIDTH_IN, height), layout=ConstrainedLayoutEngine())
    # Texts of the figure take no part in the layout, so their room is set aside.
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - (heading_in + below_in + TOP_IN) / height))
    axes = tuple(figure.add_subplot(rows, 1, i + 1) for i in range(rows))
    figure.text(0.02, 1 - TOP_IN / height, heading, fontsize=TITLE_PT, weight="bold", va="top")
    colour = STAMP_COLOUR if stamp else "#444444"
    figure.text(0.02, 1 - (TOP_IN + heading_in) / height, below, color=colour, fontsize=CAPTION_PT, va="top")
    return figure, axes


def plain_ticks(axes: Axes, which: str, *, signed: bool = False) -> None:
    """Tick labels as in the text: no leading zero, only the digits the step needs."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))

    def label(value: float, _position: int | None) -> str:
        if abs(value) < 1e-9:
            return "0"
        ticks = axis.get_majorticklocs()
        step = abs(float(ticks[1] - ticks[0])) if len(ticks) > 1 else 0.1
        decimals = max(1, int(np.ceil(-np.log10(step) - 1e-9)) + (not _is_round(step)))
        return number(value, decimals=decimals, signed=signed)

    axis.set_major_formatter(FuncFormatter(label))


def _is_round(step: float) -> bool:
    """Whether one significant digit writes the step (.02 yes, .025 no)."""
    digits = step / 10 ** np.floor(np.log10(step))
    return bool(abs(digits - round(digits)) < 1e-6)


def _named(outcome: str) -> str:
    return {"test_auc": "test AUC", "val_auc": "validation AUC"}.get(outcome, outcome)
