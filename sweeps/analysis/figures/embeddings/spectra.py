"""Singular values of the embeddings, largest first."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, log_ticks, styled
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.style import Looks, dash_of
from sweeps.analysis.figures.embeddings.stored_views import IN_EMBEDDING_SPACE, Shown, where

READING: Final = "The flatter the line, the more directions the embeddings use. A thin line is one run."


LEAST_SHARE: Final = 1e-6
"""Below, a direction is not used, and what is left of it is rounding."""


@dataclass(frozen=True, slots=True)
class SpectrumData:
    """Share of each singular value in their sum, per cell: every run and the mean."""

    cells: tuple[str, ...]
    runs: tuple[tuple[tuple[float, ...], ...], ...]
    means: tuple[tuple[float, ...], ...]
    looks: Looks
    caption: str


def spectrum_data(data: Shown, split: str) -> SpectrumData:
    """Singular values over their sum, which the number of images does not change, per cell and block."""
    runs = []
    for blocks in data.trials.values():
        values = [np.array([r["value"] for r in data.rows("spectrum", split, t)], dtype=float) for t in blocks.values()]
        runs.append([value / value.sum() for value in values])
    counts = {len(of_cell) for of_cell in runs}
    per_cell = " or ".join(plural(n, "run") for n in sorted(counts))
    return SpectrumData(
        cells=data.cells,
        runs=tuple(tuple(tuple(run.tolist()) for run in cell_runs) for cell_runs in runs),
        means=tuple(tuple(np.mean(_same_length(cell_runs), axis=0).tolist()) for cell_runs in runs),
        looks=data.looks,
        caption=f"n = {data.images(split):,} images; {per_cell} per cell; {where(data, split)}; uncentred, "
        f"{IN_EMBEDDING_SPACE}",
    )


def _same_length(runs: list[np.ndarray]) -> list[np.ndarray]:
    """Runs as long as the longest; where the rank is lower the rest is 0."""
    longest = max(len(run) for run in runs)
    return [np.pad(run, (0, longest - len(run))) for run in runs]


@styled
def draw_spectra(data: SpectrumData) -> Figure:
    """Thin lines are runs, thick ones their mean; a flat line uses every direction alike."""
    figure, (axes,) = canvas("Singular values of the embeddings", data.caption, height=3.2)
    for cell, runs, mean in zip(data.cells, data.runs, data.means, strict=True):
        colour = data.looks[cell][0]
        for run in runs:
            axes.plot(range(1, len(run) + 1), run, color=colour, linewidth=0.8, alpha=0.4)
        (line,) = axes.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2)
        line.set(linestyle=dash_of(data.looks, cell), label=cell)
    axes.set(xlabel="singular value, largest first", ylabel="share of their sum")
    log_ticks(axes, "y")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LEAST_SHARE))
    lines = axes.get_legend_handles_labels()[0]
    ends = [
        LineEnd(cell, max(mean[-1], axes.get_ylim()[0]), data.looks[cell][0], dash_of(data.looks, cell))
        for cell, mean in zip(data.cells, data.means, strict=True)
    ]
    if not name_ends((axes, ends)):
        legend_below(figure, lines)
    return figure
