"""Names beside the lines they belong to: nobody has to look from line to legend and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.style import Dash, wrapped

CHARACTERS: Final = 14
"""Of a name on one line: more, and it takes the plot's room."""

NAME_PT: Final = 8

_LINE_IN: Final = 1.25 * NAME_PT / 72

_GAP_IN: Final = 0.04
"""Between two names."""

_PLOT: Final = 0.7
"""Of the height that axes have before they are laid out, what is left to them at least afterwards."""

_EDGE: Final = 0.01
"""What rounding may put an end beyond its axes."""

_LEADER: Final = 0.07
"""Length of the line between the plot and a name, where the axes are 1 wide."""


@dataclass(frozen=True, slots=True)
class LineEnd:
    """What a line is called, and how high it ends, in its axes' coordinate."""

    name: str
    y: float
    colour: str
    dash: Dash | tuple[float, tuple[float, ...]] = "-"


def name_ends(*panels: tuple[Axes, Sequence[LineEnd]]) -> bool:
    """Each line's name beside the plot, as high as it ends; False, and nothing is drawn, where they do not fit.

    They fit if in every panel there are lines, told apart by colour and dashes (a marker alone is not seen beside the
    plot), all of which end within its limits, with room for names of short words; a figure where they do not has a
    legend. Limits and scale of the axes are final. The names stand in the order of the
    ends, moved apart as little as possible.

    Args:
        panels: axes with the ends of their lines.
    """
    placed = [places for axes, ends in panels if (places := _places(axes, ends)) is not None]
    if len(placed) < len(panels):
        return False
    for (axes, ends), places in zip(panels, placed, strict=True):
        for end, place in zip(ends, places.tolist(), strict=True):
            axes.annotate(
                wrapped(end.name, CHARACTERS),
                # From the edge: what leads through the plot, in the colour of its line, would be read as more of it.
                (1, end.y),
                xycoords=axes.get_yaxis_transform(),
                xytext=(1 + _LEADER, place),
                textcoords="axes fraction",
                fontsize=NAME_PT,
                va="center",
                linespacing=1.1,
                annotation_clip=False,
                arrowprops={
                    **{"arrowstyle": "-", "color": end.colour, "linestyle": end.dash, "linewidth": 1.2},
                    **{"shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
                },
            )
    return True


def _places(axes: Axes, ends: Sequence[LineEnd]) -> np.ndarray | None:
    """Middles of the names as shares of the axes' height; None where they do not fit."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    room = _PLOT * axes.get_position().height * figure.get_figheight()
    texts = [wrapped(end.name, CHARACTERS) for end in ends]
    heights = np.array([_LINE_IN * (text.count("\n") + 1) + _GAP_IN for text in texts]) / room
    words = " ".join(wrapped(end.name, len(end.name) + 1) for end in ends).split()
    alike = len({(end.colour, end.dash) for end in ends}) < len(ends)
    if not words or alike or heights.sum() > 1 or max(map(len, words)) > CHARACTERS:
        return None
    axes.autoscale_view()
    right = axes.get_xlim()[1]
    at = (axes.transData + axes.transAxes.inverted()).transform([(right, end.y) for end in ends])[:, 1]
    return _apart(at, heights) if (np.abs(at - 0.5) <= 0.5 + _EDGE).all() else None


def _apart(wanted: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Centres within [0, 1] nearest to the wanted ones, by squares, that lie apart by what half of each takes.

    Less the room that those below take, such centres only have to ascend: pools of neighbours that do not are replaced
    by their means, as in isotonic regression.
    """
    order = np.argsort(wanted, kind="stable")
    below = np.cumsum(heights[order]) - heights[order] / 2
    pools: list[tuple[float, int]] = []
    for value in (wanted[order] - below).tolist():
        mean, n = value, 1
        while pools and pools[-1][0] > mean:
            last, of = pools.pop()
            mean, n = (mean * n + last * of) / (n + of), n + of
        pools.append((mean, n))
    ascending = np.repeat([mean for mean, _ in pools], [n for _, n in pools])
    centres = np.empty_like(below)
    centres[order] = np.clip(ascending, 0, 1 - heights.sum()) + below
    return centres
