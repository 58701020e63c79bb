"""From the trials table to one contrast per replicate: a weighted sum of cells, mean over its blocks. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.intervals.effects import SESOI, Effect, Interval, replicated_effect, t_interval
from sweeps.analysis.stats.reading.composite import measured_or_composite
from sweeps.analysis.stats.reading.pairing import Place, absent_runs, data_faults, not_finished, place_faults, place_of
from sweeps.analysis.stats.reading.refusals import Refused, Unfinished, checked_rows
from sweeps.analysis.stats.reading.stored_plan import Contrast
from sweeps.analysis.wording import capital

UNTUNED_ORIGIN: Final = "drop-in"
"""`origin` of runs for which nothing was tuned."""


@dataclass(frozen=True, slots=True)
class CellRuns:
    """Outcomes of the cells of a contrast in the same replicates and blocks, both ascending."""

    places: tuple[tuple[Place, ...], ...]
    """[replicates, blocks], as they are numbered in the table."""

    cells: tuple[str, ...]
    weights: tuple[float, ...]
    outcomes: NDArray[np.float64]
    """[replicates, cells, blocks]"""

    trial_ids: tuple[tuple[tuple[str, ...], ...], ...]
    """[replicates, cells, blocks]"""

    failed: tuple[tuple[str, Place, str], ...]
    """(cell_id, place, end_reason) of the runs counted with the composite outcome."""

    tuned: bool
    """Whether settings were tuned, once per replicate."""

    stage: str
    """`confirm`, or `tune`, whose blocks are points."""

    @property
    def values(self) -> NDArray[np.float64]:
        """The contrast of each independent unit: of each replicate; of each block where there is one replicate."""
        return self.of_units(self.outcomes)

    @property
    def control(self) -> NDArray[np.float64]:
        """Weighted mean of the cells with a negative weight, per unit."""
        return self._side(-1)

    @property
    def treatment(self) -> NDArray[np.float64]:
        """Weighted mean of the cells with a positive weight, per unit."""
        return self._side(+1)

    @property
    def pairs(self) -> NDArray[np.float64]:
        """The contrast of every block of every replicate."""
        return weighted(self.weights, self.outcomes).ravel()

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which runs are counted with the composite outcome, [replicates, cells, blocks]."""
        failed = {(cell, place) for cell, place, _ in self.failed}
        return np.array([[[(cell, at) in failed for at in line] for cell in self.cells] for line in self.places])

    def of_units(self, outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The contrast of any [..., replicates, cells, blocks] by unit, [..., units]; nan where something is."""
        contrast = weighted(self.weights, outcomes)
        units: NDArray[np.float64] = contrast.mean(axis=-1) if len(self.places) > 1 else contrast[..., 0, :]
        return units

    def by_cell(self) -> NDArray[np.float64]:
        """Outcomes by unit and cell, [units, cells]."""
        if len(self.places) > 1:
            means: NDArray[np.float64] = self.outcomes.mean(axis=2)
            return means
        by_block: NDArray[np.float64] = self.outcomes[0].T
        return by_block

    def effect(self, *, sesoi: float = SESOI, family: int = 1, anytime: bool = False) -> Effect:
        """The contrast over its units.

        Raises:
            ValueError: `anytime`, and too few replicates for it.
        """
        return replicated_effect(self.outcomes, weights=self.weights, sesoi=sesoi, family=family, anytime=anytime)

    def without_failures(self) -> NDArray[np.float64]:
        """Sensitivity: the contrast by unit over the blocks in which no run failed; units without any left out."""
        kept: NDArray[np.bool_] = np.logical_not(self.lost.any(axis=1))  # [replicates, blocks]
        contrast = weighted(self.weights, self.outcomes)
        if len(self.places) == 1:
            return contrast[kept]
        return np.array([line[keep].mean() for line, keep in zip(contrast, kept, strict=True) if keep.any()])

    @property
    def unit(self) -> str:
        """What is independent: `replicates`, `seeds`; `seeds at one tuning`, on which no verdict rests."""
        return unit_of_runs(len(self.places), len(self.places[0]), tuned=self.tuned or self.stage == "tune")

    def counted(self) -> str:
        """How many independent units there are, and of what: `6 tunings x 2 seeds`, `at one tuning: 8 seeds`."""
        replicates, blocks = len(self.places), len(self.places[0])
        if self.stage == "tune":
            return f"{plural(replicates, 'replicate')} x {plural(blocks, 'point')}"
        seeds = plural(blocks, "seed")
        if replicates == 1:
            return f"at one {'tuning' if self.tuned else 'split'}: {seeds}"
        if not self.tuned and blocks == 1:
            return f"{replicates} seeds"
        what = "tunings" if self.tuned else "replicates"
        return f"{replicates} {what} x {seeds}" if blocks > 1 else f"{replicates} {what}"

    def _side(self, sign: int) -> NDArray[np.float64]:
        weights = np.maximum(0.0, sign * np.array(self.weights))
        side: NDArray[np.float64] = self.by_cell() @ (weights / weights.sum())
        return side


@dataclass(frozen=True, slots=True)
class EpochEffect:
    """The contrast at one mark of the curves; exploratory, so an interval without a test."""

    epoch: int
    effect: Interval


def unit_of_runs(replicates: int, blocks: int, *, tuned: bool) -> str:
    """What is independent among runs of so many replicates and blocks: where nothing was tuned each may be a seed."""
    if replicates == 1:
        return f"seeds at one {'tuning' if tuned else 'split'}"
    return "replicates" if tuned or blocks > 1 else "seeds"


def weighted(weights: Iterable[float], outcomes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over cells of weight x outcome, [..., cells, blocks] -> [..., blocks].

    Opposite weights give exactly opposite sums.
    """
    column = np.array(tuple(weights), dtype=np.float64)[:, None]
    total: NDArray[np.float64] = (column * outcomes).sum(axis=-2)
    return total


def cell_runs(trials: pa.Table, contrast: Contrast) -> CellRuns:
    """Outcomes of the cells of a contrast, paired by replicate and block (by point in `tune`).

    A run that diverged or collapsed and has no outcome counts with the composite; a measured value is kept whatever
    the ending. Rows outside the planned replicates and blocks do not enter. In folders of one replicate for which
    nothing was tuned and whose blocks have a split each, nothing is shared between blocks: each counts as a replicate.

    Args:
        trials: rows of one stage, `tune` or `confirm`, with the column `stage`.
        contrast: which cells, how weighted, in which replicates and blocks.

    Raises:
        Unfinished: nothing but runs of some replicates that are not there yet.
        Refused: as in `refusals.checked_rows`; a block that is not complete; unequal seeds or data in a block; fewer
            than two units. All reasons at once.
    """
    # One order whatever the plan's, so that sums round alike.
    cells, outcome = tuple(sorted(contrast.weights)), contrast.outcome
    rows = checked_rows(trials, cells=cells, outcome=outcome, plans=contrast.plans, nuisances=contrast.nuisances)
    stage = rows[0]["stage"]
    by_key = {(row["cell_id"], place_of(row, stage)): row for row in rows}
    places = _places(contrast, {place for _, place in by_key}, stage)
    flat = [place for line in places for place in line]
    shared = contrast.nuisances if stage == "tune" else ()
    faults = place_faults(by_key, flat, cells, outcome=outcome, stage=stage, shared=shared)
    faults += data_faults((by_key[cell, place] for cell in cells for place in flat if (cell, place) in by_key), cells)
    absent = absent_runs(by_key, flat, cells)
    told = [f"{capital(not_finished(absent))}."] if absent else []
    if absent and not faults:
        raise Unfinished(told, absent)
    if faults:
        raise Refused([*told, *faults])
    table = [[[by_key[cell, place] for place in line] for cell in cells] for line in places]
    if not any(is_number(row[outcome]) for of_replicate in table for line in of_replicate for row in line):
        raise Refused([f"Nothing was measured: every run of {', '.join(cells)} diverged or collapsed."])
    if len(flat) < 2:
        raise Refused([f"An interval needs at least two blocks, but there is only block {flat[0].block}."])
    found = CellRuns(
        places=places,
        cells=cells,
        weights=tuple(contrast.weights[cell] for cell in cells),
        outcomes=np.array([[[measured_or_composite(r[outcome], outcome) for r in ln] for ln in own] for own in table]),
        trial_ids=tuple(tuple(tuple(row["trial_id"] for row in line) for line in own) for own in table),
        failed=_failed(by_key, flat, cells, outcome),
        tuned=any(by_key[cell, place].get("origin") != UNTUNED_ORIGIN for cell in cells for place in flat),
        stage=stage,
    )
    splits = [by_key[cells[0], place].get("split_sha256") for place in flat]
    alone = len(places) == 1 and not found.tuned and None not in splits and len(set(splits)) == len(flat)
    return _blocks_as_replicates(found) if alone else found


def effect_by_epoch(
    curves: pa.Table, runs: CellRuns, *, stage: str = "confirm", outcome: str = "val_auc"
) -> list[EpochEffect]:
    """The contrast at every epoch that all runs reached; a failed run counts with the composite from its failure on.

    Args:
        curves: with the column `stage`.
        runs: from `cell_runs`.
        stage: of those runs; `search` is refused.
        outcome: float column of `curves`.

    Raises:
        Refused: rows of the search.
    """
    if stage == "search":
        raise Refused(["No effect is estimated from an adaptive sample: the stage is `search`."])
    trial_ids = np.array(runs.trial_ids)
    ids = sorted(set(trial_ids.ravel().tolist()))
    own = curves.filter(pc.and_(pc.equal(curves["stage"], stage), pc.is_in(curves["trial_id"], pa.array(ids))))
    epochs, at = np.unique(own["epoch"].to_numpy(), return_inverse=True)
    values = np.full((epochs.size, len(ids)), np.nan)
    values[at, pc.index_in(own["trial_id"], pa.array(ids)).to_numpy()] = own[outcome].to_numpy()
    outcomes = values[:, np.searchsorted(ids, trial_ids)]  # [epochs, replicates, cells, blocks]
    if runs.failed:
        outcomes[runs.lost & ~np.isfinite(outcomes)] = measured_or_composite(None, outcome)
    complete = np.isfinite(outcomes).all(axis=(1, 2, 3))
    return [
        EpochEffect(int(epoch), t_interval(units))
        for epoch, units in zip(epochs[complete], runs.of_units(outcomes[complete]), strict=True)
    ]


def _places(contrast: Contrast, there: set[Place], stage: str) -> tuple[tuple[Place, ...], ...]:
    """[replicates, blocks]: the planned ones, or those that have rows."""
    replicates = contrast.replicates or tuple(sorted({place.replicate for place in there}))
    planned = contrast.blocks if stage == "confirm" else None
    blocks = planned or tuple(sorted({place.block for place in there}))
    return tuple(tuple(Place(replicate, block) for block in blocks) for replicate in replicates)


def _failed(
    by_key: dict[tuple[str, Place], Row], places: Iterable[Place], cells: Iterable[str], outcome: str
) -> tuple[tuple[str, Place, str], ...]:
    rows = [(cell, place, by_key[cell, place]) for place in places for cell in cells]
    return tuple((cell, place, row["end_reason"]) for cell, place, row in rows if not is_number(row[outcome]))


def _blocks_as_replicates(runs: CellRuns) -> CellRuns:
    """Each block of the one replicate as a replicate of its own."""
    return CellRuns(
        places=tuple((place,) for place in runs.places[0]),
        cells=runs.cells,
        weights=runs.weights,
        outcomes=runs.outcomes[0].T[:, :, None],
        trial_ids=tuple(tuple((line[i],) for line in runs.trial_ids[0]) for i in range(len(runs.places[0]))),
        failed=runs.failed,
        tuned=runs.tuned,
        stage=runs.stage,
    )
