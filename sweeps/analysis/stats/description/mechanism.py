"""E7: what the embeddings look like rather than how well they rank: planned contrasts, means by cell. Pure."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweeps.analysis.stats.description.descriptive import last_rows, mean_of_known, rows_of
from sweeps.analysis.stats.intervals.effects import Interval, t_interval
from sweeps.analysis.stats.reading.contrasts import CellRuns

METRICS: Final = (
    "val_effective_rank",
    "val_uniformity",
    "val_nn_distance",
    "koleo_nn_same_class_frac",
    "nn_agreement",
    "micro_full_grad_cos",
)
"""Columns of `curves` that say how KoLeo acts rather than whether it helps; contrasts are taken of these."""

SHOWN: Final = (*METRICS, "val_sim_mean")
"""Those, and what is shown beside them of each cell."""

NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True)
class MechanismEffect:
    """A planned contrast of one measure at the final epoch; exploratory."""

    metric: str
    effect: Interval | None
    reason: str
    """Why there is none; empty if there is one."""

    absent: tuple[str, ...] = ()
    """Cells of the contrast in which no run measured it, unless that is all of them."""


def mechanism_effects(curves: pa.Table, runs: CellRuns, *, stage: str = "confirm") -> list[MechanismEffect]:
    """The contrast of each of `METRICS` over the units in which all runs have it at their last epoch.

    Args:
        curves: with the column `stage`.
        runs: from `cell_runs`.
        stage: of those runs.
    """
    last = last_rows(curves, stage, METRICS)
    found = []
    for metric in METRICS:
        values = [[[last.get(t, {}).get(metric) for t in line] for line in own] for own in runs.trial_ids]
        found.append(_effect(metric, np.array(values, dtype=np.float64), runs))
    return found


def final_means(trials: pa.Table, curves: pa.Table, *, stage: str) -> list[dict[str, Any]]:
    """Final-epoch means per cell over the completed trials of `stage`: `cell_id`, `n`, the columns of `SHOWN`.

    A mean skips runs without a value (KoLeo's own columns are null when it is off, those of the gap between
    micro-batch and batch without accumulation) and is None if there is none.
    """
    last = last_rows(curves, stage, SHOWN)
    rows = rows_of(trials, stage, ("trial_id", "cell_id", "end_reason"))
    completed = [r for r in rows if r["end_reason"] == "completed" and r["trial_id"] in last]
    found = []
    for cell in sorted({r["cell_id"] for r in completed}):
        ends = [last[r["trial_id"]] for r in completed if r["cell_id"] == cell]
        means = {name: mean_of_known([end[name] for end in ends]) for name in SHOWN}
        found.append({"cell_id": cell, "n": len(ends)} | means)
    return found


def _effect(metric: str, measured: NDArray[np.float64], runs: CellRuns) -> MechanismEffect:
    """`measured`: [replicates, cells, blocks]."""
    absent = [cell for i, cell in enumerate(runs.cells) if np.isnan(measured[:, i]).all()]
    if len(absent) == len(runs.cells):
        return MechanismEffect(metric, None, NOT_MEASURED)
    if absent:
        return MechanismEffect(metric, None, f"{NOT_MEASURED} in {', '.join(absent)}", tuple(absent))
    units = runs.of_units(np.where(runs.lost, np.nan, measured))  # the last row of a failed run is no final epoch
    units = units[np.isfinite(units)]
    if units.size < 2:
        return MechanismEffect(metric, None, "measured in fewer than two complete replicates")
    return MechanismEffect(metric, t_interval(units), "")
