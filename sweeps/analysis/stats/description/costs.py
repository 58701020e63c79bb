"""What trials cost: device time by stage and cell, what early stopping saved, what their machines cost. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.results.schema import STAGES

COLUMNS: Final = (
    "stage", "cell_id", "end_reason", "epochs", "last_epoch", "wall_s", "gpu_s", "gpu_share", "cpu_threads",
    "hostname", "node_id", "node_type", "started_at", "ended_at",
)  # fmt: skip
"""What these functions read."""

OWN: Final = "own"
"""Stands for the type of a node that no autoscaler has named."""

SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class CellCost:
    """Device time of the trials of one cell in one stage; the unit is `unit_of`'s."""

    stage: str
    cell_id: str
    trials: int
    median_s: float
    """Per trial."""
    total_s: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What the trials that ASHA stopped would have cost in addition, each at its own rate to its last epoch."""

    stopped: int
    saved_s: float
    share: float
    """Of what all trials of the search would have cost."""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """Time in which nodes of one type had at least one trial: less than what is billed, start-up and idling on top."""

    node_type: str
    nodes: int
    hours: float
    usd: float | None
    """None without a price."""


def cost_rows(trials: pa.Table) -> list[Row]:
    """The table's `COLUMNS` as rows."""
    rows: list[Row] = trials.select(list(COLUMNS)).to_pylist()
    return rows


def unit_of(rows: Iterable[Row]) -> str:
    """`GPU-seconds` if any trial held a share of a GPU, else `CPU-seconds`: time x torch's threads."""
    return "GPU-seconds" if any(row["gpu_share"] for row in rows) else "CPU-seconds"


def device_seconds(row: Row, unit: str) -> float:
    """What one trial has cost, in `unit`."""
    if unit == "GPU-seconds":
        return float(row["gpu_s"] or 0.0)
    return float((row["wall_s"] or 0.0) * (row["cpu_threads"] or 1))


def by_cell(rows: Sequence[Row]) -> list[CellCost]:
    """Costs by stage and cell, in that order."""
    unit = unit_of(rows)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        seconds[row["stage"], row["cell_id"]].append(device_seconds(row, unit))
    keys = sorted(seconds, key=lambda key: (STAGES.index(key[0]), key[1]))
    return [CellCost(*key, len(seconds[key]), median(seconds[key]), sum(seconds[key])) for key in keys]


def saving(rows: Sequence[Row]) -> Saving:
    """What early stopping saved in the search."""
    unit = unit_of(rows)
    search = [row for row in rows if row["stage"] == "search"]
    stopped = [row for row in search if row["end_reason"] == "asha_stopped" and row["last_epoch"]]
    saved = sum(device_seconds(row, unit) * (row["epochs"] / row["last_epoch"] - 1) for row in stopped)
    spent = sum(device_seconds(row, unit) for row in search)
    return Saving(len(stopped), saved, saved / (saved + spent) if saved else 0.0)


def by_node_type(rows: Sequence[Row], prices: Mapping[str, float]) -> list[NodeCost]:
    """Node time by node type, ascending.

    Args:
        rows: of all attempts: each held a node.
        prices: USD per node and hour by node type; `OWN` for nodes without a type.
    """
    held: dict[str, dict[str, list[tuple[datetime, datetime]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        node = row["node_id"] or row["hostname"]
        if node and row["started_at"] and row["ended_at"]:
            held[row["node_type"] or OWN][node].append((row["started_at"], row["ended_at"]))
    found = []
    for node_type, nodes in sorted(held.items()):
        hours = sum(_union_s(spans) for spans in nodes.values()) / SECONDS_PER_HOUR
        price = prices.get(node_type)
        found.append(NodeCost(node_type, len(nodes), hours, None if price is None else price * hours))
    return found


def _union_s(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, until = 0.0, None
    for start, end in sorted(spans):
        begin = start if until is None else max(start, until)
        total += max((end - begin).total_seconds(), 0.0)
        until = end if until is None else max(until, end)
    return total


RATIOS: Final = ("wall_s", "gpu_s", "images_seen")
"""Columns of `trials` of which cells are compared."""


@dataclass(frozen=True, slots=True)
class CostRatio:
    """Cost of a cell over that of the reference, as geometric means over the blocks that completed in both."""

    cell_id: str
    n: int
    ratios: Mapping[str, float | None]
    """Each of `RATIOS`; None where one of the two spent nothing."""


def cost_ratios(trials: pa.Table, *, reference: str) -> list[CostRatio]:
    """Costs of every other confirm cell relative to `reference`, in order of cell; empty without that cell."""
    mask = pc.and_(pc.equal(trials["stage"], "confirm"), pc.equal(trials["end_reason"], "completed"))
    rows = trials.filter(mask).select(["cell_id", "replicate", "block", *RATIOS]).to_pylist()
    spent = {(row["cell_id"], place_of(row)): row for row in rows}
    found = []
    for cell in sorted({cell for cell, _ in spent} - {reference}):
        pairs = [(spent[cell, b], spent[reference, b]) for c, b in spent if c == cell and (reference, b) in spent]
        if pairs:
            found.append(CostRatio(cell, len(pairs), {name: _ratio(pairs, name) for name in RATIOS}))
    return found


def _ratio(pairs: list[tuple[Row, Row]], name: str) -> float | None:
    if not all(own[name] and other[name] for own, other in pairs):
        return None
    return math.exp(math.fsum(math.log(own[name] / other[name]) for own, other in pairs) / len(pairs))
