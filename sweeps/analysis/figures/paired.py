"""Outcomes of a primary contrast replicate by replicate, and their difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from sweeps.analysis.figures.drawing.canvas import canvas, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import BAND, GREY, Looks, titled, wrapped
from sweeps.analysis.numbers import interval, number, sesoi_text
from sweeps.analysis.stats.intervals.effects import Effect
from sweeps.analysis.stats.reading.composite import counted_as
from sweeps.analysis.stats.reading.contrasts import CellRuns
from sweeps.analysis.stats.reading.stored_plan import Contrast
from sweeps.results.columns import named

REPLICATE_READING: Final = "Each line is one replicate, with the same draw of images and the same seeds in all cells"
MEAN_READING: Final = ", averaged over its seeds"
SEED_READING: Final = "Each line is one seed, used in all cells"
SIDES_READING: Final = " A side is the weighted mean of its cells."

SIDES: Final = (GREY, "black")
"""Colours of the two sides of a contrast of many cells."""

MOST_CELLS: Final = 4
"""Above, the two sides are shown instead of the cells."""


@dataclass(frozen=True, slots=True)
class PairedData:
    """Outcomes of the cells of a contrast, or of its two sides, and its value per unit, with interval and SESOI."""

    title: str
    looks: Looks
    labels: tuple[str, ...]
    """Of the columns: the cells, those of the control first; or the two sides."""

    controls: int
    """How many of the columns are of the control."""

    outcome: str
    columns: tuple[tuple[float, ...], ...]
    """By label the outcome of each unit."""

    differences: tuple[float, ...]
    effect: Effect
    of_sides: bool
    unit: str
    """What a line is one of: `replicates`, `seeds`, `seeds at one tuning`."""

    caption: str


def paired_data(
    runs: CellRuns, effect: Effect, contrast: Contrast, *, looks: Looks, dataset: str, origin: str
) -> PairedData:
    """Figure of one contrast; `looks` of the sweep's cells, `origin` says how their settings were chosen."""
    lost = f"; {len(runs.failed)} failed, {counted_as(contrast.outcome)}" if runs.failed else ""
    of_sides = len(runs.cells) > MOST_CELLS
    if of_sides:
        labels: tuple[str, ...] = (_side(contrast.control_cells), _side(contrast.treatment_cells))
        columns, controls = [runs.control, runs.treatment], 1
    else:
        order = sorted(range(len(runs.cells)), key=lambda i: runs.weights[i] > 0)
        labels = tuple(runs.cells[i] for i in order)
        columns, controls = [runs.by_cell()[:, i] for i in order], sum(weight < 0 for weight in runs.weights)
    return PairedData(
        title=contrast.label.removesuffix(","),
        looks=looks,
        labels=labels,
        controls=controls,
        outcome=contrast.outcome,
        columns=tuple(tuple(column.tolist()) for column in columns),
        differences=tuple(runs.values.tolist()),
        effect=effect,
        of_sides=of_sides,
        unit=runs.unit,
        caption=f"{runs.counted()}; {dataset}; stage confirm; {origin}{lost}",
    )


def reading(data: PairedData) -> str:
    """How to read the figure."""
    unit, _, where = data.unit.partition(" ")
    if unit == "seeds":
        line = SEED_READING + (f", {where}" if where else ", with its own draw of images")
    else:
        line = REPLICATE_READING + MEAN_READING * (data.effect.blocks > 1)
    return f"{line}.{SIDES_READING * data.of_sides}"


def _side(cells: Sequence[str]) -> str:
    """One cell, or how many a side is the mean of, by what they have in common."""
    common = [level for level in cells[0].split(",") if all(level in cell.split(",") for cell in cells)]
    return cells[0] if len(cells) == 1 else f"{','.join(common)}, mean of {len(cells)} cells".lstrip(", ")


@styled
def draw_paired(data: PairedData) -> Figure:
    """Above, the outcomes of each unit joined by a line; below, their differences against the SESOI band."""
    figure, (top, bottom) = canvas(f"Pair by pair: {data.title}", data.caption, height=4.4, rows=2)
    one = "seed" if data.unit.startswith("seeds") else "replicate"
    places = range(len(data.columns))
    for outcomes in zip(*data.columns, strict=True):
        top.plot(places, outcomes, color=GREY, linewidth=1)
    for x, values in zip(places, data.columns, strict=True):
        colour, marker = data.looks.get(data.labels[x], (SIDES[x >= data.controls], "o"))
        (dots,) = top.plot([x] * len(values), values, marker, color=colour, markersize=6, linestyle="none")
        titled(dots, *(f"{one} {i}: {number(value, decimals=4)}" for i, value in enumerate(values, start=1)))
    top.set(xlim=(-0.5, len(data.columns) - 0.5), ylabel=wrapped(named(data.outcome), 20))
    width = 52 // len(data.columns)
    top.set_xticks(places, [wrapped(label, width) for label in data.labels], fontsize=8)
    plain_ticks(top, "y")
    sesoi, effect = data.effect.sesoi, data.effect
    bottom.axvspan(-sesoi, sesoi, color=BAND, zorder=0, label=f"±SESOI ({sesoi_text(sesoi)})")
    bottom.axvline(0, color=GREY, linewidth=1)
    # Spread over the height, so that equal differences stay apart.
    heights = np.linspace(0.45, 1.0, len(data.differences))
    for i, (difference, height) in enumerate(zip(data.differences, heights, strict=True)):
        (dot,) = bottom.plot([difference], [height], "o", color="#444444", markersize=5, linestyle="none")
        dot.set_label("" if i else one)
        titled(dot, f"{one} {i + 1}: {number(difference, decimals=4, signed=True)}")
    bottom.plot(
        [effect.ci_low, effect.ci_high],
        [0, 0],
        color="black",
        linewidth=2,
        label=f"95 % interval{', all at once' * (effect.family > 1)}",
    )
    bottom.plot([effect.estimate], [0], "D", color="black", markersize=6, linestyle="none", label="mean")
    bottom.set(ylim=(-0.3, 1.25), yticks=[], xlabel=f"difference in {named(data.outcome)}:\n{interval(effect)}")
    plain_ticks(bottom, "x", signed=True)
    figure.legend(*bottom.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
