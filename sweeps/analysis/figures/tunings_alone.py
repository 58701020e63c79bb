"""Sweeps of one design, tuning by tuning: what each would have claimed alone, and what all of a sweep do together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import BAND, COLOURS, GREY, wrapped
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.single_tunings import SingleTunings
from sweeps.analysis.stats.intervals.effects import Effect
from sweeps.results.columns import named

READING: Final = (
    "Thin: one tuning each, with the 95 % interval that its seeds alone give it; in colour where it would have claimed "
    "an effect. Bold: all tunings of the sweep, with the interval over tunings."
)

LINE: Final = 0.13
"""Inches of height of a tuning."""


@dataclass(frozen=True, slots=True)
class TuningsAlone:
    """One contrast in one sweep."""

    sweep: str
    effect: Effect
    alone: SingleTunings


@dataclass(frozen=True, slots=True)
class TuningsData:
    """One contrast in sweeps of one outcome."""

    title: str
    outcome: str
    """Column of `trials`."""

    rows: tuple[TuningsAlone, ...]
    """At least one."""

    caption: str


def tunings_data(title: str, outcome: str, rows: Sequence[TuningsAlone]) -> TuningsData:
    """The contrast `title` in each sweep."""
    counts = ", ".join(
        f"{row.sweep}: {plural(row.effect.n, 'tuning')} x {plural(row.effect.blocks, 'seed')}" for row in rows
    )
    return TuningsData(title, outcome, tuple(rows), f"{counts}; stage confirm")


@styled
def draw_tunings_alone(data: TuningsData) -> Figure:
    """Tunings of a sweep in order of their effect, the sweep's own interval below them."""
    lines = sum(len(row.alone.effects) + 3 for row in data.rows)
    figure, (axes,) = canvas(data.title, data.caption, height=1.2 + LINE * lines)
    sesoi = data.rows[0].effect.sesoi
    axes.axvspan(-sesoi, sesoi, color=BAND, zorder=0)
    axes.axvline(0, color=GREY, linewidth=1)
    y, ticks, labels = 0, [], []
    for row in data.rows:
        for effect in sorted(row.alone.effects, key=lambda one: one.estimate):
            claims = effect.ci_low > 0 or effect.ci_high < 0
            colour = COLOURS[int(effect.estimate > 0)] if claims else GREY
            axes.plot([effect.ci_low, effect.ci_high], [y, y], color=colour, linewidth=1)
            axes.plot([effect.estimate], [y], "o", color=colour, markersize=3)
            y += 1
        axes.plot([row.effect.ci_low, row.effect.ci_high], [y, y], color="black", linewidth=2.5)
        axes.plot([row.effect.estimate], [y], "D", color="black", markersize=6, markeredgecolor="white")
        ticks.append(y)
        labels.append(f"{wrapped(row.sweep, 24)}\n{interval(row.effect)}")
        y += 3
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.set(ylim=(y - 1.5, -1), xlabel=f"difference in {named(data.outcome)}")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    plain_ticks(axes, "x", signed=True)
    shown = {"one tuning: lowered": COLOURS[0], "one tuning: raised": COLOURS[1], "one tuning: no claim": GREY}
    handles = [Line2D([], [], color=colour, marker="o", markersize=3, label=name) for name, colour in shown.items()]
    together = Line2D([], [], color="black", marker="D", linewidth=2.5, label="all tunings of the sweep")
    legend_below(figure, [*handles, together, Patch(facecolor=BAND, label="±SESOI")])
    return figure
