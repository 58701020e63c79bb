"""What a larger tuning budget buys in each cell: the best of n trials (E5)."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from opda.nonparametric import EmpiricalDistribution  # type: ignore[import-untyped, unused-ignore]

from sweeps.analysis.figures.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.style import GREY, Looks, each, looks_of, wrapped
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.results.columns import named

READING: Final = "What the best of n trials would reach, half of the time: an arm that needs more tuning rises later."
BAND_READING: Final = " Bands treat the points as independent draws."

FEWEST_BANDED: Final = 16
"""Trials of a cell below which a band is too wide to tell anything."""

CONFIDENCE: Final = 0.95

BAND_SEED: Final = 0
"""Of the simulation that finds the bands' exact level."""


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """Median of the best of n trials, with a simultaneous band where there are trials enough."""

    cell: str
    medians: tuple[float, ...]
    """At n = 1, 2, ...; at most 1."""

    band: tuple[tuple[float, ...], tuple[float, ...]] | None
    """Lower and upper ends at the same n; None below `FEWEST_BANDED` trials."""


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
    for row in rows_of(trials, "tune", ("cell_id", "final_val_auc")):
        auc = row["final_val_auc"]
        found.setdefault(row["cell_id"], []).append(COMPOSITE_AUC if auc is None else auc)
    found = {cell: values for cell, values in sorted(found.items()) if len(values) > 1}
    if not found:
        return None
    curves = tuple(_tuning_curve(cell, values) for cell, values in found.items())
    caption = f"n = {each(map(len, found.values()))} trials per cell; {dataset}; stage tune; exploratory"
    return TuningData(curves, looks_of(trials), caption)


def reading(data: TuningData) -> str:
    """How to read the figure: only what it has."""
    return READING + BAND_READING * any(curve.band for curve in data.curves)


def _tuning_curve(cell: str, values: list[float]) -> TuningCurve:
    of_rank, n = [0.0, *sorted(values), 1.0], len(values)
    medians = tuple(of_rank[rank] for rank in _best_of(EmpiricalDistribution(np.arange(1.0, n + 1)), n))
    if n < FEWEST_BANDED:
        return TuningCurve(cell, medians, None)
    lows, highs = (tuple(of_rank[rank] for rank in ranks) for ranks in _band_ranks(n))
    return TuningCurve(cell, medians, (lows, highs))


@cache
def _band_ranks(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both ends of the band of the best of 1..n as places among n ordered values; 0 and n + 1 lie beyond.

    They depend on the order of the values alone, and finding their level takes a second for n = 64.
    """
    low, _, high = EmpiricalDistribution.confidence_bands(
        np.arange(1.0, n + 1),
        CONFIDENCE,
        a=0.0,
        b=n + 1.0,
        method="ld_equal_tailed",
        generator=np.random.default_rng(BAND_SEED),
        n_jobs=1,
    )
    return _best_of(high, n), _best_of(low, n)  # a high distribution function is one of low values


def _best_of(ranks: EmpiricalDistribution, n: int) -> tuple[int, ...]:
    """Median of the best of 1..n draws."""
    return tuple(ranks.quantile_tuning_curve(np.arange(1, n + 1)).astype(int).tolist())


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
        if curve.band is not None:
            axes.fill_between(ns, *curve.band, color=colour, alpha=0.2, linewidth=0)
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
        axes.set_ylabel(named("final_val_auc") if i % columns == 0 else "")
    handles: list[Artist] = [Line2D([], [], color=GREY, linewidth=0.7, label="the other cells")]
    if any(curve.band for curve in data.curves):
        handles.append(Patch(facecolor=GREY, alpha=0.3, label=f"{CONFIDENCE * 100:g} % band, all n at once"))
    legend_below(figure, handles)
    return figure
