"""What choosing the best of several settings promised and fresh seeds did not keep, by cell. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sweeps.analysis.stats.description.descriptive import rows_of, selected_by
from sweeps.analysis.stats.intervals.effects import Interval, t_interval
from sweeps.analysis.stats.reading.composite import composite_of, measured_or_composite
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.results.endings import FAILED_TRAINING


@dataclass(frozen=True, slots=True)
class Curse:
    """Validation value at tuning less the mean of the same measure over the fresh seeds, mean over replicates."""

    cell_id: str
    at_tuning: float
    fresh: float
    gap: float
    interval: Interval | None
    """95 % t interval over replicates; None for a single one."""

    n: int
    """Replicates."""


def winners_curse(trials: pa.Table, plan: StoredPlan) -> list[Curse]:
    """Of every tuned cell whose fresh seeds have run, in the plan's order; failed runs count with the composite.

    Args:
        trials: with the column `stage`.
        plan: what each replicate chose.
    """
    column = selected_by(trials)
    fresh = _fresh_means(trials, column)
    found = []
    for cell in dict.fromkeys(cell for own in plan.tuned for cell in own):
        pairs = [
            (own[cell].value, fresh[cell, replicate])
            for replicate, own in enumerate(plan.tuned, start=1)
            if cell in own and own[cell].value is not None and (cell, replicate) in fresh
        ]
        if pairs:
            chosen, again = np.array(pairs, dtype=np.float64).T
            gaps = chosen - again
            interval = t_interval(gaps) if gaps.size > 1 else None
            at_tuning, fresh_mean, gap = (float(values.mean()) for values in (chosen, again, gaps))
            found.append(Curse(cell, at_tuning, fresh_mean, gap, interval, gaps.size))
    return found


def _fresh_means(trials: pa.Table, column: str) -> Mapping[tuple[str, int], float]:
    """(cell, replicate) -> mean over its blocks of the last value of the measure."""
    names = [name for name in ("cell_id", "replicate", "block", "end_reason", column) if name in trials.column_names]
    values: dict[tuple[str, int], list[float]] = {}
    for row in rows_of(trials, "confirm", names):
        failed = row["end_reason"] in FAILED_TRAINING and composite_of(column) is not None
        if row.get(column) is not None or failed:
            key = (row["cell_id"], place_of(row).replicate)
            values.setdefault(key, []).append(measured_or_composite(row.get(column), column))
    return {key: float(np.mean(own)) for key, own in values.items()}
