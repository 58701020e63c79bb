"""What KoLeo changed at the same point of the other settings, by its weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from sweeps.analysis.figures.canvas import canvas, dots, legend_below, log_ticks, plain_ticks, spans_decades, styled
from sweeps.analysis.figures.style import GREY, Looks, Points, each, looks_of
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.analysis.stats.levels import levels_of

READING: Final = (
    "Pairs of trials at the same point of the other settings, one seed: KoLeo on minus off. The best of each cell is "
    "what goes on to confirm, not this average."
)


@dataclass(frozen=True, slots=True)
class DoseData:
    """Weight of KoLeo against what it changed at the same point of the other settings, by cell."""

    points: dict[str, Points]
    looks: Looks
    caption: str


def dose_data(trials: pa.Table, *, dataset: str) -> DoseData | None:
    """Validation AUC with KoLeo minus without it at the same Sobol point; None where no point has both.

    A cell without KoLeo that names no accum_steps serves all of them: it is the partner where none has the same levels.
    """
    columns = ("cell_id", "point", "koleo", "koleo_weight", "final_val_auc")
    measured = [row for row in rows_of(trials, "tune", columns) if row["final_val_auc"] is not None]
    rows = [row for row in measured if row["point"] is not None]
    off = {(row["cell_id"], row["point"]): row["final_val_auc"] for row in rows if not row["koleo"]}
    partners = {cell: levels_of(cell) for cell, _ in off}
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        partner = _partner(row["cell_id"], partners) if row["koleo"] else None
        if partner is not None and (partner, row["point"]) in off:
            change = row["final_val_auc"] - off[partner, row["point"]]
            points.setdefault(row["cell_id"], []).append((row["koleo_weight"], change))
    if not points:
        return None
    shown = {cell: tuple(sorted(points[cell])) for cell in sorted(points)}
    caption = f"n = {each(map(len, shown.values()))} pairs per cell; {dataset}; stage tune; exploratory"
    return DoseData(shown, looks_of(trials), caption)


def _partner(cell: str, partners: Mapping[str, Mapping[str, str]]) -> str | None:
    """The cell without KoLeo that shares most levels with `cell` and has none that differs."""
    wanted = levels_of(cell) | {"koleo": "off"}
    fitting = [name for name, levels in partners.items() if levels.items() <= wanted.items()]
    return max(fitting, key=lambda name: (len(partners[name]), name), default=None)


@styled
def draw_dose(data: DoseData) -> Figure:
    """KoLeo's weight across, what it changed upwards; one dot per pair of trials."""
    figure, (axes,) = canvas("What KoLeo changed, by its weight", data.caption, height=3.0)
    axes.axhline(0, color=GREY, linewidth=1)
    for cell, points in data.points.items():
        colour, marker = data.looks[cell]
        axes.plot(*np.transpose(points), marker=marker, color=colour, markersize=5, linewidth=0.8, alpha=0.8)
    axes.set(xlabel="KoLeo weight", ylabel="change in validation AUC")
    plain_ticks(axes, "y", signed=True)
    weights = [weight for points in data.points.values() for weight, _ in points]
    (log_ticks if spans_decades(weights) else plain_ticks)(axes, "x")
    legend_below(figure, dots(data.looks, data.points))
    return figure
