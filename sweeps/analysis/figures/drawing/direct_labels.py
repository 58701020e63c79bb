"""Names beside the lines they belong to: nobody has to look from line to legend and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.style import Dash, wrapped

CHARACTERS: Final = 12
"""Of a name on one line: more, and it takes the plot's room."""

NAME_PT: Final = 8

_LINE_IN: Final = 1.25 * NAME_PT / 72

_GAP_IN: Final = 0.04
"""Between two names."""

_PLOT: Final = 0.7
"""Of the height that axes have before they are laid out, what is left to them at least afterwards."""

_LEADER: Final = 0.07
"""Length of the line from a line's end to its name, where the axes are 1 wide."""


@dataclass(frozen=True, slots=True)
class LineEnd:
    """Where a line ends on the right, in its axes' coordinates, and what it is called."""

    name: str
    x: float
    y: float
    colour: str
    dash: Dash | tuple[float, tuple[float, ...]] = "-"


def name_ends(axes: Axes, ends: Sequence[LineEnd]) -> bool:
    """Each line's name to the right of its end; False, and nothing is drawn, where they do not fit: use a legend.

    Limits and scale of the axes are final. The names stand in the order of the ends, moved apart as little as possible.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    room = _PLOT * axes.get_position().height * figure.get_figheight()
    texts = [wrapped(end.name, CHARACTERS) for end in ends]
    heights = np.array([_LINE_IN * (text.count("\n") + 1) + _GAP_IN for text in texts]) / room
    words = " ".join(wrapped(end.name, len(end.name) + 1) for end in ends).split()
    if not ends or heights.sum() > 1 or max(map(len, words)) > CHARACTERS:
        return False
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = to_axes.transform([(end.x, end.y) for end in ends])[:, 1]
    for end, text, place in zip(ends, texts, _apart(wanted, heights).tolist(), strict=True):
        leader = {"arrowstyle": "-", "color": end.colour, "linestyle": end.dash, "linewidth": 1.2}
        axes.annotate(
            text,
            (end.x, end.y),
            xytext=(1 + _LEADER, place),
            textcoords="axes fraction",
            fontsize=NAME_PT,
            va="center",
            linespacing=1.1,
            annotation_clip=False,
            arrowprops=leader | {"shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
        )
    return True


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
