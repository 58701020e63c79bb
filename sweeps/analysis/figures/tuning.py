"""What a larger tuning budget buys in each cell: the best of n trials (E5)."""

from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final

import numpy as np
import pyarrow as pa
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, styled, whole_ticks
from sweeps.analysis.figures.drawing.style import GREY, Looks, each, looks_of, wrapped
from sweeps.analysis.stats.description.descriptive import SAMPLED, rows_of, selected_by
from sweeps.analysis.stats.reading.composite import measured_or_composite
from sweeps.results.columns import named

READING: Final = "The median of the best of n trials: a cell that needs more tuning rises later."
SO_FAR_READING: Final = (
    "The best of the first n trials, in the order they ran: later ones were proposed where earlier ones had done well."
)
LINES_READING: Final = " Thin lines are replicates, thick ones their mean."
BAND_READING: Final = " Bands treat the points as independent draws."

FEWEST_BANDED: Final = 16
"""Trials of a cell below which a band is too wide to tell anything."""

CONFIDENCE: Final = 0.95

BAND_SEED: Final = 0
"""Of the simulation that finds the bands' exact level."""


@dataclass(frozen=True, slots=True)
class TuningCurve:
    """What n trials of one cell reach; with a simultaneous band where one replicate has trials enough."""

    cell: str
    means: tuple[float, ...]
    """At n = 1, 2, ...; at most 1. Over replicates, as far as all have so many trials."""

    replicates: tuple[tuple[float, ...], ...]
    """The same of each, where there are several; else empty."""

    band: tuple[tuple[float, ...], tuple[float, ...]] | None
    """Lower and upper ends at the same n; None of several replicates, and below `FEWEST_BANDED` trials."""


@dataclass(frozen=True, slots=True)
class TuningData:
    """Curve of each cell."""

    measure: str
    """Column of `trials`."""

    sampled: bool
    """Whether trials were proposed by what earlier ones had given: then the best so far is shown, in their order."""

    curves: tuple[TuningCurve, ...]
    looks: Looks
    caption: str


def tuning_data(trials: pa.Table, *, dataset: str) -> TuningData | None:
    """Median best-of-n per cell of the tune stage, or the best so far; None where no cell has two trials.

    A trial without an outcome counts with the composite: it used its share of the budget.

    Source: Lourie, Cho and He 2023, "Show Your Work with Confidence", with equal-tailed bands, exact for independent
    draws from a continuous distribution; scrambled Sobol points spread more evenly than such draws.
    """
    measure = selected_by(trials)
    rows = rows_of(trials, "tune", ("cell_id", "replicate", "origin", measure))
    sampled = any(row["origin"] == SAMPLED for row in rows)
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        value = measured_or_composite(row[measure], measure)
        found.setdefault(row["cell_id"], {}).setdefault(row["replicate"] or 1, []).append(value)
    found = {cell: own for cell, own in sorted(found.items()) if min(map(len, own.values())) > 1}
    if not found:
        return None
    curves = tuple(_tuning_curve(cell, list(own.values()), sampled=sampled) for cell, own in found.items())
    replicates = max(map(len, found.values()))
    per_cell = each((len(values) for own in found.values() for values in own.values()), "trial")
    of = f" in each of {replicates} replicates" if replicates > 1 else ""
    caption = f"n = {per_cell} per cell{of}; {dataset}; stage tune; exploratory"
    return TuningData(measure, sampled, curves, looks_of(trials), caption)


def reading(data: TuningData) -> str:
    """How to read the figure: only what it has."""
    text = SO_FAR_READING if data.sampled else READING
    text += LINES_READING * any(curve.replicates for curve in data.curves)
    return text + BAND_READING * any(curve.band for curve in data.curves)


