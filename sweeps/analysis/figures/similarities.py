"""How alike embeddings of different images are, through training, by confirmed cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import styled
from sweeps.analysis.figures.drawing.panel_grid import by_epoch, panel_grid
from sweeps.analysis.figures.drawing.style import COLOURS, GREY
from sweeps.analysis.stats.description.curves import Line, Run, counted, mean_line, runs_of

READING: Final = (
    "Cosine similarity of all pairs of validation images. Near 1 everything looks alike; around 0 with a wide band the "
    "embeddings tell images apart. The band is one standard deviation of the pairs, mean over runs; a thin line is a "
    "run's mean."
)


@dataclass(frozen=True, slots=True)
class SimilarityPanel:
    """One cell."""

    cell: str
    runs: tuple[Line, ...]
    mean: Line
    deviation: Line
    """Standard deviation of the pairs of a run, mean over runs; at the epochs of `mean`."""


@dataclass(frozen=True, slots=True)
class SimilarityData:
    """The cells in the order asked for."""

    panels: tuple[SimilarityPanel, ...]
    caption: str


def similarity_data(trials: pa.Table, curves: pa.Table, cells: Sequence[str], *, dataset: str) -> SimilarityData | None:
    """Mean and deviation of the similarities by cell; None where no completed run of `cells` has both."""
    panels, n = [], 0
    for cell, runs in runs_of(trials, curves, cells, ("val_sim_mean", "val_sim_var")).items():
        mean, deviation = mean_line(runs, "val_sim_mean"), _deviation(runs)
        if mean and [epoch for epoch, _ in mean] == [epoch for epoch, _ in deviation]:
            panels.append(SimilarityPanel(cell, tuple(run.line("val_sim_mean") for run in runs), mean, deviation))
            n += len(runs)
    if not panels:
        return None
    measured = counted([panel.cell for panel in panels], cells)
    caption = f"n = {plural(n, 'run')}, {measured}; {dataset}; stage confirm, validation split"
    return SimilarityData(tuple(panels), caption)


def _deviation(runs: Sequence[Run]) -> Line:
    rooted = [
        Run(run.trial, tuple({"epoch": e, "deviation": math.sqrt(value)} for e, value in run.line("val_sim_var")))
        for run in runs
    ]
    return mean_line(rooted, "deviation")


@styled
def draw_similarities(data: SimilarityData) -> Figure:
    """A panel per cell on one common scale."""
    handles = [
        Line2D([], [], color=COLOURS[0], linewidth=1.8, label="mean"),
        Patch(color=COLOURS[0], alpha=0.2, linewidth=0, label="± one SD of pairs"),
    ]
    names = [panel.cell for panel in data.panels]
    figure, panels = panel_grid("Similarity of the embeddings", data.caption, names, handles, height=1.1)
    ends = []
    for axes, panel in zip(panels, data.panels, strict=True):
        epochs, means = zip(*panel.mean, strict=True)
        lows = [m - d for m, (_, d) in zip(means, panel.deviation, strict=True)]
        highs = [m + d for m, (_, d) in zip(means, panel.deviation, strict=True)]
        axes.fill_between(epochs, lows, highs, color=COLOURS[0], alpha=0.2, linewidth=0)
        axes.add_collection(LineCollection(panel.runs, colors=COLOURS[0], linewidths=0.6, alpha=0.5))
        axes.plot(epochs, means, color=COLOURS[0], linewidth=1.8, marker="." if len(epochs) == 1 else "")
        axes.axhline(0, color=GREY, linewidth=0.8)
        ends += [min(lows), max(highs)]
    by_epoch(panels)
    spare = 0.05 * (max(*ends, 0) - min(*ends, 0))
    for axes in panels:
        axes.set_ylim(min(*ends, 0) - spare, max(*ends, 0) + spare)
    return figure
