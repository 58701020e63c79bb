"""Contrasts of one outcome on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from sweeps.analysis.figures.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import BAND, GREY, each, wrapped
from sweeps.analysis.numbers import decimals_for, number
from sweeps.analysis.stats.effects import Effect
from sweeps.analysis.stats.findings import Finding
from sweeps.results.columns import named

READING: Final = "Each contrast over its own band of ±SESOI. Only the primary ones are adjusted for their number."

FAMILY_MARKS: Final = {"primary": ("D", "black"), "exploratory": ("o", "#5c5c5c"), "control": ("s", "#8a8a8a")}
"""Marker and colour of a contrast by what it is for."""


class ForestItem(NamedTuple):
    """One line of a forest plot."""

    label: str
    effect: Effect
    family: str
    """One of `stored_plan.FAMILIES`."""

    outcome: str
    """Column of `trials` in whose units the effect is."""


@dataclass(frozen=True, slots=True)
class ForestData:
    """Contrasts of one outcome in the order given, on one axis."""

    rows: tuple[ForestItem, ...]
    """At least one."""

    caption: str


def forests(found: list[Finding]) -> dict[str, list[ForestItem]]:
    """Outcome -> its contrasts, which share an axis; none of a single contrast, which needs none."""
    items = forest_items(found)
    by_outcome = {item.outcome: [one for one in items if one.outcome == item.outcome] for item in items}
    return {outcome: own for outcome, own in by_outcome.items() if len(own) > 1}


def forest_items(found: list[Finding]) -> list[ForestItem]:
    """Estimated contrasts in the order of the findings: primaries first."""
    return [
        ForestItem(finding.name, finding.result[0], finding.contrast.family, finding.contrast.outcome)
        for finding in found
        if finding.result is not None
    ]


def forest_data(items: Sequence[ForestItem], *, dataset: str) -> ForestData:
    """Contrasts as rows, all of one outcome.

    Raises:
        ValueError: no contrast.
    """
    if not items:
        raise ValueError("A forest needs at least one estimated contrast.")
    n = each(item.effect.n for item in items)
    return ForestData(tuple(items), f"n = {n} blocks; {dataset}; stage confirm; 95 % intervals")


@styled
def draw_forest(data: ForestData) -> Figure:
    """Point and 95 % interval per contrast over its band of ±SESOI, the numbers under its name."""
    labels = [wrapped(row.label, 22) for row in data.rows]
    lines = [label.count("\n") + 2 for label in labels]
    figure, (axes,) = canvas("Contrasts", data.caption, height=1.0 + 0.19 * sum(lines))
    centres = np.cumsum(lines) - np.array(lines) / 2
    for row, y, high in zip(data.rows, centres, lines, strict=True):
        effect, (marker, colour) = row.effect, FAMILY_MARKS[row.family]
        sesoi = effect.sesoi
        axes.add_patch(Rectangle((-sesoi, y - high / 2), 2 * sesoi, high, facecolor=BAND, linewidth=0, zorder=0))
        axes.plot([effect.ci_low, effect.ci_high], [y, y], color=colour, linewidth=2)
        axes.plot([effect.estimate], [y], marker, color=colour, markersize=6.5, markeredgecolor="white")
    axes.axvline(0, color=GREY, linewidth=1)
    texts = [f"{label}\n{_estimate(row.effect)}" for label, row in zip(labels, data.rows, strict=True)]
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


def _estimate(effect: Effect) -> str:
    return number(effect.estimate, decimals=decimals_for(effect), signed=True)
