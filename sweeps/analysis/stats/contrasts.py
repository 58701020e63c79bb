"""From the trials table to one contrast per block: a weighted sum of cells. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.effects import SESOI, Effect, Interval, effect_of, t_interval
from sweeps.analysis.stats.refusals import Refused, block_faults, checked_rows
from sweeps.analysis.stats.stored_plan import Contrast

COMPOSITE_AUC: Final = 0.5
"""Outcome of a run that diverged or collapsed before it could be measured: chance level."""


@dataclass(frozen=True, slots=True)
class CellBlocks:
    """Outcomes of the cells of a contrast in the same blocks, in block order."""

    blocks: tuple[int, ...]
    cells: tuple[str, ...]
    weights: tuple[float, ...]
    outcomes: NDArray[np.float64]
    """[cells, blocks]"""

    trial_ids: tuple[tuple[str, ...], ...]
    """[cells, blocks]"""

    failed: tuple[tuple[str, int, str], ...]
    """(cell_id, block, end_reason) of the runs counted with the composite outcome."""

    @property
    def values(self) -> NDArray[np.float64]:
        """The contrast of each block."""
        return weighted(self.weights, self.outcomes)

    @property
    def control(self) -> NDArray[np.float64]:
        """Weighted mean of the cells with a negative weight, per block."""
        return self._side(-1)

    @property
    def treatment(self) -> NDArray[np.float64]:
        """Weighted mean of the cells with a positive weight, per block."""
        return self._side(+1)

    def effect(self, *, sesoi: float = SESOI) -> Effect:
        """The contrast over all blocks."""
        return effect_of(self.values, sesoi=sesoi)

    def without_failures(self, *, sesoi: float = SESOI) -> Effect | None:
        """Sensitivity: the contrast over the blocks in which no run failed; None if fewer than two remain."""
        failed = {block for _, block, _ in self.failed}
        keep = np.array([block not in failed for block in self.blocks])
        return effect_of(self.values[keep], sesoi=sesoi) if keep.sum() >= 2 else None

    def _side(self, sign: int) -> NDArray[np.float64]:
        weights = np.maximum(0.0, sign * np.array(self.weights))
        return weighted(weights / weights.sum(), self.outcomes)


@dataclass(frozen=True, slots=True)
class EpochEffect:
    """The contrast at one mark of the curves; exploratory, so an interval without a test."""

    epoch: int
    effect: Interval


def weighted(weights: Iterable[float], outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over cells of weight x outcome; [cells, blocks] -> [blocks]. Opposite weights give exactly opposite sums."""
    column = np.array(tuple(weights), dtype=np.float64)[:, None]
    total: NDArray[np.float64] = (column * outcomes).sum(axis=0)
    return total


def contrast_effect(trials: pa.Table, contrast: Contrast) -> tuple[Effect, CellBlocks]:
    """Effect of a planned contrast, and the blocks it came from.

    Raises:
        Refused: as in `cell_blocks`, or fewer than two blocks.
    """
    blocks = cell_blocks(trials, contrast)
    if len(blocks.blocks) < 2:
        raise Refused([f"An interval needs at least two blocks, but there is only block {blocks.blocks[0]}."])
    return blocks.effect(sesoi=contrast.sesoi), blocks


def cell_blocks(trials: pa.Table, contrast: Contrast) -> CellBlocks:
    """Outcomes of the cells of a contrast, paired by block.

    A run that diverged or collapsed and has no outcome counts as `COMPOSITE_AUC` (AUC outcomes only); a measured
    value is kept whatever the ending. Rows outside the planned blocks do not enter.

    Args:
        trials: rows of one stage, `tune` or `confirm`, with the column `stage`.
        contrast: which cells, how weighted, in which blocks.

    Raises:
        Refused: as in `refusals.checked_rows`; a block that is not complete; unequal seeds or data in a block. All
            reasons at once.
    """
    # One order whatever the plan's, so that sums round alike.
    cells, outcome = tuple(sorted(contrast.weights)), contrast.outcome
    rows = checked_rows(trials, cells=cells, outcome=outcome, plans=contrast.plans)
    by_key = {(row["cell_id"], row["block"]): row for row in rows}
    blocks = contrast.blocks or tuple(sorted({block for _, block in by_key}))
    faults = block_faults(by_key, blocks, cells, outcome=outcome)
    if faults:
        raise Refused(faults)
    table = [[by_key[cell, block] for block in blocks] for cell in cells]
    failed = [(r["cell_id"], r["block"], r["end_reason"]) for line in table for r in line if not is_number(r[outcome])]
    if len(failed) == len(cells) * len(blocks):
        raise Refused([f"Nothing was measured: every run of {', '.join(cells)} diverged or collapsed."])
    return CellBlocks(
        blocks=blocks,
        cells=cells,
        weights=tuple(contrast.weights[cell] for cell in cells),
        outcomes=np.array([[_value(row[outcome]) for row in line] for line in table]),
        trial_ids=tuple(tuple(row["trial_id"] for row in line) for line in table),
        failed=tuple(sorted(failed, key=lambda f: (f[1], f[0]))),
    )


def effect_by_epoch(
    curves: pa.Table, blocks: CellBlocks, *, stage: str = "confirm", outcome: str = "val_auc"
) -> list[EpochEffect]:
    """The contrast at every epoch that all runs reached; a failed run counts as `COMPOSITE_AUC` from its failure on.

    Args:
        curves: with the column `stage`.
        blocks: the runs, from `cell_blocks`.
        stage: of those runs; `search` is refused.
        outcome: float column of `curves`.

    Raises:
        Refused: rows of the search.
    """
    if stage == "search":
        raise Refused(["No effect is estimated from an adaptive sample: the stage is `search`."])
    ids = sorted({trial for line in blocks.trial_ids for trial in line})
    place = {trial: i for i, trial in enumerate(ids)}
    own = curves.filter(pc.and_(pc.equal(curves["stage"], stage), pc.is_in(curves["trial_id"], pa.array(ids))))
    epochs, at = np.unique(own["epoch"].to_numpy(), return_inverse=True)
    values = np.full((epochs.size, len(ids)), np.nan)
    values[at, pc.index_in(own["trial_id"], pa.array(ids)).to_numpy()] = own[outcome].to_numpy()
    outcomes = values[:, [[place[trial] for trial in line] for line in blocks.trial_ids]]  # [epochs, cells, blocks]
    failed = {(cell, block) for cell, block, _ in blocks.failed}
    lost = np.array([[(cell, block) in failed for block in blocks.blocks] for cell in blocks.cells])
    outcomes[lost & ~np.isfinite(outcomes)] = COMPOSITE_AUC
    complete = np.isfinite(outcomes).all(axis=(1, 2))
    return [
        EpochEffect(int(epoch), t_interval(weighted(blocks.weights, of_epoch)))
        for epoch, of_epoch in zip(epochs[complete], outcomes[complete], strict=True)
    ]


def _value(value: float | None) -> float:
    return value if value is not None and is_number(value) else COMPOSITE_AUC
