"""What naive accumulation keeps of the full batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embedding_core.wording import plural
from sweeps.analysis.figures.drawing.canvas import canvas, dots, legend_below, plain_ticks, styled
from sweeps.analysis.figures.drawing.direct_labels import LineEnd, name_ends
from sweeps.analysis.figures.drawing.style import K, Looks, Points, series_looks, series_name, titled, wrapped
from sweeps.analysis.numbers import four
from sweeps.analysis.stats.description.descriptive import last_rows, rows_of
from sweeps.results.columns import named

READING: Final = (
    "What a micro-batch of B / K still sees of the batch, and whether its gradient points the same way. Measured on "
    "training batches, in either mode; nothing is lost at K = 1."
)

GAP: Final = ("nn_agreement", "micro_full_grad_cos")
"""What naive accumulation keeps of the full batch; measured where K > 1."""


@dataclass(frozen=True, slots=True)
class GapData:
    """Gap metrics against accumulation steps, by arm and mode."""

    values: dict[str, dict[str, Points]]
    """Metric -> arm -> (K, value) of each run."""

    trials: dict[str, dict[str, tuple[str, ...]]]
    """Their ids, likewise."""

    ks: tuple[int, ...]
    looks: Looks
    caption: str


def gap_data(trials: pa.Table, curves: pa.Table, *, dataset: str) -> GapData | None:
    """What naive accumulation keeps of the full batch, against K; None where no run measured it."""
    ends = last_rows(curves, "confirm", GAP)
    rows = [row for row in rows_of(trials, "confirm", ("trial_id", "cell_id", K)) if row["trial_id"] in ends]
    values: dict[str, dict[str, Points]] = {name: {} for name in GAP}
    ids: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in GAP}
    for name in GAP:
        for row in rows:
            value, arm = ends[row["trial_id"]][name], series_name(row["cell_id"])
            if value is not None:
                values[name][arm] = (*values[name].get(arm, ()), (row[K], value))
                ids[name][arm] = (*ids[name].get(arm, ()), row["trial_id"])
    if not any(values.values()):
        return None
    ks = sorted({int(k) for of_arm in values.values() for points in of_arm.values() for k, _ in points})
    runs = max(sum(map(len, of_arm.values())) for of_arm in values.values())
    caption = f"n = {plural(runs, 'run')}; {dataset}; stage confirm, training batches, last epoch"
    return GapData(values, ids, tuple(ks), series_looks(trials), caption)


@styled
def draw_gap(data: GapData) -> Figure:
    """One panel per metric; a dot is a run, lines join the means of an arm."""
    figure, panels = canvas("What accumulation keeps of the batch", data.caption, height=4.2, rows=len(GAP))
    place, ends = {k: i for i, k in enumerate(data.ks)}, []
    for axes, (name, of_arm) in zip(panels, data.values.items(), strict=True):
        ends.append(_by_k(axes, of_arm, data.trials[name], place, data.looks))
        axes.set(
            ylabel=wrapped(named(name), 22),
            xticks=range(len(data.ks)),
            xticklabels=data.ks,
            xlim=(-0.5, len(data.ks) - 0.5),
        )
        plain_ticks(axes, "y")
    panels[-1].set_xlabel("accumulation steps K")
    if not name_ends(*zip(panels, ends, strict=True)):
        arms = {arm for of_arm in data.values.values() for arm in of_arm}
        legend_below(figure, dots(data.looks, [arm for arm in data.looks if arm in arms]))
    return figure


def _by_k(
    axes: Axes,
    of_arm: Mapping[str, Points],
    trials: Mapping[str, Sequence[str]],
    place: Mapping[int, int],
    looks: Looks,
) -> list[LineEnd]:
    """Draws one metric; returns where its arms end on the right."""
    spread, ends = 0.14, []
    for i, (arm, points) in enumerate(of_arm.items()):
        colour, marker = looks[arm]
        offset = spread * (i - (len(of_arm) - 1) / 2)
        xs = np.array([place[int(k)] + offset for k, _ in points])
        values = np.array([value for _, value in points])
        (runs,) = axes.plot(xs, values, marker, color=colour, markersize=4, alpha=0.5)
        titled(runs, *(f"{trial}: {four(value)}" for trial, value in zip(trials[arm], values.tolist(), strict=True)))
        places = sorted(set(xs.tolist()))
        means = [float(values[xs == x].mean()) for x in places]
        axes.plot(places, means, marker=marker, color=colour, markersize=8, markeredgecolor="black", linewidth=1.4)
        ends.append(LineEnd(arm, means[-1], colour))
    return ends
