"""What ASHA hid: per-arm means corrected by trials that were exempt from stopping. An audit, never an effect."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from embedding_core.storage.result_tables import Row
from sweeps.analysis.stats.description.descriptive import rows_of, selected_by

COLUMNS: Final = ("cell_id", "end_reason", "exempt_prob", "would_stop_rung")


@dataclass(frozen=True, slots=True)
class CensoredMean:
    """Mean final value, of what the sweep is tuned by, of one arm of the search, as it reads and corrected."""

    cell_id: str
    n: int
    """Trials that completed or were stopped; failures have no value that weights could stand in for."""

    stopped: int
    exempt: int
    """Completed trials that ASHA would have stopped."""

    last_values: float
    """Mean of the last value of all trials: a stopped one's is early."""

    complete_cases: float | None
    """Mean over the trials that completed, unweighted; None without any."""

    weighted: float | None
    """Hajek mean; None where trials were stopped and no exempt one stands for them."""

    se: float | None
    """Its standard error; None with `weighted`, or with fewer than two trials that count."""


def ipw_means(trials: pa.Table) -> list[CensoredMean]:
    """Means of each arm of the search by inverse probability of exemption, in order of arm.

    Args:
        trials: with `stage`, `exempt_prob` and `would_stop_rung`.

    Source: Hajek 1971; linearised variance after Sarndal, Swensson & Wretman 1992, section 5.7.
    """
    column = selected_by(trials)
    rows = [
        row
        for row in rows_of(trials, "search", (*COLUMNS, column))
        if row["end_reason"] in ("completed", "asha_stopped") and row[column] is not None
    ]
    arms = sorted({row["cell_id"] for row in rows})
    return [_mean(arm, [row for row in rows if row["cell_id"] == arm], column) for arm in arms]


def _mean(arm: str, rows: list[Row], column: str) -> CensoredMean:
    values = np.array([row[column] for row in rows])
    weights = np.array([_weight(row) for row in rows])
    completed = weights > 0
    stopped = int((~completed).sum())
    exempt = sum(row["would_stop_rung"] is not None for row, done in zip(rows, completed, strict=True) if done)
    weighted = se = None
    if completed.any() and (exempt or not stopped):
        weighted = float(np.average(values, weights=weights))
        if completed.sum() > 1:
            n = len(rows)
            residuals = weights * (values - weighted) / weights.sum()
            se = math.sqrt(n / (n - 1) * float(residuals @ residuals))
    complete_cases = float(values[completed].mean()) if completed.any() else None
    return CensoredMean(arm, len(rows), stopped, exempt, float(values.mean()), complete_cases, weighted, se)


def _weight(row: Row) -> float:
    """0 for a stopped trial, 1 / probability for one that only its draw let complete, else 1."""
    if row["end_reason"] == "asha_stopped":
        return 0.0
    return 1.0 if row["would_stop_rung"] is None else 1 / float(row["exempt_prob"])
