"""What every figure is drawn on: a canvas with title and caption, its legend, its axes."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Final, TypeVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sweeps.analysis.figures.drawing.style import (
    CAPTION_PT,
    LINE_SPACING,
    STAMP_COLOUR,
    STYLE,
    TITLE_PT,
    TOP_IN,
    WIDTH_IN,
    Looks,
    head,
    named_cells,
    wrapped,
)
from sweeps.analysis.numbers import number

T = TypeVar("T")

TWO_COLUMNS: Final = 20
"""Characters of a legend entry of which two fit side by side."""

ONE_COLUMN: Final = 46
"""Characters that fit on one line of a legend."""

LEGEND_LINES: Final = 4
"""Lines of a legend that the height of every figure allows for."""

LEGEND_LINE_IN: Final = 0.19

LOG_RATIO: Final = 10
"""Values of which the largest is this many times the smallest have a logarithmic axis."""

WIDE_RANGE: Final = 50
"""An axis whose ends are this far apart has ticks at powers of ten alone, if it has two of them."""


def styled(draw: Callable[[T], Figure]) -> Callable[[T], Figure]:
    """Draw under `STYLE` without touching the caller's settings."""

    @wraps(draw)
    def drawn(data: T) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(data)

    return drawn


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
    """A legend under the axes, in two columns where its labels leave room; one of many lines makes a higher figure.

    Without handles there is none.
    """
    if not handles:
        return
    labels = [named_cells(str(handle.get_label())) for handle in handles]
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
    axis.set_major_formatter(_PlainNumbers(signed))


def whole_ticks(axes: Axes, *, most: int = 9) -> None:
    """Whole numbers below: of epochs, of trials; one of them alone stands in the middle."""
    low, high = axes.get_xlim()
    if high - low < 1:
        axes.set_xlim(round((low + high) / 2) - 0.5, round((low + high) / 2) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=most, min_n_ticks=1))


class _PlainNumbers(Formatter):
    """Of ticks that are evenly spaced: all have the digits that their step needs."""

    def __init__(self, signed: bool) -> None:
        self.signed, self.decimals = signed, 1

    def set_locs(self, locs: Sequence[float]) -> None:
        """Digits for these ticks."""
        step = abs(float(locs[1] - locs[0])) if len(locs) > 1 else 0.1
        self.decimals = max(0, int(np.ceil(-np.log10(step) - 1e-9)) + (not _is_round(step)))

    def __call__(self, value: float, pos: int | None = None) -> str:
        """The label of one tick."""
        return "0" if abs(value) < 1e-9 else number(value, decimals=self.decimals, signed=self.signed)


def spans_decades(values: Iterable[float]) -> bool:
    """Whether the values are positive and so far apart that their axis is logarithmic."""
    ordered = sorted(values)
    return bool(ordered) and ordered[0] > 0 and ordered[-1] / ordered[0] >= LOG_RATIO


def log_ticks(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers: .001, .01; between two powers of ten also 2 and 5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    axes.autoscale_view()  # the limits are those of the linear scale until something asks for new ones
    low, high = sorted(axis.get_view_interval())
    powers = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > WIDE_RANGE and powers > 1 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("0.", ".", 1)))
    axis.set_minor_formatter(NullFormatter())


def _is_round(step: float) -> bool:
    """Whether one significant digit writes the step (.02 yes, .025 no)."""
    digits = step / 10 ** np.floor(np.log10(step))
    return bool(abs(digits - round(digits)) < 1e-6)
