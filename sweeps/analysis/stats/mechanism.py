"""E7: what the embeddings look like rather than how well they rank: planned contrasts, means by cell. Pure."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweeps.analysis.stats.contrasts import CellBlocks, weighted
from sweeps.analysis.stats.descriptive import last_rows, mean_of_known, rows_of
from sweeps.analysis.stats.effects import Interval, t_interval

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


def mechanism_effects(curves: pa.Table, blocks: CellBlocks, *, stage: str = "confirm") -> list[MechanismEffect]:
    """The contrast of each of `METRICS` over the blocks in which all runs have it at their last epoch.

    Args:
        curves: with the column `stage`.
        blocks: the runs, from `cell_blocks`.
        stage: of those runs.
    """
    last = last_rows(curves, stage, METRICS)
    found = []
    for metric in METRICS:
        values = [[last.get(trial, {}).get(metric) for trial in line] for line in blocks.trial_ids]
        found.append(_effect(metric, np.array(values, dtype=np.float64), blocks))
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


def _effect(metric: str, measured: NDArray[np.float64], blocks: CellBlocks) -> MechanismEffect:
    absent = [cell for cell, line in zip(blocks.cells, measured, strict=True) if np.isnan(line).all()]
    if len(absent) == len(blocks.cells):
        return MechanismEffect(metric, None, NOT_MEASURED)
    if absent:
        return MechanismEffect(metric, None, f"{NOT_MEASURED} in {', '.join(absent)}")
    failed = {block for _, block, _ in blocks.failed}  # their last row is no final epoch
    complete = np.isfinite(measured).all(axis=0) & np.array([block not in failed for block in blocks.blocks])
    if complete.sum() < 2:
        return MechanismEffect(metric, None, "measured in fewer than two complete blocks")
    return MechanismEffect(metric, t_interval(weighted(blocks.weights, measured[:, complete])), "")
