"""Figures drawn from `figure_data`; nothing is computed here but positions. Each returns a matplotlib Figure."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Final, TypeVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sweeps.analysis.figures.figure_data import BarData, CurveData, EpochData, PairedData, SearchData
from sweeps.analysis.figures.style import (
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
    Looks,
    head,
    wrapped,
)
from sweeps.analysis.numbers import interval, number, sesoi_text
from sweeps.results.columns import named

T = TypeVar("T")

TWO_COLUMNS: Final = 20
"""Characters of a legend entry of which two fit side by side."""

ONE_COLUMN: Final = 46
"""Characters that fit on one line of a legend."""

LEGEND_LINES: Final = 4
"""Lines of a legend that the height of every figure allows for."""

LEGEND_LINE_IN: Final = 0.19

WIDE_RANGE: Final = 50
"""An axis whose ends are this far apart has ticks at powers of ten alone."""

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
    top.set(xlim=(-0.5, 1.5), ylabel=wrapped(named(data.outcome), 20))
    top.set_xticks([0, 1], [wrapped(label, 26) for label in data.labels], fontsize=8)
    plain_ticks(top, "y")
    sesoi, effect = data.effect.sesoi, data.effect
    bottom.axvspan(-sesoi, sesoi, color=BAND, zorder=0, label=f"±SESOI ({sesoi_text(sesoi)})")
    bottom.axvline(0, color=GREY, linewidth=1)
    # Spread over the height by block, so that equal differences stay apart.
    heights = np.linspace(0.45, 1.0, len(data.differences))
    bottom.plot(data.differences, heights, "o", color=COLOURS[2], markersize=5, linestyle="none", label="block")
    bottom.plot([effect.ci_low, effect.ci_high], [0, 0], color="black", linewidth=2, label="95 % interval")
    bottom.plot([effect.estimate], [0], "D", color="black", markersize=6, linestyle="none", label="mean")
    bottom.set(ylim=(-0.3, 1.25), yticks=[], xlabel=f"difference in {named(data.outcome)}:\n{interval(effect)}")
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
    axes.set(xlabel="epoch", ylabel=wrapped(f"difference in {named(data.outcome)}", 30))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    plain_ticks(axes, "y", signed=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def draw_curves(data: CurveData) -> Figure:
    """Validation AUC by epoch, one thin line a trial, thick means where there are any, a mark where a trial ended."""
    figure, (axes,) = canvas("Learning curves by arm", data.caption, height=3.2, stamp=data.stamp)
    faint, looks = 0.45 if data.means else 0.7, data.looks
    arms = [arm for arm in looks if any(curve.arm == arm for curve in data.curves)]
    for arm in arms:
        colour = looks[arm][0]
        own = [curve for curve in data.curves if curve.arm == arm]
        lines = [np.column_stack([curve.epochs, curve.values]) for curve in own]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, alpha=faint))
        alone = [line[0] for line in lines if len(line) == 1]  # a line of one point would not be seen
        axes.plot(*np.transpose(alone or np.empty((0, 2))), ".", color=colour, markersize=4, alpha=faint)
        for reason, (mark, _) in END_MARKS.items():
            ends = [line[-1] for curve, line in zip(own, lines, strict=True) if curve.end_reason == reason]
            if ends:
                axes.plot(*np.transpose(ends), mark, color=colour, markersize=6, markeredgewidth=1.4, linestyle="none")
    for mean in data.means:
        colour, marker = looks[mean.arm]
        every = max(1, len(mean.epochs) // 8)
        axes.plot(mean.epochs, mean.values, color=colour, linewidth=2.2, marker=marker, markersize=5, markevery=every)
    axes.set(xlabel="epoch", ylabel="validation AUC")
    axes.autoscale_view()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    plain_ticks(axes, "y")
    means = {mean.arm for mean in data.means}
    handles = [
        Line2D([], [], color=looks[arm][0], linewidth=2, marker=looks[arm][1], label=f"{arm}, mean")
        if arm in means
        else Line2D([], [], color=looks[arm][0], linewidth=1, label=arm)
        for arm in arms
    ]
    for reason, (mark, label) in END_MARKS.items():
        if any(curve.end_reason == reason for curve in data.curves):
            handles.append(Line2D([], [], color=GREY, marker=mark, markersize=7, linestyle="none", label=label))
    legend_below(figure, handles)
    return figure


@styled
def draw_search(data: SearchData) -> Figure:
    """Last validation AUC against trial number; filled if the trial completed, hollow if it was stopped or failed."""
    figure, (axes,) = canvas("Search: validation AUC by trial", data.caption, height=3.2, stamp=data.stamp)
    looks = {arm: look for arm, look in data.looks.items() if arm in data.arms}
    for arm, (colour, marker) in looks.items():
        for completed, face in ((True, colour), (False, "white")):
            chosen = [i for i, name in enumerate(data.arms) if name == arm and data.completed[i] == completed]
            points = [(data.numbers[i], data.values[i]) for i in chosen] or np.empty((0, 2))
            axes.plot(*np.transpose(points), marker, color=colour, markerfacecolor=face, markersize=6, linestyle="none")
    axes.set(xlabel="trial", ylabel="last validation AUC")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_ticks(axes, "y")
    handles = dots(looks, looks)
    for label, face in (("completed", GREY), ("stopped or failed", "white")):
        handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor=face, linestyle="none", label=label))
    legend_below(figure, handles)
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
    title: str, caption: str, *, height: float, rows: int = 1, columns: int = 1, stamp: str = ""
) -> tuple[Figure, tuple[Axes, ...]]:
    """A figure of the common width; its title, stamp and caption stand above `height` inches of axes and legend.

    The axes come row by row.
    """
    heading, below = head(title, caption, stamp)
    heading_in = LINE_SPACING * (1 + heading.count("\n")) * TITLE_PT / 72
    below_in = LINE_SPACING * (1 + below.count("\n")) * CAPTION_PT / 72
    height += heading_in + below_in
    figure = Figure(figsize=(WIDTH_IN, height), layout=ConstrainedLayoutEngine())
    # Texts of the figure take no part in the layout, so their room is set aside.
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - (heading_in + below_in + TOP_IN) / height))
    axes = tuple(figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns))
    figure.text(0.02, 1 - TOP_IN / height, heading, fontsize=TITLE_PT, weight="bold", va="top")
    colour = STAMP_COLOUR if stamp else "#444444"
    figure.text(0.02, 1 - (TOP_IN + heading_in) / height, below, color=colour, fontsize=CAPTION_PT, va="top")
    return figure, axes


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend under the axes, in two columns where its labels leave room; one of many lines makes a higher figure."""
    labels = [str(handle.get_label()) for handle in handles]
    columns = 2 if max(map(len, labels), default=0) <= TWO_COLUMNS else 1
    for handle, label in zip(handles, labels, strict=True):
        handle.set_label(wrapped(label, ONE_COLUMN) if len(label) > ONE_COLUMN else label)
    lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles)
    _grow(figure, LEGEND_LINE_IN * max(0, -(-lines // columns) - LEGEND_LINES))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def _grow(figure: Figure, inches: float) -> None:
    """Higher by `inches`, all of which go to the axes and legend of a `canvas`."""
    wide, before = figure.get_size_inches()
    after = before + inches
    for text in figure.texts:
        text.set_y(1 - (1 - text.get_position()[1]) * before / after)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - (1 - engine.get()["rect"][3]) * before / after))
    figure.set_size_inches(wide, after)


def dots(looks: Looks, names: Iterable[str]) -> list[Line2D]:
    """Legend entries of arms that are drawn as points."""
    return [
        Line2D([], [], color=looks[name][0], marker=looks[name][1], markersize=6, linestyle="none", label=name)
        for name in names
    ]


def plain_ticks(axes: Axes, which: str, *, signed: bool = False, most: int = 6) -> None:
    """Tick labels as in the text: no leading zero, only the digits the step needs."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))

    def label(value: float, _position: int | None) -> str:
        if abs(value) < 1e-9:
            return "0"
        ticks = axis.get_majorticklocs()
        step = abs(float(ticks[1] - ticks[0])) if len(ticks) > 1 else 0.1
        decimals = max(1, int(np.ceil(-np.log10(step) - 1e-9)) + (not _is_round(step)))
        return number(value, decimals=decimals, signed=signed)

    axis.set_major_formatter(FuncFormatter(label))


def log_ticks(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers: .001, .01; between two powers of ten also 2 and 5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > WIDE_RANGE else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("0.", ".", 1)))
    axis.set_minor_formatter(NullFormatter())


def _is_round(step: float) -> bool:
    """Whether one significant digit writes the step (.02 yes, .025 no)."""
    digits = step / 10 ** np.floor(np.log10(step))
    return bool(abs(digits - round(digits)) < 1e-6)
