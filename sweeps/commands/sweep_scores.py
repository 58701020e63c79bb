"""Scores of one cell of a sweep's confirmation, one per independent unit as its report counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.answers.score_groups import Key, ScoreGroup
from sweeps.analysis.stats.reading.contrasts import UNTUNED_ORIGIN
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.analysis.stats.reading.refusals import run_faults
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.commands.score_table import few, repeated
from sweeps.results import store
from sweeps.results.columns import MEASURED

PAIRED_BY: Final = ("seed", "block", "replicate", "master_seed", "split_seed")
"""Columns of `trials` that runs of two sweeps can be paired by."""

OUTCOMES: Final = tuple(name for name, column in MEASURED.items() if column.table == "trials")
"""Measured columns of `trials`."""


@dataclass(frozen=True, slots=True)
class SweepCell:
    """The confirmed runs of one cell, and the plan of the sweep."""

    name: str
    """The folder, and the cell where the sweep has several: `results/NAME#koleo=on`."""

    rows: list[Row]
    plan: StoredPlan

    def measured(self) -> list[str]:
        """Those of `OUTCOMES` that any run has."""
        return [name for name in OUTCOMES if any(row[name] is not None for row in self.rows)]

    def known_outcomes(self) -> dict[str, tuple[str, float]]:
        """Column -> what it is called in a sentence and the smallest difference that matters, as the plan says."""
        outcomes = [outcome for outcome in (self.plan.outcome, *self.plan.beside) if outcome is not None]
        return {outcome.column: (outcome.label, outcome.sesoi) for outcome in outcomes}

    def group(self, metric: str, pair_by: str | None) -> ScoreGroup:
        """One score per replicate, the mean over its seeds; where there is one replicate, per seed.

        Raises:
            Faults: no such column; a run without a finite score; a key that is there twice or not at all; replicates
                with unequal numbers of runs; a run that is not what its label or configuration says.
        """
        faults = []
        if metric not in OUTCOMES:
            faults.append(f"`{self.name}`: {unknown('metric', metric, self.measured())}")
        if pair_by is not None and pair_by not in PAIRED_BY:
            faults.append(f"`{self.name}`: {unknown('column to pair by', pair_by, PAIRED_BY)}")
        if faults:
            raise Faults(faults)
        units = self._units()
        faults = [f"`{self.name}`: {fault}" for row in self.rows for fault in run_faults(row)]
        faults += self._score_faults(metric)
        faults += self._size_faults(units)
        faults += [] if pair_by is None else self._key_faults(units, pair_by)
        if faults:
            raise Faults(faults)
        replicates, tuned = len(self._replicates()), self._tuned()
        apart = replicates > 1 or self._apart(tuned)
        return ScoreGroup(
            name=self.name,
            scores=tuple(sum(row[metric] for row in unit) / len(unit) for unit in units),
            keys=() if pair_by is None else tuple(_key(unit, pair_by) for unit in units),
            units=_units_text(len(units[0]), tuned=tuned, apart=apart),
            kind="replicate" if apart else "at one tuning",
            grown=self.plan.grown,
            test_images=frozenset(str(row["test_sha256"]) for row in self.rows if row["test_sha256"] is not None),
        )

    def _replicates(self) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row["replicate"] or 1, []).append(row)
        return found

    def _units(self) -> list[list[Row]]:
        """Runs by independent unit, those of a unit in order of block."""
        replicates = self._replicates()
        if len(replicates) == 1:
            return [[row] for row in self.rows]
        return [sorted(own, key=lambda row: int(row["block"])) for _, own in sorted(replicates.items())]

    def _tuned(self) -> bool:
        return any(row["origin"] != UNTUNED_ORIGIN for row in self.rows)

    def _apart(self, tuned: bool) -> bool:
        """Whether the seeds of one replicate share neither a tuning nor a split."""
        splits = [row["split_sha256"] for row in self.rows]
        return not tuned and None not in splits and len(set(splits)) == len(splits)

    def _score_faults(self, metric: str) -> list[str]:
        bad = [f"{row['trial_id']} ({row['end_reason']})" for row in self.rows if not is_number(row[metric])]
        if not bad:
            return []
        return [
            f"`{self.name}`: every run must have a finite `{metric}`, but there is none for {few(bad)}; to leave runs "
            "out would flatter their cell."
        ]

    def _size_faults(self, units: Sequence[Sequence[Row]]) -> list[str]:
        if len({len(unit) for unit in units}) < 2:
            return []
        sizes = [f"{unit[0]['replicate']} has {len(unit)}" for unit in units]
        return [f"`{self.name}`: each replicate must have as many runs as the others, but {', '.join(sizes)}."]

    def _key_faults(self, units: Sequence[Sequence[Row]], pair_by: str) -> list[str]:
        if any(row[pair_by] is None for row in self.rows):
            return [f"`{self.name}`: every run needs a `{pair_by}`, but some have none."]
        # Seeds are of runs; anything else may be shared by the runs of a replicate.
        keys = [row[pair_by] for row in self.rows] if pair_by == "seed" else [_key(unit, pair_by) for unit in units]
        twice = repeated(map(str, keys))
        return (
            [f"`{self.name}`: each `{pair_by}` must be there once, but some are repeated: {few(twice)}."]
            if twice
            else []
        )


def read_cell(folder: Path, cell: str | None) -> SweepCell:
    """The confirmed runs of a cell; the sweep's only one where none is named.

    Raises:
        Faults: no sweep there, no confirmed run, no such cell, or several and none named; a plan that cannot be read.
    """
    trials = store.read(folder, "trials", stage="confirm")
    if not trials.num_rows:
        raise Faults([f"`{folder}` has no confirmed run, and no verdict rests on the other stages."])
    cells = sorted(pc.unique(trials["cell_id"]).to_pylist())
    if cell is not None and cell not in cells:
        raise Faults([f"`{folder}`: {unknown('cell', cell, cells)}"])
    if cell is None and len(cells) > 1:
        raise Faults(
            [f"`{folder}` has several cells: name one, as in `{folder}#{cells[0]}`. Known: {', '.join(cells)}."]
        )
    own = trials.filter(pc.equal(trials["cell_id"], pa.scalar(cell or cells[0])))
    name = str(folder) if cell is None else f"{folder}#{cell}"
    return SweepCell(name, own.to_pylist(), read_plan(folder, trials))


def _key(unit: Sequence[Row], pair_by: str) -> Key:
    values = list(dict.fromkeys(int(row[pair_by]) for row in unit))
    return values[0] if len(values) == 1 else tuple(values)


def _units_text(runs: int, *, tuned: bool, apart: bool) -> str:
    """`tunings x 2 seeds`, `seeds at one tuning`."""
    if not apart:
        return f"seeds at one {'tuning' if tuned else 'split'}"
    if not tuned and runs == 1:
        return "seeds"
    return ("tunings" if tuned else "replicates") + (f" x {runs} seeds" if runs > 1 else "")
