"""Curves of the confirm runs, cell by cell: what figures with a panel per cell are computed from. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.reading.stored_plan import StoredPlan

STAGE: Final = "confirm"

MOST_CELLS: Final = 12
"""Panels of a figure."""

ASIDE: Final = ("drop-in", "control")
"""Roles of cells that are no part of the comparison."""

Line = tuple[tuple[int, float], ...]
"""(epoch, value), by epoch."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished confirm run."""

    trial: Row
    epochs: tuple[Row, ...]
    """Its rows of `curves`, by epoch; empty of a run that failed before its first, which `runs_of` leaves out."""

    def line(self, column: str) -> Line:
        """The epochs at which the column has a finite value."""
        return tuple((row["epoch"], row[column]) for row in self.epochs if is_number(row[column]))


def cells_of(trials: pa.Table, plan: StoredPlan) -> list[str]:
    """Confirm cells to compare: in the plan's order, then by name; without controls and drop-in cells."""
    ran = set(pc.unique(trials["cell_id"].filter(pc.equal(trials["stage"], STAGE))).to_pylist())
    aside = {cell.cell_id for cell in plan.cells if cell.role in ASIDE}
    planned = [cell.cell_id for cell in plan.cells if cell.cell_id in ran - aside]
    return [*planned, *sorted(ran - aside - set(planned))]


def runs_of(
    trials: pa.Table, curves: pa.Table, cells: Sequence[str], columns: Sequence[str], *, of_trial: Sequence[str] = ()
) -> dict[str, list[Run]]:
    """Runs of the first `MOST_CELLS` of `cells` that have rows in `curves`, in that order.

    Args:
        trials: the table `trials` with `stage`.
        curves: the table `curves` with `stage`.
        cells: which ones.
        columns: of `curves`, besides `epoch`.
        of_trial: columns of `trials`, besides `trial_id`, `cell_id` and `end_reason`.
    """
    own = curves.filter(pc.is_in(curves["trial_id"], _trial_ids(trials, cells)))
    by_trial: dict[str, list[Row]] = {}
    for row in rows_of(own, STAGE, ("trial_id", "epoch", *columns)):
        by_trial.setdefault(row["trial_id"], []).append(row)
    found: dict[str, list[Run]] = {cell: [] for cell in cells}
    for trial in rows_of(trials, STAGE, ("trial_id", "cell_id", "end_reason", *of_trial)):
        if trial["cell_id"] in found and trial["trial_id"] in by_trial:
            found[trial["cell_id"]].append(Run(trial, tuple(by_trial[trial["trial_id"]])))
    return dict([(cell, runs) for cell, runs in found.items() if runs][:MOST_CELLS])


def mean_line(runs: Sequence[Run], column: str) -> Line:
    """Mean over the runs that completed, at the epochs that all of these have."""
    lines = [dict(run.line(column)) for run in runs if run.trial["end_reason"] == "completed"]
    epochs = sorted(set.intersection(*(set(line) for line in lines))) if lines else []
    return tuple((epoch, float(np.mean([line[epoch] for line in lines]))) for epoch in epochs)


def counted(shown: Collection[str], cells: Collection[str]) -> str:
    """`11 cells`, or `12 of 14 cells` where not all are shown."""
    if len(shown) == len(cells):
        return plural(len(shown), "cell")
    return f"{len(shown)} of {len(cells)} cells"


def _trial_ids(trials: pa.Table, cells: Sequence[str]) -> pa.Array:
    mask = pc.and_(pc.equal(trials["stage"], STAGE), pc.is_in(trials["cell_id"], pa.array(cells, pa.string())))
    return pc.unique(trials["trial_id"].filter(mask))
