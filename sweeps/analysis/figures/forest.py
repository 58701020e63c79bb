"""Contrasts on one axis for each outcome, the outcomes side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import BAND, GREY, each, titled, wrapped
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.answers.koleo_against_accumulation import Comparison
from sweeps.analysis.stats.intervals.effects import Effect, Interval
from sweeps.results.columns import named

READING: Final = "Each contrast over a band of ±SESOI, the smallest effect size of interest."
HELD: Final = (
    " The intervals of the primaries hold all at once; each of the others stands on its own and is exploratory."
)

FAMILY_MARKS: Final = {"primary": ("D", "black"), "exploratory": ("o", "#5c5c5c")}
"""Marker and colour of a contrast by what it is for."""


SIMULTANEOUS: Final = ", those of the primaries all at once"

_NUMBERS: Final = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0}

LABEL: Final = 19
"""Characters of a contrast's name on one line."""


class ForestItem(NamedTuple):
    """One interval of a forest plot."""

    label: str
    found: Effect | Interval
    family: str
    """`primary` or `exploratory`."""

    sesoi: float

    panel: str
    """What it is a difference in, and where: those of one panel share an axis."""

    unit: str = ""
    """What a primary is over: `replicates`, `seeds`, `seeds at one tuning`."""


@dataclass(frozen=True, slots=True)
class ForestData:
    """Contrasts in the order given: a row for each label, an axis for each panel."""

    rows: tuple[ForestItem, ...]
    """At least one."""

    caption: str


def forest_items(found: Sequence[Finding], compared: Sequence[Comparison]) -> list[ForestItem]:
    """The primaries, the same contrasts on other outcomes, and KoLeo against accumulation where it is no primary."""
    primaries = [one for one in found if one.effect is not None and one.runs is not None]
    items = primary_items(primaries)
    labels = {_weights(one): one.name for one in primaries}
    beside = [one for one in found if one.contrast.family == "beside" and _weights(one) in labels]
    items += [
        ForestItem(labels[_weights(one)], one.estimated, "exploratory", one.contrast.sesoi, named(one.contrast.outcome))
        for one in beside
        if one.estimated is not None
    ]
    sesoi = {item.panel: item.sesoi for item in items}
    for one in compared:
        parts = {
            f"KoLeo, off to on at K={one.low}": "koleo",
            f"accumulation, K={one.low} to {one.high} with KoLeo": "accumulation",
        }
        if named(one.outcome) in sesoi and not one.bare:
            panel = named(one.outcome)
            items += [
                ForestItem(label, getattr(one, part), "exploratory", sesoi[panel], panel)
                for label, part in parts.items()
                if part not in compared[0].shared
            ]
    return items


def primary_items(found: Sequence[Finding], *, sweep: str = "") -> list[ForestItem]:
    """Those that are estimated; `sweep`: its name, where several sweeps stand side by side."""
    where = f"{sweep}: " if sweep else ""
    return [
        ForestItem(
            one.name, one.effect, "primary", one.effect.sesoi, where + named(one.contrast.outcome), one.runs.unit
        )
        for one in found
        if one.effect is not None and one.runs is not None
    ]


def _weights(one: Finding) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((cell, round(weight, 9)) for cell, weight in one.contrast.weights.items()))


def forest_data(items: Sequence[ForestItem], *, dataset: str) -> ForestData:
    """Contrasts by row and panel.

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
    """Point and 95 % interval per contrast over its band of ±SESOI, the numbers under it; panels share the rows."""
    labels = list(dict.fromkeys(row.label for row in data.rows))
    names = [wrapped(label, LABEL) for label in labels]
    lines = [max(2, name.count("\n") + 1) for name in names]
    centres = dict(zip(labels, np.cumsum(lines) - np.array(lines) / 2, strict=True))
    heights = dict(zip(labels, lines, strict=True))
    panels = list(dict.fromkeys(row.panel for row in data.rows))
    figure, drawn = canvas("Contrasts", data.caption, height=1.1 + 0.19 * sum(lines), columns=len(panels))
    for axes, panel in zip(drawn, panels, strict=True):
        for row in data.rows:
            if row.panel == panel:
                _draw_row(axes, row, centres[row.label], heights[row.label])
        axes.axvline(0, color=GREY, linewidth=1)
        axes.margins(x=0.07)
        axes.set(ylim=(sum(lines), 0), xlabel=wrapped(f"difference in {panel}", 44 // len(panels)))
        axes.set_yticks(list(centres.values()), names if axes is drawn[0] else [""] * len(names), fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=7.5)
        axes.xaxis.label.set_fontsize(8.5)
        axes.grid(visible=False, axis="y")
        plain_ticks(axes, "x", signed=True, most=6 if len(panels) == 1 else 3)
    seen = [family for family in FAMILY_MARKS if any(row.family == family for row in data.rows)]
    marks = {family: FAMILY_MARKS[family] for family in seen}
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=2, label=name) for name, (marker, colour) in marks.items()
    ]
    legend_below(figure, [*handles, Patch(facecolor=BAND, label="±SESOI")])
    return figure


def _draw_row(axes: Axes, row: ForestItem, y: float, high: float) -> None:
    effect, (marker, colour), sesoi = row.found, FAMILY_MARKS[row.family], row.sesoi
    axes.add_patch(Rectangle((-sesoi, y - high / 2), 2 * sesoi, high, facecolor=BAND, linewidth=0, zorder=0))
    told = f"{row.label}: {interval(effect)}, n = {effect.n}"
    y -= 0.35
    titled(axes.plot([effect.ci_low, effect.ci_high], [y, y], color=colour, linewidth=2)[0], told)
    titled(axes.plot([effect.estimate], [y], marker, color=colour, markersize=6.5, markeredgecolor="white")[0], told)
    text = axes.text(0.5, y + 0.85, interval(effect), fontsize=6.5, bbox=_NUMBERS, transform=axes.get_yaxis_transform())
    text.set(ha="center", va="center")
