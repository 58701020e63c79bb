"""E7: planned contrasts of what the embeddings look like, rather than of whether they rank well. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweeps.analysis.stats.contrasts import CellBlocks, weighted
from sweeps.analysis.stats.descriptive import last_rows
from sweeps.analysis.stats.effects import Interval, t_interval

METRICS: Final = {
    "val_effective_rank": "effective rank",
    "val_uniformity": "uniformity (lower: more uniform)",
    "val_nn_distance": "nearest-neighbour distance",
    "koleo_nn_same_class_frac": "same-class share of KoLeo's neighbours",
    "nn_agreement": "nearest neighbours kept by the micro-batch",
    "micro_full_grad_cos": "cosine of micro- and full-batch gradients",
}
"""Columns of `curves` and their names in a table."""


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
    last = last_rows(curves, stage, tuple(METRICS))
    found = []
    for metric in METRICS:
        values = [[last.get(trial, {}).get(metric) for trial in line] for line in blocks.trial_ids]
        found.append(_effect(metric, np.array(values, dtype=np.float64), blocks))
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
