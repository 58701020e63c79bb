"""Figures with a small panel per cell, two abreast: as legible for twelve cells as for two."""

from collections.abc import Sequence
from typing import Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, whole_ticks
from sweeps.analysis.figures.drawing.style import wrapped

COLUMNS: Final = 2

STACKED: Final = 4
"""Up to so many panels stand one below another, at full width; more stand two abreast."""

NAME_CHARACTERS: Final = 30
"""Of a panel's name on one line."""

NAME_PT: Final = 7.5

TICK_PT: Final = 7.5

_NAME_LINE_IN: Final = 0.135

_FOOT_IN: Final = 0.5
"""Name of the axis and a short legend."""


def panel_grid(
    title: str,
    caption: str,
    names: Sequence[str],
    handles: Sequence[Artist],
    *,
    height: float,
    foot: float = _FOOT_IN,
    stamp: str = "",
) -> tuple[Figure, tuple[Axes, ...]]:
    """A figure with one named panel per name, row by row, and a legend of `handles` below.

    Args:
        title: of the figure.
        caption: under it.
        names: of the panels; long ones are wrapped.
        handles: of the legend; may be empty.
        height: of a panel without its name, in inches.
        foot: room for what stands below the panels, in inches.
        stamp: over the caption.
    """
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    titles = [named_lines(name) for name in names]
    lines = max(name.count("\n") + 1 for name in titles)
    total = rows * (height + lines * _NAME_LINE_IN) + foot
    figure, panels = canvas(title, caption, height=total, rows=rows, columns=columns, stamp=stamp)
    for axes, name in zip(panels, titles, strict=False):
        axes.set_title(name, fontsize=NAME_PT)
        axes.tick_params(labelsize=TICK_PT)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    if handles:
        legend_below(figure, handles)
    return figure, panels[: len(names)]


def named_lines(name: str) -> str:
    """A panel's name on lines that fit over it; its own line breaks are kept."""
    return "\n".join(wrapped(part, NAME_CHARACTERS) for part in name.split("\n"))


def by_epoch(panels: Sequence[Axes]) -> None:
    """Whole epochs below, plain numbers beside; only the lowest panel of a column names the axis."""
    for axes in panels:
        axes.autoscale_view()
        whole_ticks(axes, most=5)
        plain_ticks(axes, "y", most=4)
    for axes in panels[-min(COLUMNS, len(panels)) :]:
        axes.set_xlabel("epoch", fontsize=TICK_PT)


def share_limits(panels: Sequence[Axes], *which: str) -> None:
    """The same coordinates in every panel, along the axes `which`, so that sizes compare."""
    for axis in which:
        limits = [getattr(axes, f"get_{axis}lim")() for axes in panels]
        for axes in panels:
            getattr(axes, f"set_{axis}lim")(min(low for low, _ in limits), max(high for _, high in limits))
