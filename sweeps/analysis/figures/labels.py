"""How well embeddings do with few labels: balanced accuracy of probes against the number of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sweeps.analysis.figures.drawing.canvas import canvas, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.style import Looks, dash_of, each, looks_of
from sweeps.analysis.stats.description.curves import MOST_CELLS, counted
from sweeps.analysis.stats.description.held_out import PROBES, SPLITS, Mean, having, mean_of, measured, unit_of

READING: Final = "Each mark is a cell's mean with its interval; marks are moved apart sideways."

_SPREAD: Final = 0.22
"""Share of the distance between two budgets, as a factor's logarithm, that the marks of all cells take."""


@dataclass(frozen=True, slots=True)
class LabelData:
    """One split."""

    split: str
    means: dict[str, dict[str, dict[int, Mean]]]
    """kind -> cell -> labels -> mean."""

    budgets: tuple[int, ...]
    looks: Looks
    caption: str


def label_data(
    evaluations: pa.Table, trials: pa.Table, cells: Sequence[str], *, split: str, dataset: str
) -> LabelData | None:
    """Probes on one split by cell; None where no run of `cells` has any.

    Args:
        evaluations: the table with `stage`.
        trials: the table `trials` with `stage`.
        cells: which ones, the first `MOST_CELLS` of them.
        split: `test` or `unseen`.
        dataset: for the caption.
    """
    found = {key: values for key, values in measured(evaluations, trials, PROBES).items() if key[1] == split}
    shown = having(list(found.values()), cells)
    if not shown:
        return None
    budgets = tuple(sorted({k for _, _, k in found if k is not None}))
    means: dict[str, dict[str, dict[int, Mean]]] = {}
    for kind in PROBES:
        for cell in shown[:MOST_CELLS]:
            points = {k: mean_of(found.get((kind, split, k), {}), cell) for k in budgets}
            means.setdefault(kind, {})[cell] = {k: mean for k, mean in points.items() if mean is not None}
    n = each(mean.n for of_cell in means.values() for points in of_cell.values() for mean in points.values())
    caption = (
        f"n = {n} {unit_of(trials)}, {counted(shown[:MOST_CELLS], shown)}; {dataset}, {SPLITS[split]}; stage confirm"
    )
    return LabelData(split, means, budgets, looks_of(trials), caption)


@styled
def draw_labels(data: LabelData) -> Figure:
    """A panel per kind of probe on one scale, a line per cell."""
    title = f"Balanced accuracy with few labels: {SPLITS[data.split]}"
    figure, panels = canvas(title, data.caption, height=2.0 * len(PROBES) + 0.7, rows=len(PROBES))
    cells = list(next(iter(data.means.values())))
    for axes, (kind, of_cell) in zip(panels, data.means.items(), strict=True):
        for i, cell in enumerate(cells):
            shift = 10 ** (_SPREAD * (i - (len(cells) - 1) / 2) / max(1, len(cells)))
            _draw_line(axes, of_cell[cell], shift, data.looks, cell)
        axes.set(xscale="log", ylabel=f"{PROBES[kind]}")
        axes.xaxis.set_major_locator(FixedLocator([float(k) for k in data.budgets]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        plain_ticks(axes, "y", most=5)
    low, high = min(a.get_ylim()[0] for a in panels), max(a.get_ylim()[1] for a in panels)
    for axes in panels:
        axes.set_ylim(low, high)
    panels[-1].set_xlabel("labels")
    legend_below(figure, [_handle(data.looks, cell) for cell in cells])
    return figure


def _draw_line(axes: Axes, points: dict[int, Mean], shift: float, looks: Looks, cell: str) -> None:
    (colour, marker), dash = looks[cell], dash_of(looks, cell)
    xs = [k * shift for k in points]
    axes.plot(
        xs, [p.mean for p in points.values()], color=colour, marker=marker, linestyle=dash, linewidth=1, markersize=4
    )
    for x, point in zip(xs, points.values(), strict=True):
        if point.interval is not None:
            axes.plot([x, x], [point.interval.ci_low, point.interval.ci_high], color=colour, linewidth=1, alpha=0.7)


def _handle(looks: Looks, cell: str) -> Line2D:
    colour, marker = looks[cell]
    return Line2D([], [], color=colour, marker=marker, linestyle=dash_of(looks, cell), markersize=5, label=cell)
