"""Contrasts of one outcome on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from sweeps.analysis.figures.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import BAND, GREY, each, titled, wrapped
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.answers.koleo_against_accumulation import Comparison
from sweeps.analysis.stats.intervals.effects import Effect, Interval
from sweeps.results.columns import named

READING: Final = "Each contrast over its own band of ±SESOI, the smallest effect size of interest."
HELD: Final = " The intervals of the primaries hold all at once; others are each on their own, exploratory."

FAMILY_MARKS: Final = {"primary": ("D", "black"), "exploratory": ("o", "#5c5c5c")}
"""Marker and colour of a contrast by what it is for."""


SIMULTANEOUS: Final = ", those of the primaries all at once"


class ForestItem(NamedTuple):
    """One line of a forest plot."""

    label: str
    found: Effect | Interval
    family: str
    """`primary` or `exploratory`."""

    sesoi: float

    outcome: str
    """Column of `trials` in whose units the effect is."""

    unit: str = ""
    """What a primary is over: `replicates`, `seeds`, `seeds at one tuning`."""


@dataclass(frozen=True, slots=True)
class ForestData:
    """Contrasts of one outcome in the order given, on one axis."""

    rows: tuple[ForestItem, ...]
    """At least one."""

    caption: str


def forests(found: Sequence[Finding], compared: Sequence[Comparison]) -> dict[str, list[ForestItem]]:
    """Outcome -> its contrasts, which share an axis; none of a single contrast, which needs none."""
    items = forest_items(found, compared)
    by_outcome = {item.outcome: [one for one in items if one.outcome == item.outcome] for item in items}
    return {outcome: own for outcome, own in by_outcome.items() if len(own) > 1}


def forest_items(found: Sequence[Finding], compared: Sequence[Comparison]) -> list[ForestItem]:
    """The primaries, and KoLeo against accumulation on their outcomes where it is not a primary itself."""
    primaries = [
        ForestItem(one.name, one.effect, "primary", one.effect.sesoi, one.contrast.outcome, one.runs.unit)
        for one in found
        if one.effect is not None and one.runs is not None
    ]
    sesoi = {item.outcome: item.sesoi for item in primaries}
    return primaries + [
        ForestItem(label, part, "exploratory", sesoi[one.outcome], one.outcome)
        for one in compared
        if one.outcome in sesoi and not one.bare
        for label, part in (
            (f"KoLeo, off to on at K={one.low}", one.koleo),
            (f"accumulation, K={one.low} to {one.high} with KoLeo", one.accumulation),
        )
        if isinstance(part, Interval)
    ]


def forest_data(items: Sequence[ForestItem], *, dataset: str) -> ForestData:
    """Contrasts as rows, all of one outcome.

    Raises:
        ValueError: no contrast.
    """
    if not items:
        raise ValueError("A forest needs at least one estimated contrast.")
    effects = [item.found for item in items if isinstance(item.found, Effect)]
    units = {item.unit for item in items} - {""}
    held = max((effect.family for effect in effects), default=1)
    n = f"n = {each(item.found.n for item in items)} {' or '.join(sorted(units)) or 'units'}"
    return ForestData(tuple(items), f"{n}; {dataset}; stage confirm; 95 % intervals{SIMULTANEOUS * (held > 1)}")


def reading(data: ForestData) -> str:
    """How to read the figure: only what it has."""
    return READING + HELD * any(row.family != "primary" for row in data.rows)


@styled
def draw_forest(data: ForestData) -> Figure:
    """Point and 95 % interval per contrast over its band of ±SESOI, the numbers under its name."""
    labels = [wrapped(row.label, 22) for row in data.rows]
    lines = [label.count("\n") + 2 for label in labels]
    figure, (axes,) = canvas("Contrasts", data.caption, height=1.0 + 0.19 * sum(lines))
    centres = np.cumsum(lines) - np.array(lines) / 2
    for row, y, high in zip(data.rows, centres, lines, strict=True):
        effect, (marker, colour), sesoi = row.found, FAMILY_MARKS[row.family], row.sesoi
        axes.add_patch(Rectangle((-sesoi, y - high / 2), 2 * sesoi, high, facecolor=BAND, linewidth=0, zorder=0))
        told = f"{row.label}: {interval(effect)}, n = {effect.n}"
        titled(axes.plot([effect.ci_low, effect.ci_high], [y, y], color=colour, linewidth=2)[0], told)
        titled(
            axes.plot([effect.estimate], [y], marker, color=colour, markersize=6.5, markeredgecolor="white")[0], told
        )
    axes.axvline(0, color=GREY, linewidth=1)
    texts = [f"{label}\n{interval(row.found)}" for label, row in zip(labels, data.rows, strict=True)]
    axes.set_yticks(centres, texts, fontsize=8.5)
    axes.set(ylim=(sum(lines), 0), xlabel=wrapped(f"difference in {named(data.rows[0].outcome)}", 34))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    plain_ticks(axes, "x", signed=True)
    seen = [family for family in FAMILY_MARKS if any(row.family == family for row in data.rows)]
    marks = {family: FAMILY_MARKS[family] for family in seen}
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=name) for name, (marker, colour) in marks.items()
    ]
    legend_below(figure, [*handles, Patch(facecolor=BAND, label="±SESOI")])
    return figure
