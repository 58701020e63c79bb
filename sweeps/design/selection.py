"""The settings that a confirmation takes from an earlier stage."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from sweeps.design.design import Cell, Factor, Range, Settings
from sweeps.results.endings import INFRASTRUCTURE


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best settings tried in one cell."""

    trial_id: str
    final_val_auc: float
    settings: Settings
    edges: Mapping[str, str]
    """`low` or `high` by nuisance whose best value is the outermost tried, so that better ones may lie beyond."""


def best_of_search(rows: Sequence[Row], arms: Sequence[Cell], factors: Sequence[Factor]) -> dict[str, Settings]:
    """Every factor of the best completed trial, by arm, from rows of `trials`.

    Raises:
        Faults: an arm in which no trial completed.
    """
    best = _best(rows, arms, "search trial", "Start a new sweep with more `--samples`, or with `--confirm drop-in`.")
    return {cell: {factor.name: row[factor.name] for factor in factors} for cell, row in best.items()}


def best_of_tune(rows: Sequence[Row], cells: Sequence[Cell], nuisances: Sequence[Factor]) -> dict[str, Tuned]:
    """The point with the highest final validation AUC, by cell, from rows of `trials`; of equal ones the first.

    Raises:
        Faults: runs that ended for want of memory or in an error, so that cells were not tried alike; a cell in which
            no run completed.
    """
    errors = [f"{row['trial_id']} {row['end_reason']}" for row in rows if row["end_reason"] in INFRASTRUCTURE]
    if errors:
        named = ", ".join(errors)
        raise Faults(
            [f"Tuning runs were cut off ({named}), so cells were not tried alike; `--resume` runs them again."]
        )
    best = _best(rows, cells, "tuning run", "Start a new sweep with more `--points`.")
    tuned = {}
    for cell, row in best.items():
        own = [other for other in rows if other["cell_id"] == cell]
        given = [factor for factor in nuisances if row[factor.name] is not None]
        tuned[cell] = Tuned(
            trial_id=row["trial_id"],
            final_val_auc=row["final_val_auc"],
            settings={factor.name: row[factor.name] for factor in given},
            edges={f.name: edge for f in given if (edge := _edge(f, row, own)) is not None},
        )
    return tuned


def nuisance_of(cells: Sequence[Cell], tuned: Mapping[str, Tuned]) -> dict[str, Settings]:
    """Settings by cell id: tuned, a twin's, or those of the cell that it is dropped into with its stated values."""
    found: dict[str, Settings] = {}
    for cell in cells:
        settings = tuned[cell.settings_of or cell.cell_id].settings
        found[cell.cell_id] = {**settings, **cell.drop_in} if cell.role == "drop-in" else settings
    return found


def _best(rows: Sequence[Row], cells: Sequence[Cell], what: str, remedy: str) -> dict[str, Row]:
    best: dict[str, Row] = {}
    for row in rows:
        value = row["final_val_auc"] if row["end_reason"] == "completed" else None
        if value is not None and value > best.get(row["cell_id"], {}).get("final_val_auc", -math.inf):
            best[row["cell_id"]] = row
    missing = [cell.cell_id for cell in cells if cell.cell_id not in best]
    if missing:
        raise Faults(
            [
                f"No {what} of {cell} completed, so there is no best configuration to confirm. {remedy}"
                for cell in missing
            ]
        )
    return {cell.cell_id: best[cell.cell_id] for cell in cells}


def _edge(factor: Factor, row: Row, tried: Sequence[Row]) -> str | None:
    if not isinstance(factor.domain, Range):
        return None
    values = [other[factor.name] for other in tried]
    value = row[factor.name]
    if min(values) == max(values):
        return None
    return "low" if value == min(values) else "high" if value == max(values) else None
