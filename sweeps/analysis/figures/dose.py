"""What KoLeo changed at the same point of the other settings, by its weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.drawing.canvas import (
    canvas,
    dots,
    legend_below,
    log_ticks,
    plain_ticks,
    spans_decades,
    styled,
)
from sweeps.analysis.figures.drawing.style import GREY, Looks, Points, each, looks_of, titled, wrapped
from sweeps.analysis.numbers import number, setting
from sweeps.analysis.stats.description.descriptive import SAMPLED, rows_of, selected_by
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.results.columns import named

READING: Final = (
    "Each mark is a pair of completed trials with the same seed and the same other settings: KoLeo on minus off. What "
    "goes on to the confirmation is the best of each cell, not this average."
)


@dataclass(frozen=True, slots=True)
class DoseData:
    """Weight of KoLeo against what it changed at the same point of the other settings, by cell."""

    measure: str
    """Column of `trials` that the change is of."""

    points: dict[str, Points]
    trials: dict[str, tuple[str, ...]]
    """Ids of those with KoLeo, by cell."""

    looks: Looks
    caption: str


def dose_data(trials: pa.Table, *, dataset: str) -> DoseData | None:
    """What settings are chosen by, with KoLeo minus without it at the same common point; None where none has both.

    A cell without KoLeo that names no accum_steps serves all of them: it is the partner where none has the same levels.
    """
    measure = selected_by(trials)
    columns = ("trial_id", "cell_id", "replicate", "point", "origin", "koleo", "koleo_weight", "end_reason", measure)
    measured = [row for row in rows_of(trials, "tune", columns) if row[measure] is not None and _is_common(row)]
    rows = [row | {"place": place_of(row, "tune")} for row in measured]
    off = {(row["cell_id"], row["place"]): row[measure] for row in rows if not row["koleo"]}
    partners = {cell: levels_of(cell) for cell, _ in off}
    points: dict[str, list[tuple[tuple[float, float], str]]] = {}
    for row in rows:
        partner = _partner(row["cell_id"], partners) if row["koleo"] else None
        if partner is not None and (partner, row["place"]) in off:
            change = row[measure] - off[partner, row["place"]]
            points.setdefault(row["cell_id"], []).append(((row["koleo_weight"], change), row["trial_id"]))
    if not points:
        return None
    own = {cell: sorted(points[cell]) for cell in sorted(points)}
    shown = {cell: tuple(point for point, _ in of_cell) for cell, of_cell in own.items()}
    trials_of = {cell: tuple(trial for _, trial in of_cell) for cell, of_cell in own.items()}
    caption = f"n = {each(map(len, shown.values()), 'pair')} per cell; {dataset}; stage tune; exploratory"
    return DoseData(measure, shown, trials_of, looks_of(trials), caption)


def _is_common(row: Row) -> bool:
    """Whether other cells ran the same point to its end."""
    return row["point"] is not None and row["origin"] != SAMPLED and row["end_reason"] == "completed"


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
        (pairs,) = axes.plot(*np.transpose(points), marker, color=colour, markersize=4, alpha=0.8)
        at = zip(data.trials[cell], points, strict=True)
        titled(pairs, *(f"{trial}: weight {setting(x)}, {number(y, decimals=4, signed=True)}" for trial, (x, y) in at))
    axes.set(xlabel="KoLeo weight", ylabel=wrapped(f"change in {named(data.measure)}", 20))
    plain_ticks(axes, "y", signed=True)
    weights = [weight for points in data.points.values() for weight, _ in points]
    (log_ticks if spans_decades(weights) else plain_ticks)(axes, "x")
    legend_below(figure, dots(data.looks, data.points))
    return figure
