"""Refuses every table that an effect must not be read from; one line per reason, all at once. Pure."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from embedding_core.storage.result_tables import Row
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.pairing import SAME_DATA, Place, place_of

PLAN: Final = "plan_sha256"

NEEDED: Final = ("stage", "trial_id", "cell_id", "block", "seed", "end_reason", "config_json", "config_sha256")

IF_THERE: Final = (
    "replicate", "point", "origin", "config_seen_sha256", "config_seen_differences", "weights_sha256", PLAN,
)  # fmt: skip
"""Columns that older tables may lack."""

TUNE_BLOCKS: Final = 500
"""Blocks from here on are points of the tuning."""


UNTUNED: Final = ("seed", "views")
"""Fields by which runs of a cell may differ within a replicate; `views` is about what is drawn alone."""

BETWEEN: Final = (*UNTUNED, "split_seed")
"""Fields by which they may differ across replicates, beside those that each tunes anew."""


class Refused(Faults):
    """The table does not support an effect; one line per reason."""


class Unfinished(Refused):
    """Nothing but runs that have not finished stands against it."""

    def __init__(self, faults: Sequence[str], absent: frozenset[tuple[str, Place]] = frozenset()) -> None:
        super().__init__(faults)
        self.absent = absent


def checked_rows(
    trials: pa.Table,
    *,
    cells: Iterable[str],
    outcome: str,
    plans: Collection[str] = (),
    nuisances: Collection[str] = (),
) -> list[Row]:
    """Rows of `cells`, after every check that concerns a row, a cell or the table rather than a block.

    Args:
        trials: rows of one stage, `tune` or `confirm`, with the column `stage`.
        cells: cell ids.
        outcome: column of numbers of `trials`.
        plans: hashes of the frozen plan and of those it extends, of which each confirm row carries one; empty: never
            frozen.
        nuisances: settings that each replicate tunes anew.

    Raises:
        Refused: search rows or several stages; no row of a cell; a run whose label or configuration is not what ran,
            or that another plan asked for; a cell with more than one configuration; a run of confirm in a block of
            another stage; a (cell, replicate, block) twice.
    """
    faults = stage_faults(trials)
    if outcome not in trials.column_names:
        faults.append(unknown("outcome", outcome, trials.column_names))
    elif not _is_numeric(trials.schema.field(outcome).type):
        faults.append(
            f"An outcome must be a column of numbers, but `{outcome}` is {trials.schema.field(outcome).type}."
        )
    if faults:
        raise Refused(faults)
    cells = tuple(cells)
    rows = _rows(trials, cells, outcome, nuisances)
    stage = rows[0]["stage"] if rows else "confirm"
    for cell in cells:
        if not any(row["cell_id"] == cell for row in rows):
            others = ", ".join(sorted(set(trials["cell_id"].to_pylist()))) or "none"
            faults.append(f"Cell `{cell}` has no finished trial; cells with trials: {others}.")
    faults += [fault for row in rows for fault in run_faults(row)]
    if stage == "confirm":
        faults += [fault for row in rows for fault in _plan_faults(row, plans)]
        faults += [f"{_name(row)}: a block of the tuning is none of the confirmation." for row in rows if _tunes(row)]
    faults += [fault for cell in cells for fault in _config_faults(cell, rows, stage, nuisances)]
    alone = len({place_of(row, stage).replicate for row in rows}) < 2
    counts = Counter((row["cell_id"], place_of(row, stage)) for row in rows)
    faults += [
        f"Cell `{cell}` has {n} runs in {place.named(stage, alone=alone)}; one is needed."
        for (cell, place), n in counts.items()
        if n > 1
    ]
    if faults:
        raise Refused(faults)
    return rows


def stage_faults(trials: pa.Table) -> list[str]:
    """Why no effect is estimated from these stages; empty for rows of one designed stage."""
    if "stage" not in trials.column_names:
        return ["The trials table needs the column `stage`, as `store.read` gives it."]
    counts = Counter(str(stage) for stage in trials["stage"].to_pylist())
    if counts["search"]:
        return [f"No effect is estimated from an adaptive sample: {counts['search']} rows are of stage `search`."]
    return [f"An effect is estimated within one stage, but got {', '.join(sorted(counts))}."] if len(counts) > 1 else []


def run_faults(row: Row) -> list[str]:
    """What is wrong with one run: another configuration ran, or its label names other levels than its columns."""
    name = _name(row)
    faults = []
    asked, seen = row["config_sha256"], row["config_seen_sha256"]
    # A run that never finished a step has nothing to show; one that completed must.
    if seen != asked and (seen is not None or row["end_reason"] == "completed"):
        differing = f": {told}" if (told := row.get("config_seen_differences")) else ""
        faults.append(f"{name}: label/config mismatch, asked for {_short(asked)}, ran {_short(seen)}{differing}.")
    for factor, level in levels_of(row["cell_id"]).items():
        if factor not in row:
            faults.append(f"{name}: the label's factor `{factor}` is no column of the trials table.")
        elif not _same_level(level, row[factor]):
            faults.append(f"{name}: mislabelled, `{factor}` is {row[factor]!r} in the run.")
    return faults


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _rows(trials: pa.Table, cells: tuple[str, ...], outcome: str, nuisances: Collection[str]) -> list[Row]:
    """Rows of the cells with the columns that the checks read: a sweep may have thousands of rows, and wide ones."""
    factors = {factor for cell in cells for factor in levels_of(cell)}
    names = {*NEEDED, *IF_THERE, *SAME_DATA, *factors, *nuisances, outcome} & set(trials.column_names)
    own = trials.filter(pc.is_in(trials["cell_id"], pa.array(cells, pa.string())))
    rows: list[Row] = own.select(sorted(names)).to_pylist()
    return rows


def _plan_faults(row: Row, plans: Collection[str]) -> list[str]:
    ran = row.get(PLAN)
    if ran in plans or (ran is None and not plans):
        return []
    here = " or ".join(_short(plan) for plan in plans) or _short(None)
    return [f"{_name(row)}: ran under the plan {_short(ran)}, but the plan here is {here}."]


def _config_faults(cell: str, rows: list[Row], stage: str, nuisances: Collection[str]) -> list[str]:
    """Fields in which runs of one cell differ though they must not, within a replicate and across."""
    configs: dict[int, list[Row]] = {}
    for row in rows:
        if row["cell_id"] == cell:
            configs.setdefault(place_of(row, stage).replicate, []).append(json.loads(row["config_json"]))
    within = {*UNTUNED, *(nuisances if stage == "tune" else ())}
    faults = []
    for replicate, own in sorted(configs.items()):
        found = _varying(own, within)
        if found:
            of = "" if len(configs) == 1 else f" in replicate {replicate}"
            faults.append(f"Runs of cell `{cell}`{of} may differ by `seed` alone, but differ in {found}.")
    found = _varying([config for own in configs.values() for config in own], {*BETWEEN, *nuisances, *within})
    if len(configs) > 1 and not faults and found:
        faults.append(
            f"Replicates of cell `{cell}` may differ by their seeds and by what each tunes ("
            f"{', '.join(nuisances) or 'nothing'}), but differ in {found}."
        )
    return faults


def _varying(configs: list[Row], allowed: Collection[str]) -> str:
    """Fields with several values among the configurations, the allowed ones aside: `lr (0.001, 0.002), ...`."""
    names = sorted({name for config in configs for name in config} - set(allowed))
    values = {name: sorted({repr(config.get(name)) for config in configs}) for name in names}
    return ", ".join(f"{name} ({', '.join(found)})" for name, found in values.items() if len(found) > 1)


def _tunes(row: Row) -> bool:
    return bool(row["block"] >= TUNE_BLOCKS)


def _same_level(level: str, value: Any) -> bool:
    if isinstance(value, bool):
        return level.lower() in (("on", "true") if value else ("off", "false"))
    if isinstance(value, int | float):
        try:
            return float(level) == value
        except ValueError:
            return False
    return level == ("none" if value is None else str(value))


def _name(row: Row) -> str:
    of = "" if row.get("replicate") is None else f"replicate {row['replicate']}, "
    return f"Trial `{row['trial_id']}` ({row['cell_id']}, {of}block {row['block']})"


def _short(sha: str | None) -> str:
    return "nothing recorded" if sha is None else sha[:12]
