"""Where a sweep stands, from its folder alone: what is planned, ended and running, the time left, the cost."""

import fcntl
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from sweeps.analysis.stats.description import costs
from sweeps.analysis.stats.description.costs import CellCost, NodeCost, Saving
from sweeps.design.planned_counts import planned_trials
from sweeps.results import files, frozen, store
from sweeps.results.scan import scan, written_at
from sweeps.results.schema import STAGES
from sweeps.results.snapshots import SEQ

COLUMNS: Final = (
    "trial_id",
    "attempt",
    "cell_id",
    "end_reason",
    "epochs",
    "last_epoch",
    "wall_s",
    "final_val_auc",
)
"""Of `trials`, which is wide."""


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that has rows but no final one in its latest attempt."""

    trial_id: str
    attempt: int
    epoch: int
    elapsed_s: float
    """Its training and evaluation time so far."""
    silent_s: float
    """Since its last rows were published; the driver holds rows back for up to 10 s."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage of the plan."""

    stage: str
    planned: int
    ended: dict[str, int]
    """Trials by their latest ending."""
    running: list[Running]
    seconds_left: float | None
    """At most, if as many trials as now go on at once; early stopping leaves less. None: nothing to go by."""
    best: tuple[str, str, float] | None
    """Trial, cell and final validation AUC of the best completed one."""


@dataclass(frozen=True, slots=True)
class Status:
    """Of a sweep at one moment."""

    folder: str
    driver: bool
    """Whether a driver runs it now."""
    stages: list[StageStatus]
    unit: str
    cells: list[CellCost]
    saving: Saving
    nodes: list[NodeCost]


def status_of(folder: Path, prices: Mapping[str, float]) -> Status:
    """The status of a sweep, whether it runs, has ended or was killed; nothing is written.

    Args:
        folder: of the sweep.
        prices: USD per node and hour by node type; `costs.OWN` for nodes without a type.

    Raises:
        Faults: no sweep there, no readable plan, or, once any trial has ended, a price of a node type that none ran on.
    """
    planned = _planned(folder)
    trials = store.read(folder, "trials")
    rows = costs.cost_rows(trials)
    nodes = costs.by_node_type(costs.cost_rows(store.read(folder, "trials", attempts="all")), prices)
    types = [node.node_type for node in nodes]
    faults = [unknown("node type", name, types) for name in prices if types and name not in types]
    if faults:
        raise Faults(faults)
    stages = [_stage(folder, trials, stage, planned[stage]) for stage in STAGES if stage in planned]
    return Status(
        folder=str(folder),
        driver=is_locked(folder / files.LOCK),
        stages=stages,
        unit=costs.unit_of(rows),
        cells=costs.by_cell(rows),
        saving=costs.saving(rows),
        nodes=nodes,
    )


def _planned(folder: Path) -> dict[str, int]:
    """Trials by planned stage.

    Raises:
        Faults: no readable `plan.json`.
    """
    file = folder / frozen.FILE
    files.check_sweep(folder)
    try:
        return planned_trials(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Faults([f"{file} is not a readable plan: {type(error).__name__}: {error}."]) from error


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock; asked with a shared lock, so that two who ask do not see each other."""
    try:
        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _stage(folder: Path, trials: pa.Table, stage: str, planned: int) -> StageStatus:
    rows = trials.filter(pc.equal(trials["stage"], stage)).select(list(COLUMNS)).to_pylist()
    running = _running(folder, stage, {row["trial_id"]: row["attempt"] for row in rows})
    again = {trial.trial_id for trial in running}
    ended = [row for row in rows if row["trial_id"] not in again]
    completed = [row for row in ended if row["end_reason"] == "completed" and row["final_val_auc"] is not None]
    best = max(completed, key=lambda row: row["final_val_auc"], default=None)
    return StageStatus(
        stage=stage,
        planned=planned,
        ended=dict(sorted(Counter(row["end_reason"] for row in ended).items())),
        running=running,
        seconds_left=_seconds_left(ended, running, planned),
        best=best and (best["trial_id"], best["cell_id"], best["final_val_auc"]),
    )


def _running(folder: Path, stage: str, finished: Mapping[str, int]) -> list[Running]:
    """Of each trial that has rows since its latest end, the last one, and the age of the file that this came in."""
    rows, _ = scan(folder, "curves", stage, ["trial_id", "attempt", "epoch", "elapsed_s"])
    latest: dict[str, dict[str, Any]] = {}
    for row in rows.sort_by([("attempt", "ascending"), (SEQ, "ascending")]).to_pylist():  # stable: epochs stay in order
        if row["attempt"] > finished.get(row["trial_id"], 0):
            latest[row["trial_id"]] = row
    now, found = time.time(), []
    for trial_id, last in sorted(latest.items()):
        silent = max(now - written_at(folder, "curves", stage, last), 0.0)
        found.append(Running(trial_id, last["attempt"], last["epoch"], last["elapsed_s"] or 0.0, silent))
    return found


def _seconds_left(ended: Sequence[Mapping[str, Any]], running: Sequence[Running], planned: int) -> float | None:
    left = planned - len(ended)
    if left <= 0:
        return 0.0
    known = [row for row in ended if row["last_epoch"] and row["wall_s"]]
    if not known:
        return None
    full_s = float(median(row["wall_s"] * row["epochs"] / row["last_epoch"] for row in known))
    return (left * full_s - sum(min(trial.elapsed_s, full_s) for trial in running)) / max(len(running), 1)
