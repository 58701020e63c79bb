"""From the trials table to paired blocks, refusing every table an effect must not be read from. Pure."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedding_core.faults import Faults, unknown
from sweeps.analysis.estimates import SESOI, Effect, paired_effect

COMPOSITE_AUC: Final = 0.5
"""Outcome of a run that diverged or collapsed before it could be measured: chance level."""

FAILED_TRAINING: Final = ("diverged", "collapsed")
"""Endings that are the method's doing, hence data. All others short of `completed` are to be rerun."""

SAME_DATA: Final = ("data_sha256", "split_sha256", "test_sha256")
"""Hashes that both runs of a block must share where they were recorded: a file may be replaced between two starts."""

Row = dict[str, Any]


class Refused(Faults):
    """The table does not support an effect; one line per reason."""


@dataclass(frozen=True, slots=True)
class CellBlocks:
    """Outcomes of two cells in the same blocks, in block order."""

    blocks: tuple[int, ...]
    control: NDArray[np.float64]
    treatment: NDArray[np.float64]
    failed: tuple[tuple[str, int, str], ...]
    """(cell_id, block, end_reason) of the runs counted with the composite outcome."""

    def effect(self, *, sesoi: float = SESOI) -> Effect:
        """Paired effect over all blocks."""
        return paired_effect(self.control, self.treatment, sesoi=sesoi)

    def without_failures(self, *, sesoi: float = SESOI) -> Effect | None:
        """Sensitivity: the effect over the blocks in which no run failed; None if fewer than two remain."""
        failed = {block for _, block, _ in self.failed}
        keep = np.array([block not in failed for block in self.blocks])
        if keep.sum() < 2:
            return None
        return paired_effect(self.control[keep], self.treatment[keep], sesoi=sesoi)


@dataclass(frozen=True, slots=True)
class EpochEffect:
    """The contrast at one mark of the curves; exploratory."""

    epoch: int
    effect: Effect


def paired_effect_from_trials(
    trials: pa.Table, *, outcome: str = "test_auc", control_cell: str, treatment_cell: str, sesoi: float = SESOI
) -> tuple[Effect, CellBlocks]:
    """Effect of one cell against another, and the blocks it came from.

    Raises:
        Refused: as in `cell_blocks`, or fewer than two blocks.
    """
    blocks = cell_blocks(trials, outcome=outcome, control_cell=control_cell, treatment_cell=treatment_cell)
    if len(blocks.blocks) < 2:
        raise Refused([f"An interval needs at least two blocks, but there is only block {blocks.blocks[0]}."])
    return blocks.effect(sesoi=sesoi), blocks


def cell_blocks(trials: pa.Table, *, outcome: str = "test_auc", control_cell: str, treatment_cell: str) -> CellBlocks:
    """Outcomes of two cells, paired by block.

    A run that diverged or collapsed and has no outcome counts as `COMPOSITE_AUC` (AUC outcomes only); a measured
    value is kept whatever the ending.

    Args:
        trials: rows of one stage, `tune` or `confirm`, with the column `stage`.
        outcome: float column of `trials`.
        control_cell: cell_id of the control.
        treatment_cell: cell_id of the treatment.

    Raises:
        Refused: search rows or several stages; a run whose label or configuration is not what ran; a cell with
            more than one configuration; a (cell, block) twice; a block that is not complete; unequal seeds in a
            block. All reasons at once.
    """
    rows = checked_rows(trials, cells=(control_cell, treatment_cell), outcome=outcome)
    by_key = {(row["cell_id"], row["block"]): row for row in rows}
    blocks = sorted({block for _, block in by_key})
    faults = _incomplete(by_key, blocks, cells=(control_cell, treatment_cell), outcome=outcome)
    if faults:
        raise Refused(faults)
    for block in blocks:
        seeds = {cell: by_key[cell, block]["seed"] for cell in (control_cell, treatment_cell)}
        if len(set(seeds.values())) != 1:
            raise Refused([f"Block {block} is not paired: its seeds differ, {seeds}."])
        for column in SAME_DATA:
            hashes = {cell: by_key[cell, block][column] for cell in (control_cell, treatment_cell)}
            if len(set(hashes.values()) - {None}) > 1:
                raise Refused([f"Block {block} is not paired: its {column} differ, {hashes}."])
    failed = [(r["cell_id"], r["block"], r["end_reason"]) for r in by_key.values() if not _is_number(r[outcome])]
    return CellBlocks(
        blocks=tuple(blocks),
        control=np.array([_value(by_key[control_cell, b][outcome]) for b in blocks]),
        treatment=np.array([_value(by_key[treatment_cell, b][outcome]) for b in blocks]),
        failed=tuple(sorted(failed, key=lambda f: (f[1], f[0]))),
    )


