"""Runs that are compared with each other: one seed of one replicate in every cell, on the same images. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.reading.composite import composite_of
from sweeps.results.endings import FAILED_TRAINING

SPLIT: Final = "split_sha256"

SAME_DATA: Final = ("data_sha256", SPLIT, "test_sha256")
"""Hashes that all runs of a block must share where they were recorded: a file may be replaced between two starts."""


ONE_FOR_ALL: Final = {
    "data_sha256": "sets of training images", "test_sha256": "test splits", "weights_sha256": "files of weights",
}  # fmt: skip
"""Hashes that no draw moves, so that they are one in all runs of a cell."""


class Place(NamedTuple):
    """Where a run belongs: one seed of one replicate, shared by all cells."""

    replicate: int
    block: int
    """In `tune` the point."""

    def named(self, stage: str, *, alone: bool) -> str:
        """`block 3`, `replicate 2, point 4`; `alone`: there is one replicate, which need not be named."""
        within = f"{'point' if stage == 'tune' else 'block'} {self.block}"
        return within if alone else f"replicate {self.replicate}, {within}"


def place_of(row: Row, stage: str = "confirm") -> Place:
    """Old tables have no replicates: all is of the first."""
    return Place(row.get("replicate") or 1, row["point" if stage == "tune" else "block"])


def absent_runs(
    by_key: Collection[tuple[str, Place]], places: Collection[Place], cells: Iterable[str]
) -> frozenset[tuple[str, Place]]:
    """Runs that have not finished, by cell and place; none where there is one replicate, whose blocks are named."""
    if len({place.replicate for place in places}) < 2:
        return frozenset()
    return frozenset((cell, place) for cell in cells for place in places if (cell, place) not in by_key)


def not_finished(absent: Collection[tuple[str, Place]]) -> str:
    """`replicates 4 to 6 have not finished (24 runs); `--resume` goes on`."""
    numbers = sorted({place.replicate for _, place in absent})
    first, last, n = numbers[0], numbers[-1], len(absent)
    several = f"{first} to {last}" if numbers == list(range(first, last + 1)) else ", ".join(map(str, numbers))
    who = f"replicate {first} has" if first == last else f"replicates {several} have"
    return f"{who} not finished ({plural(n, 'run')}); `--resume` goes on"


def place_faults(
    by_key: Mapping[tuple[str, Place], Row],
    places: Iterable[Place],
    cells: tuple[str, ...],
    *,
    outcome: str,
    stage: str,
    shared: Collection[str] = (),
) -> list[str]:
    """Blocks that lack a run or an outcome, and blocks whose runs differ in seed, data or what else they share.

    Runs that replicates lack are those of `absent_runs`: a driver that was killed leaves many.

    Args:
        by_key: runs by cell and place.
        places: those that all cells must have.
        cells: of the contrast.
        outcome: column of `trials`.
        stage: of the runs.
        shared: settings that are the same in all cells of a place that have them: the common points of `tune`.
    """
    missing, without, unpaired, unmeasured = [], [], [], []
    places = tuple(places)
    alone = len({place.replicate for place in places}) < 2
    for place in places:
        where = place.named(stage, alone=alone)
        rows = {cell: by_key.get((cell, place)) for cell in cells}
        for cell, row in rows.items():
            if row is None and not alone:
                continue  # told by replicate
            if row is None:
                missing.append(f"`{cell}` {where} (no finished trial)")
            elif not is_number(row[outcome]) and row["end_reason"] == "completed":
                unmeasured.append(f"`{cell}` {where}")
            elif not is_number(row[outcome]) and row["end_reason"] not in FAILED_TRAINING:
                missing.append(f"`{cell}` {where} ({row['end_reason']}, no {outcome})")
            elif not is_number(row[outcome]) and composite_of(outcome) is None:
                without.append(f"`{cell}` {where} ({row['end_reason']})")
        there = {cell: row for cell, row in rows.items() if row is not None}
        for column in ("seed", *SAME_DATA, *shared):
            for values in _to_be_equal(there, column):
                # A hash may not have been recorded, and KoLeo off has no weight; a seed always is.
                if len(set(values.values()) - ({None} if column != "seed" else set())) > 1:
                    what = "seeds" if column == "seed" else column
                    unpaired.append(f"{where[:1].upper()}{where[1:]} is not paired: its {what} differ, {values}.")
    again = [f"Incomplete blocks, to be run again with the same seed: {'; '.join(missing)}."] if missing else []
    if unmeasured:
        again.append(f"Completed without {outcome}, which was not measured there: {'; '.join(unmeasured)}.")
    if without:
        again.append(
            f"Failed training has no {outcome}, and leaving it out would flatter its cell: {'; '.join(without)}."
        )
    return again + unpaired


def data_faults(rows: Iterable[Row], cells: Iterable[str]) -> list[str]:
    """Cells whose runs are not all on the same data, where these were recorded: a sweep may go on after they changed.

    Args:
        rows: runs of one stage.
        cells: of the contrast.
    """
    rows, faults = list(rows), []
    for cell in cells:
        for column, what in ONE_FOR_ALL.items():
            found = Counter(row[column] for row in rows if row["cell_id"] == cell and row.get(column) is not None)
            if len(found) > 1:
                named = ", ".join(f"{sha256[:12]} in {n}" for sha256, n in found.items())
                faults.append(
                    f"The runs of `{cell}` are on {len(found)} {what} ({named}), so no interval is over them."
                )
    return faults


def _to_be_equal(rows: Mapping[str, Row], column: str) -> list[dict[str, Any]]:
    """Values of the cells of a block that must be one and the same.

    The split is that of each kind of `triplets`: cells that differ in it ask what the split itself is worth. Training
    file and test images are shared all the same.
    """
    kinds = {cell: row.get("triplets") if column == SPLIT else None for cell, row in rows.items()}
    return [
        {cell: row.get(column) for cell, row in rows.items() if kinds[cell] == kind}
        for kind in dict.fromkeys(kinds.values())
    ]
