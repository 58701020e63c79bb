"""What finished runs measured on held-out images, by cell and seed: the table `evaluations` looked up. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import is_number
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.intervals.effects import Interval, t_interval
from sweeps.analysis.stats.reading.contrasts import UNTUNED_ORIGIN, unit_of_runs
from sweeps.analysis.stats.reading.pairing import Place, place_of
from sweeps.results.endings import FAILED_TRAINING

STAGE: Final = "confirm"

SPLITS: Final = {"unseen": "unseen classes", "test": "test split"}
"""The harder question first."""

PROBES: Final = {"probe_svc": "SVC (RBF)", "probe_linear": "linear SVM", "probe_knn": "kNN"}
"""Metric of `evaluations` -> the classifier that is fitted to few labels."""

SHOWN_NEIGHBOURS: Final = 5
"""Nearest others of a query that the views hold, and `k` of the hit rates over them."""

Key = tuple[str, str, int | None]
"""(metric, split, k)"""

Values = Mapping[tuple[str, Place], float]
"""(cell_id, replicate and block) -> value"""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over replicates, or over the blocks of a single one."""

    mean: float
    deviation: float | None
    """Standard deviation over those; None for one."""

    interval: Interval | None
    """95 % t interval over those; None for one."""

    n: int
    """Replicates, or blocks of a single one."""


def measured(
    evaluations: pa.Table, trials: pa.Table, metrics: Iterable[str]
) -> dict[Key, dict[tuple[str, Place], float]]:
    """Finite values of the confirm runs by metric, split and k.

    Args:
        evaluations: the table with `stage`.
        trials: the table `trials` with `stage`.
        metrics: names of the metrics wanted.
    """
    runs = {row["trial_id"]: row for row in rows_of(trials, STAGE, ("trial_id", "cell_id", "replicate", "block"))}
    own = evaluations.filter(pc.is_in(evaluations["metric"], pa.array(list(metrics), pa.string())))
    found: dict[Key, dict[tuple[str, Place], float]] = {}
    for row in rows_of(own, STAGE, ("trial_id", "metric", "split", "k", "value")):
        run = runs.get(row["trial_id"])
        if run is not None and is_number(row["value"]):
            key = (row["metric"], row["split"], row["k"])
            found.setdefault(key, {})[run["cell_id"], place_of(run)] = row["value"]
    return found


def mean_of(values: Values, cell: str) -> Mean | None:
    """Of one cell; None without any value."""
    own = np.array(units({place: value for (other, place), value in values.items() if other == cell}))
    if not own.size:
        return None
    several = own.size > 1
    deviation = float(own.std(ddof=1)) if several else None
    return Mean(float(own.mean()), deviation, t_interval(own) if several else None, own.size)


def unit_of(trials: pa.Table) -> str:
    """What means are taken over: `replicates`, `seeds` where nothing was tuned, or `seeds at one tuning`."""
    rows = rows_of(trials, STAGE, ("trial_id", "replicate", "block", "origin", "split_sha256"))
    splits = {place_of(row): row["split_sha256"] for row in rows}
    replicates, blocks = ({place[i] for place in splits} for i in (0, 1))
    tuned = any(row["origin"] != UNTUNED_ORIGIN for row in rows)
    if len(replicates) == 1 and not tuned and None not in splits.values() and len(set(splits.values())) == len(splits):
        return "seeds"
    return unit_of_runs(len(replicates), len(blocks), tuned=tuned)


def units(values: Mapping[Place, float]) -> list[float]:
    """Means by replicate; the values themselves, by block, where there is one replicate."""
    replicates = sorted({place.replicate for place in values})
    if len(replicates) < 2:
        return [values[place] for place in sorted(values)]
    return [float(np.mean([v for place, v in values.items() if place.replicate == r])) for r in replicates]


def column_values(trials: pa.Table, column: str, *, failed: float | None = None) -> dict[tuple[str, Place], float]:
    """Finite values of a column of `trials` in the confirm runs; `failed` for runs that training ended without one."""
    rows = rows_of(trials, STAGE, ("trial_id", "cell_id", "replicate", "block", "end_reason", column))
    if failed is not None:
        rows = [row | {column: failed} if lost(row, column) else row for row in rows]
    return {(row["cell_id"], place_of(row)): row[column] for row in rows if is_number(row[column])}


def lost(row: Row, column: str) -> bool:
    """Whether training ended the run before it could be measured."""
    return row["end_reason"] in FAILED_TRAINING and not is_number(row[column])


def differences(treatment: Values, control: Values, cell: str) -> list[float]:
    """Treatment minus control where a cell has both, by replicate, or by block of a single one."""
    both = treatment.keys() & control.keys()
    return units({place: treatment[own, place] - control[own, place] for own, place in both if own == cell})


def having(values: Collection[Values], cells: Iterable[str]) -> list[str]:
    """The cells of which any of these has a value."""
    there = {cell for one in values for cell, _ in one}
    return [cell for cell in cells if cell in there]
