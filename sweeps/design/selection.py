"""The settings that a confirmation takes from an earlier stage."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from sweeps.design.design import Cell, Factor, Range, Settings
from sweeps.results.endings import INFRASTRUCTURE

EDGE_SHARE = 0.05
"""How near the end of its range, of its length, the best value of a setting is at its edge."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best settings tried in one cell of one replicate."""

    trial_id: str
    value: float | None
    """At the last epoch, of the measure that they were chosen by; None where no run had one."""
    settings: Settings
    edges: Mapping[str, str]
    """`low` or `high` by nuisance whose best value is at that end of its range, so that better ones may lie beyond."""


def best_trial(rows: Iterable[Row], *, measure: str) -> Row | None:
    """The completed trial of a sweep with the best model: of those that tried settings, else of the confirmed ones.

    Args:
        rows: of `trials`, with `stage`.
        measure: column to go by; higher is better, and of equal ones the first counts.
    """
    completed = [row for row in rows if row["end_reason"] == "completed" and row[measure] is not None]
    tried = [row for row in completed if row["stage"] != "confirm"]
    return max(tried or completed, key=lambda row: float(row[measure]), default=None)


def best_of_search(
    rows: Sequence[Row], arms: Sequence[Cell], factors: Sequence[Factor], *, measure: str
) -> dict[str, Settings]:
    """Every factor of the best completed trial, by arm, from rows of `trials`.

    Args:
        rows: of the search.
        arms: what is looked for.
        factors: what was varied.
        measure: column of `trials` to go by; higher is better.

    Raises:
        Faults: an arm in which no trial completed.
    """
    remedy = "Start a new sweep with more `--samples`, or with `--confirm drop-in`."
    best = _best(rows, arms, measure, "search trial", remedy)
    return {cell: {factor.name: row[factor.name] for factor in factors} for cell, row in best.items()}


def best_of_tune(
    rows: Sequence[Row], cells: Sequence[Cell], nuisances: Sequence[Factor], *, measure: str
) -> dict[str, Tuned]:
    """The completed run with the highest value, by cell, from rows of `trials`; of equal ones the first.

    Where none completed, collapse or divergence is what the cell comes to: it is confirmed at the settings of the run
    that was stopped or had collapsed with the highest value, else at those of its first.

    Args:
        rows: of the tuning of one replicate.
        cells: what was tuned.
        nuisances: which settings.
        measure: column of `trials` to go by; higher is better.

    Raises:
        Faults: runs that ended for want of memory or in an error, so that cells were not tried alike; a cell without
            a run.
    """
    errors = [f"{row['trial_id']} {row['end_reason']}" for row in rows if row["end_reason"] in INFRASTRUCTURE]
    if errors:
        named = ", ".join(errors)
        raise Faults(
            [f"Tuning runs were cut off ({named}), so cells were not tried alike; `--resume` runs them again."]
        )
    tuned = {}
    for cell, row in _best_or_longest(rows, cells, measure).items():
        given = [factor for factor in nuisances if factor.is_drawn(row)]
        tuned[cell] = Tuned(
            trial_id=row["trial_id"],
            value=row[measure],
            settings={factor.name: row[factor.name] for factor in given},
            edges={f.name: edge for f in given if (edge := _edge(f, row[f.name])) is not None},
        )
    return tuned


def nuisance_of(cells: Sequence[Cell], tuned: Mapping[str, Tuned]) -> dict[str, Settings]:
    """Settings by cell id: tuned, or a twin's."""
    return {cell.cell_id: tuned[cell.settings_of or cell.cell_id].settings for cell in cells}


def _best_or_longest(rows: Sequence[Row], cells: Sequence[Cell], measure: str) -> dict[str, Row]:
    """By cell the completed run with the highest value, else the ended one with the highest, else the first."""
    best = {}
    for cell in (cell.cell_id for cell in cells):
        own = sorted((row for row in rows if row["cell_id"] == cell), key=lambda row: str(row["trial_id"]))
        if not own:
            raise Faults([f"No tuning run of {cell} has ended, so there are no settings to confirm."])
        ranks = [(row["end_reason"] == "completed", -math.inf if row[measure] is None else row[measure]) for row in own]
        best[cell] = own[ranks.index(max(ranks))]
    return best


def _best(rows: Sequence[Row], cells: Sequence[Cell], measure: str, what: str, remedy: str) -> dict[str, Row]:
    best: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: str(row["trial_id"])):
        value = row[measure] if row["end_reason"] == "completed" else None
        if value is not None and value > best.get(row["cell_id"], {}).get(measure, -math.inf):
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


def _edge(factor: Factor, value: float) -> str | None:
    """At which end of its range the value lies. The outermost of few points is no edge: chance alone makes it one."""
    domain = factor.domain
    if not isinstance(domain, Range):
        return None
    scale = math.log if domain.log else float
    share = (scale(value) - scale(domain.low)) / (scale(domain.high) - scale(domain.low))
    return "low" if share < EDGE_SHARE else "high" if share > 1 - EDGE_SHARE else None
