"""Figure of the tune stage: what a larger budget buys in each cell (E5)."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from opda.nonparametric import EmpiricalDistribution  # type: ignore[import-untyped, unused-ignore]

from sweeps.analysis.figures.figure_data import looks_of
from sweeps.analysis.figures.figures import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import GREY, Looks, wrapped
from sweeps.analysis.figures.tuning import STAGE, each
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC
from sweeps.analysis.stats.descriptive import rows_of

CONFIDENCE: Final = 0.95

BAND_SEED: Final = 0
"""Of the simulation that finds the bands' exact level."""


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """Median of the best of n trials with a simultaneous band."""

    cell: str
    medians: tuple[float, ...]
    """At n = 1, 2, ...; at most 1."""
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TuningData:
    """Best-of-n curve of each cell."""

    curves: tuple[TuningCurve, ...]
    looks: Looks
    caption: str


def tuning_data(trials: pa.Table, *, dataset: str) -> TuningData | None:
    """Median best-of-n validation AUC per cell of the tune stage; None where no cell has two trials.

    A trial without an outcome counts as `COMPOSITE_AUC`: it used its share of the budget.

    Source: Lourie, Cho and He 2023, "Show Your Work with Confidence", with equal-tailed bands, exact for independent
    draws from a continuous distribution; scrambled Sobol points spread more evenly than such draws.
    """
    found: dict[str, list[float]] = {}
    for row in rows_of(trials, STAGE, ("cell_id", "final_val_auc")):
        auc = row["final_val_auc"]
        found.setdefault(row["cell_id"], []).append(COMPOSITE_AUC if auc is None else auc)
    found = {cell: values for cell, values in sorted(found.items()) if len(values) > 1}
    if not found:
        return None
    curves = tuple(_tuning_curve(cell, values) for cell, values in found.items())
    caption = f"n = {each(map(len, found.values()))} trials per cell; {dataset}; stage tune; exploratory"
    return TuningData(curves, looks_of(trials), caption)


@styled
def draw_tuning(data: TuningData) -> Figure:
    """One panel per cell on common axes: the others' medians are grey."""
    columns = min(2, len(data.curves))
    rows = -(-len(data.curves) // columns)
    height = 2.1 * rows + 0.4
    figure, panels = canvas("Best of n tuning trials", data.caption, height=height, rows=rows, columns=columns)
    bottom = min(min(curve.medians) for curve in data.curves)
    top = max(max(curve.medians) for curve in data.curves)
    room = max(top - bottom, 0.005)
    for axes, curve in zip(panels, data.curves, strict=False):
        for other in data.curves:
            axes.plot(range(1, len(other.medians) + 1), other.medians, color=GREY, linewidth=0.7, alpha=0.6)
        colour, marker = data.looks[curve.cell]
        ns = range(1, len(curve.medians) + 1)
        axes.fill_between(ns, curve.lows, curve.highs, color=colour, alpha=0.2, linewidth=0)
        every = max(1, len(ns) // 6)
        axes.plot(ns, curve.medians, color=colour, marker=marker, markersize=5, linewidth=1.8, markevery=every)
        axes.set_title(wrapped(curve.cell, 26), fontsize=8.5)
        axes.set_ylim(bottom - 0.6 * room, min(1, top + 0.6 * room))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        plain_ticks(axes, "y")
    for axes in panels[len(data.curves) :]:
        axes.set_axis_off()
    for i, axes in enumerate(panels[: len(data.curves)]):
        axes.set_xlabel("trials (n)" if i + columns >= len(data.curves) else "")
        axes.set_ylabel("validation AUC" if i % columns == 0 else "")
    band = Patch(facecolor=GREY, alpha=0.3, label=f"{CONFIDENCE * 100:g} % band, all n at once")
    legend_below(figure, [Line2D([], [], color=GREY, linewidth=0.7, label="the other cells"), band])
    return figure


def _tuning_curve(cell: str, values: list[float]) -> TuningCurve:
    of_rank = [0.0, *sorted(values), 1.0]
    lows, medians, highs = (tuple(of_rank[rank] for rank in ranks) for ranks in _band_ranks(len(values)))
    return TuningCurve(cell, medians, lows, highs)


@cache
def _band_ranks(n: int) -> tuple[tuple[int, ...], ...]:
    """Lower end, median and upper end of the best of 1..n as places among n ordered values; 0 and n + 1 lie beyond.

    The bands depend on the order of the values alone, and finding their level takes a second for n = 64.
    """
    bands = EmpiricalDistribution.confidence_bands(
        np.arange(1.0, n + 1),
        CONFIDENCE,
        a=0.0,
        b=n + 1.0,
        method="ld_equal_tailed",
        generator=np.random.default_rng(BAND_SEED),
        n_jobs=1,
    )
    budgets = np.arange(1, n + 1)
    # From the highest distribution function, which is one of low values, to the lowest.
    return tuple(tuple(band.quantile_tuning_curve(budgets).astype(int).tolist()) for band in reversed(bands))
