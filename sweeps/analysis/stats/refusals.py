"""Refuses every table that an effect must not be read from; one line per reason, all at once. Pure."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.levels import levels_of
from sweeps.results.columns import is_auc
from sweeps.results.endings import FAILED_TRAINING

SAME_DATA: Final = ("data_sha256", "split_sha256", "test_sha256")
"""Hashes that all runs of a block must share where they were recorded: a file may be replaced between two starts."""

PLAN: Final = "plan_sha256"

NEEDED: Final = ("trial_id", "cell_id", "block", "seed", "end_reason", "config_json", "config_sha256")


class Refused(Faults):
    """The table does not support an effect; one line per reason."""


def checked_rows(trials: pa.Table, *, cells: Iterable[str], outcome: str, plans: Collection[str] = ()) -> list[Row]:
    """Rows of `cells`, after every check that concerns a row, a cell or the table rather than a block.

    Args:
        trials: rows of one stage, `tune` or `confirm`, with the column `stage`.
        cells: cell ids.
        outcome: column of numbers of `trials`.
        plans: hashes of the frozen plan and of those it extends, of which each row carries one; empty: never frozen.

    Raises:
        Refused: search rows or several stages; no row of a cell; a run whose label or configuration is not what ran,
            or that another plan asked for; a cell with more than one configuration; a (cell, block) twice.
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
    rows = _rows(trials, cells, outcome)
    for cell in cells:
        if not any(row["cell_id"] == cell for row in rows):
            others = ", ".join(sorted(set(trials["cell_id"].to_pylist()))) or "none"
            faults.append(f"Cell `{cell}` has no finished trial; cells with trials: {others}.")
    faults += [fault for row in rows for fault in run_faults(row)]
    faults += [fault for row in rows for fault in _plan_faults(row, plans)]
    faults += [fault for cell in cells for fault in _config_faults(cell, rows)]
    counts = Counter((row["cell_id"], row["block"]) for row in rows)
    faults += [f"Cell `{c}` has {n} runs in block {b}; one is needed." for (c, b), n in counts.items() if n > 1]
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
        faults.append(f"{name}: label/config mismatch, asked for {_short(asked)}, ran {_short(seen)}.")
    for factor, level in levels_of(row["cell_id"]).items():
        if factor not in row:
            faults.append(f"{name}: the label's factor `{factor}` is no column of the trials table.")
        elif not _same_level(level, row[factor]):
            faults.append(f"{name}: mislabelled, `{factor}` is {row[factor]!r} in the run.")
    return faults


def block_faults(
    by_key: Mapping[tuple[str, int], Row], blocks: Iterable[int], cells: tuple[str, ...], *, outcome: str
) -> list[str]:
    """Blocks that lack a run or an outcome, and blocks whose runs differ in seed or data."""
    missing, without, unpaired = [], [], []
    for block in blocks:
        rows = {cell: by_key.get((cell, block)) for cell in cells}
        for cell, row in rows.items():
            if row is None:
                missing.append(f"`{cell}` block {block} (no finished trial)")
            elif not is_number(row[outcome]) and row["end_reason"] not in FAILED_TRAINING:
                missing.append(f"`{cell}` block {block} ({row['end_reason']}, no {outcome})")
            elif not is_number(row[outcome]) and not is_auc(outcome):
                without.append(f"`{cell}` block {block} ({row['end_reason']})")
        there = {cell: row for cell, row in rows.items() if row is not None}
        for column in ("seed", *SAME_DATA):
            values = {cell: row[column] for cell, row in there.items()}
            # A hash may not have been recorded; a seed always is.
            if len(set(values.values()) - ({None} if column in SAME_DATA else set())) > 1:
                what = "seeds" if column == "seed" else column
                unpaired.append(f"Block {block} is not paired: its {what} differ, {values}.")
    again = [f"Incomplete blocks, to be run again with the same seed: {'; '.join(missing)}."] if missing else []
    if without:
        again.append(
            f"Failed training has no {outcome}, and leaving it out would flatter its cell: {'; '.join(without)}."
        )
    return again + unpaired


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _rows(trials: pa.Table, cells: tuple[str, ...], outcome: str) -> list[Row]:
    """Rows of the cells with the columns that the checks read: a sweep may have thousands of rows, and wide ones."""
    factors = {factor for cell in cells for factor in levels_of(cell)}
    names = {*NEEDED, *SAME_DATA, *factors, "config_seen_sha256", PLAN, outcome} & set(trials.column_names)
    own = trials.filter(pc.is_in(trials["cell_id"], pa.array(cells, pa.string())))
    rows: list[Row] = own.select(sorted(names)).to_pylist()
    return rows


def _plan_faults(row: Row, plans: Collection[str]) -> list[str]:
    ran = row.get(PLAN)
    if ran in plans or (ran is None and not plans):
        return []
    here = " or ".join(_short(plan) for plan in plans) or _short(None)
    return [f"{_name(row)}: ran under the plan {_short(ran)}, but the plan here is {here}."]


def _config_faults(cell: str, rows: list[Row]) -> list[str]:
    """Fields in which runs of one cell differ though they must not; `views` is about what is drawn alone."""
    configs = [json.loads(row["config_json"]) for row in rows if row["cell_id"] == cell]
    names = sorted({name for config in configs for name in config} - {"seed", "views"})
    varying = {n: sorted({repr(c.get(n)) for c in configs}) for n in names}
    found = [f"{name} ({', '.join(values)})" for name, values in varying.items() if len(values) > 1]
    return [f"Runs of cell `{cell}` may differ by `seed` alone, but differ in {', '.join(found)}."] if found else []


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
    return f"Trial `{row['trial_id']}` ({row['cell_id']}, block {row['block']})"


def _short(sha: str | None) -> str:
    return "nothing recorded" if sha is None else sha[:12]