def effect_by_epoch(
    curves: pa.Table,
    trials: pa.Table,
    *,
    control_cell: str,
    treatment_cell: str,
    outcome: str = "val_auc",
    sesoi: float = SESOI,
) -> list[EpochEffect]:
    """The contrast at every epoch that all runs reached; a failed run counts as `COMPOSITE_AUC` from its failure on.

    Args:
        curves: rows of the same stage as `trials`.
        trials: as in `cell_blocks`.
        control_cell: cell_id of the control.
        treatment_cell: cell_id of the treatment.
        outcome: float column of `curves`.
        sesoi: smallest effect size of interest.

    Raises:
        Refused: as in `cell_blocks`.
    """
    pairs = cell_blocks(trials, outcome="test_auc", control_cell=control_cell, treatment_cell=treatment_cell)
    stage, failed = trials["stage"][0].as_py(), {(cell, block) for cell, block, _ in pairs.failed}
    values = {
        (row["trial_id"], row["epoch"]): row[outcome]
        for row in curves.to_pylist()
        if row["stage"] == stage and _is_number(row[outcome])
    }
    runs = {(row["cell_id"], row["block"]): row["trial_id"] for row in trials.to_pylist()}
    found = []
    for epoch in sorted({epoch for _, epoch in values}):
        arms: dict[str, list[float]] = {control_cell: [], treatment_cell: []}
        for cell, arm in arms.items():
            for block in pairs.blocks:
                value = values.get((runs[cell, block], epoch))
                if value is None and (cell, block) in failed:
                    value = COMPOSITE_AUC
                if value is not None:
                    arm.append(value)
        if all(len(arm) == len(pairs.blocks) for arm in arms.values()):
            effect = paired_effect(arms[control_cell], arms[treatment_cell], sesoi=sesoi)
            found.append(EpochEffect(epoch, effect))
    return found


def checked_rows(trials: pa.Table, *, cells: Iterable[str], outcome: str) -> list[Row]:
    """Rows of `cells`, after every check that concerns a row, a cell or the table rather than a pair.

    Raises:
        Refused: as in `cell_blocks`.
    """
    faults = _stage_faults(trials)
    if outcome not in trials.column_names:
        faults.append(unknown("outcome", outcome, trials.column_names))
    if faults:
        raise Refused(faults)
    cells = tuple(cells)
    rows = [row for row in trials.to_pylist() if row["cell_id"] in cells]
    for cell in cells:
        if not any(row["cell_id"] == cell for row in rows):
            others = ", ".join(sorted(set(trials["cell_id"].to_pylist()))) or "none"
            faults.append(f"Cell `{cell}` has no finished trial; cells with trials: {others}.")
    faults += [fault for row in rows for fault in run_faults(row)]
    faults += [fault for cell in cells for fault in _config_faults(cell, rows)]
    counts = Counter((row["cell_id"], row["block"]) for row in rows)
    faults += [f"Cell `{c}` has {n} runs in block {b}; one is needed." for (c, b), n in counts.items() if n > 1]
    if faults:
        raise Refused(faults)
    return rows


def run_faults(row: Row) -> list[str]:
    """What is wrong with one run: another configuration ran, or its label names other levels than its columns."""
    name = f"Trial `{row['trial_id']}` ({row['cell_id']}, block {row['block']})"
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


def levels_of(cell_id: str) -> dict[str, str]:
    """Factor levels named by a cell_id: `koleo=on,accum_steps=4` -> {"koleo": "on", "accum_steps": "4"}."""
    pairs = [part.partition("=") for part in cell_id.split(",")]
    return {factor.strip(): level.strip() for factor, equals, level in pairs if equals}


def _stage_faults(trials: pa.Table) -> list[str]:
    if "stage" not in trials.column_names:
        return ["The trials table needs the column `stage`, as `store.read` gives it."]
    stages = sorted({str(stage) for stage in trials["stage"].to_pylist()})
    if "search" in stages:
        n = trials["stage"].to_pylist().count("search")
        return [f"No effect is estimated from an adaptive sample: {n} rows are of stage `search`."]
    return [f"An effect is estimated within one stage, but got {', '.join(stages)}."] if len(stages) > 1 else []


def _config_faults(cell: str, rows: list[Row]) -> list[str]:
    """Fields in which runs of one cell differ though they must not; `views` is about what is drawn alone."""
    configs = [json.loads(row["config_json"]) for row in rows if row["cell_id"] == cell]
    names = sorted({name for config in configs for name in config} - {"seed", "views"})
    varying = {n: sorted({repr(c.get(n)) for c in configs}) for n in names}
    found = [f"{name} ({', '.join(values)})" for name, values in varying.items() if len(values) > 1]
    return [f"Runs of cell `{cell}` may differ by `seed` alone, but differ in {', '.join(found)}."] if found else []


def _incomplete(
    by_key: dict[tuple[str, int], Row], blocks: list[int], *, cells: tuple[str, str], outcome: str
) -> list[str]:
    missing = []
    for block in blocks:
        for cell in cells:
            row = by_key.get((cell, block))
            if row is None:
                missing.append(f"`{cell}` block {block} (no finished trial)")
            elif not _is_number(row[outcome]) and not ("auc" in outcome and row["end_reason"] in FAILED_TRAINING):
                missing.append(f"`{cell}` block {block} ({row['end_reason']}, no {outcome})")
    return [f"Incomplete blocks, to be run again with the same seed: {'; '.join(missing)}."] if missing else []


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _value(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else COMPOSITE_AUC


def _same_level(level: str, value: Any) -> bool:
    if isinstance(value, bool):
        return level.lower() in (("on", "true") if value else ("off", "false"))
    if isinstance(value, int | float):
        try:
            return float(level) == value
        except ValueError:
            return False
    return level == ("none" if value is None else str(value))


def _short(sha: str | None) -> str:
    return "nothing recorded" if sha is None else sha[:12]
