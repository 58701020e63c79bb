"""Outcomes of a primary contrast block by block, and their difference."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from sweeps.analysis.figures.canvas import canvas, plain_ticks, styled
from sweeps.analysis.figures.style import BAND, COLOURS, GREY, wrapped
from sweeps.analysis.numbers import interval, number, sesoi_text
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC, CellBlocks
from sweeps.analysis.stats.effects import Effect
from sweeps.analysis.stats.stored_plan import Contrast
from sweeps.results.columns import named

READING: Final = (
    "Each line is one block: one seed, so the same split and triplets in all cells and, where their settings agree, "
    "the same initialisation, data order and augmentation."
)
SIDES_READING: Final = " A side is the weighted mean of its cells."


@dataclass(frozen=True, slots=True)
class PairedData:
    """Both sides of a contrast and its value per block, with the interval and the SESOI band.

    A side is the weighted mean of its cells; the value is their difference for a difference of means, not for a slope.
    """

    labels: tuple[str, str]
    outcome: str
    blocks: tuple[int, ...]
    control: tuple[float, ...]
    treatment: tuple[float, ...]
    differences: tuple[float, ...]
    effect: Effect
    cells: int
    """That enter the contrast."""

    caption: str


def paired_data(blocks: CellBlocks, effect: Effect, contrast: Contrast, *, dataset: str, note: str) -> PairedData:
    """Figure of one contrast; `note` says how the arms were chosen."""
    lost = f"; {len(blocks.failed)} failed, counted as {number(COMPOSITE_AUC, decimals=1)}" if blocks.failed else ""
    return PairedData(
        labels=(contrast.control, contrast.treatment),
        outcome=contrast.outcome,
        blocks=blocks.blocks,
        control=tuple(blocks.control.tolist()),
        treatment=tuple(blocks.treatment.tolist()),
        differences=tuple(blocks.values.tolist()),
        effect=effect,
        cells=len(blocks.cells),
        caption=f"n = {effect.n} blocks; {dataset}; stage confirm; {note}{lost}",
    )


def reading(data: PairedData) -> str:
    """How to read the figure."""
    return READING + SIDES_READING * (data.cells > 2)


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