def _tuning_curve(cell: str, replicates: list[list[float]], *, sampled: bool) -> TuningCurve:
    lines = tuple(tuple(accumulate(values, max)) if sampled else _medians(values) for values in replicates)
    means = tuple(float(np.mean(values)) for values in zip(*lines, strict=False))
    if len(lines) > 1 or sampled or len(means) < FEWEST_BANDED:
        return TuningCurve(cell, means, lines if len(lines) > 1 else (), None)
    of_rank = [0.0, *sorted(replicates[0]), 1.0]
    lows, highs = (tuple(of_rank[rank] for rank in ranks) for ranks in _band_ranks(len(means)))
    return TuningCurve(cell, means, (), (lows, highs))


def _medians(values: list[float]) -> tuple[float, ...]:
    """Median of the best of 1..n of the values."""
    of_rank, n = [0.0, *sorted(values), 1.0], len(values)
    return tuple(of_rank[rank] for rank in _best_of(_distribution()(np.arange(1.0, n + 1)), n))


@cache
def _band_ranks(n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both ends of the band of the best of 1..n as places among n ordered values; 0 and n + 1 lie beyond.

    They depend on the order of the values alone, and finding their level takes a second for n = 64.
    """
    low, _, high = _distribution().confidence_bands(
        np.arange(1.0, n + 1),
        CONFIDENCE,
        a=0.0,
        b=n + 1.0,
        method="ld_equal_tailed",
        generator=np.random.default_rng(BAND_SEED),
        n_jobs=1,
    )
    return _best_of(high, n), _best_of(low, n)  # a high distribution function is one of low values


def _distribution() -> Any:
    # It takes half a second to load, and few reports need it.
    from opda.nonparametric import EmpiricalDistribution  # type: ignore[import-untyped, unused-ignore]

    return EmpiricalDistribution


def _best_of(ranks: Any, n: int) -> tuple[int, ...]:
    """Median of the best of 1..n draws."""
    return tuple(ranks.quantile_tuning_curve(np.arange(1, n + 1)).astype(int).tolist())


@styled
def draw_tuning(data: TuningData) -> Figure:
    """One panel per cell on common axes: the others' lines are grey."""
    columns = min(2, len(data.curves))
    rows = -(-len(data.curves) // columns)
    height = 2.1 * rows + 0.4
    figure, panels = canvas("Best of n tuning trials", data.caption, height=height, rows=rows, columns=columns)
    bottom = min(min(curve.means) for curve in data.curves)
    top = max(max(curve.means) for curve in data.curves)
    room = max(top - bottom, 0.005)
    for axes, curve in zip(panels, data.curves, strict=False):
        for other in data.curves:
            axes.plot(range(1, len(other.means) + 1), other.means, color=GREY, linewidth=0.7, alpha=0.6)
        colour, marker = data.looks[curve.cell]
        ns = range(1, len(curve.means) + 1)
        for line in curve.replicates:
            axes.plot(range(1, len(line) + 1), line, color=colour, linewidth=0.6, alpha=0.5)
        if curve.band is not None:
            axes.fill_between(ns, *curve.band, color=colour, alpha=0.2, linewidth=0)
        every = max(1, len(ns) // 6)
        axes.plot(ns, curve.means, color=colour, marker=marker, markersize=5, linewidth=1.8, markevery=every)
        axes.set_title(wrapped(curve.cell, 26), fontsize=8.5)
        axes.set_ylim(bottom - 0.6 * room, min(1, top + 0.6 * room))
        whole_ticks(axes, most=5)
        plain_ticks(axes, "y")
    for axes in panels[len(data.curves) :]:
        axes.set_axis_off()
    for i, axes in enumerate(panels[: len(data.curves)]):
        axes.set_xlabel("trials (n)" if i + columns >= len(data.curves) else "")
        axes.set_ylabel(wrapped(named(data.measure), 24) if i % columns == 0 else "")
    handles: list[Artist] = [Line2D([], [], color=GREY, linewidth=0.7, label="the other cells")]
    if any(curve.band for curve in data.curves):
        handles.append(Patch(facecolor=GREY, alpha=0.3, label=f"{CONFIDENCE * 100:g} % band, all n at once"))
    legend_below(figure, handles)
    return figure
