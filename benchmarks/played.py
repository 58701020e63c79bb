"""A search whose trials are played: the driver's own objects at work on rows that no process has sent.

Simulated time stands still between two rows. What the driver does with a row takes its processor time, and for each
`os.fsync` what one takes on this disk: the lower quartile of 100, which other work leaves alone. SQLite's
waits for the disk are not seen, nor what Ray's event loop adds: see the part `driver` of `scale.py`.
"""

import heapq
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from orchestration import IMAGES_PER_EPOCH
from rich.console import Console

from sweeps.design.plan import Plan
from sweeps.design.tuning import ETA
from sweeps.engine.callbacks import StageCallback
from sweeps.engine.interruption import Interruption
from sweeps.engine.machines.error_watch import ErrorWatch
from sweeps.engine.machines.resources import Slots
from sweeps.engine.machines.room_watch import RoomWatch
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.records.retention import CheckpointKeeper
from sweeps.engine.search.asha import ImagesSeenASHA, Rungs, milestones
from sweeps.engine.search.optuna_study import open_study
from sweeps.engine.search.searchers import StudySearch
from sweeps.engine.watching.audience import Audience
from sweeps.koleo_accum import DESIGN
from sweeps.results.buffer import Buffer
from sweeps.results.schema import CURVES
from sweeps.results.store import Store
from sweeps.results.sweep_log import SweepLog
from trainables.checkpoint_store import CheckpointStore

EPOCHS, EPOCH_S, LATE_S = 500, 10.0, 0.5
"""Of a trial; seconds of each; an epoch that is answered later than that is delayed."""


@dataclass
class PlayedTrial:
    """As much of Ray's trial as the driver looks at."""

    trial_id: str
    config: dict[str, Any]
    level: float
    """Where its curve goes."""
    epoch: int = 0
    status: str = "RUNNING"
    last_result: dict[str, Any] = field(default_factory=dict)
    placement_group_factory: None = None

    def next_row(self) -> dict[str, Any]:
        """A row with every column of a curve, and what Tune adds."""
        self.epoch += 1
        value = self.level * (1 - math.exp(-self.epoch / 50))
        row = {column.name: _filled(column.type, value, self.epoch) for column in CURVES}
        done = self.epoch >= EPOCHS
        about = {"images_seen": IMAGES_PER_EPOCH * self.epoch, "elapsed_s": EPOCH_S * self.epoch, "done": done}
        about |= {"val_triplet_pairs": 50, "hostname": "played"}
        self.last_result = {**row, **about, "end_reason": "completed" if done else None, "config": dict(self.config)}
        return self.last_result


def _filled(type_: pa.DataType, value: float, number: int) -> float | int | bool | str:
    if pa.types.is_boolean(type_):
        return True
    if pa.types.is_string(type_):
        return "played"
    return number if pa.types.is_integer(type_) else value


@dataclass
class Clock:
    """Simulated seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        """For what asks for the time."""
        return self.now


@dataclass
class Played:
    """What a stretch of a search has cost."""

    simulated_s: float = 0.0
    cpu_s: float = 0.0
    of: Counter[str] = field(default_factory=Counter)
    """Processor seconds by what they went into."""
    started_cpu_s: float = 0.0
    """For the first trials, before the stretch begins."""
    rows: int = 0
    ended: int = 0
    delayed: int = 0
    worst_s: float = 0.0
    files: int = 0
    sync_s: float = 0.0
    """That an `os.fsync` takes."""


class Driver:
    """The objects of a search in a folder, and its trials."""

    def __init__(self, folder: Path, trials: int) -> None:
        """Args: trials: that the plan has."""
        self.clock, self.trials, self.draw = Clock(), {}, np.random.default_rng(0)  # type: ignore[var-annotated]
        self.trials: dict[str, PlayedTrial]
        plan = Plan.of(DESIGN, {"samples": trials, "epochs": EPOCHS})
        self.store, quiet = Store.create(folder), Console(quiet=True)
        study = open_study(folder / "optuna.db", seed=0, first_trials=())
        label = {"study_id": "played", "stage": "search", "block": 0, "checkpoint_dir": str(folder / "checkpoints")}
        marks = milestones(IMAGES_PER_EPOCH, EPOCHS)
        rungs = Rungs(marks, ETA)
        self.searcher = StudySearch(
            plan.design, study, outcome=plan.outcome, base=plan.search_base, rungs=marks, label=label, attempts={},
            finished=(),
        )  # fmt: skip
        checkpoints = CheckpointStore.ready(str(folder / "checkpoints"))
        recorder = Recorder(
            Buffer(self.store, clock=self.clock), Provenance.here(), checkpoints, rungs=rungs, constants={}
        )
        self.scheduler = ImagesSeenASHA(rungs, recorder.decision, metric=plan.outcome.validation)
        self.callback = StageCallback(
            recorder,
            searcher=self.searcher,
            checkpoint_keeper=CheckpointKeeper(folder, "search", checkpoints, measure=plan.outcome.final),
            audience=Audience({}, quiet, SweepLog()),
            interruption=Interruption(),
            errors=ErrorWatch(),
            room=RoomWatch(quiet, deadline_s=0.0),
            slots=Slots(1, 0),
        )

    def begin(self, name: str) -> PlayedTrial:
        """The next trial."""
        config = self.searcher.suggest(name)
        assert config is not None
        trial = PlayedTrial(name, config, float(self.draw.uniform(0.7, 0.95)))
        self.trials[name] = trial
        self.callback.on_trial_start(0, [], trial)  # type: ignore[arg-type]
        return trial

    def hear(self, trial: PlayedTrial, took: Counter[str]) -> bool:
        """Do what Tune does with a row, in its order; whether the trial goes on."""
        one: Any = trial
        row = trial.next_row()
        stop = row["done"] or timed(took, "ASHA", lambda: self.scheduler.on_trial_result(None, one, row)) == "STOP"
        if not stop:
            timed(took, "told to the study", lambda: self.searcher.on_trial_result(trial.trial_id, row))
        timed(took, "row kept", lambda: self.callback.on_trial_result(0, [], one, row))
        if stop:
            timed(took, "end", lambda: self.callback.on_trial_complete(0, [], one))
            del self.trials[trial.trial_id]
        timed(took, "written when due", lambda: self.callback.on_step_end(0, list(self.trials.values())))  # type: ignore[arg-type]
        return not stop


def timed(took: Counter[str], what: str, act: Callable[[], Any]) -> Any:
    """Do it and note its processor time."""
    before = time.process_time()
    result = act()
    took[what] += time.process_time() - before  # type: ignore[assignment]
    return result


def play(folder: Path, *, at_once: int, seconds: float, known: int) -> Played:
    """Begin `at_once` trials, as far on as trials of a long search are, and play `seconds` of it.

    Args:
        folder: of the sweep, made.
        at_once: trials that run at any time.
        seconds: simulated.
        known: trials that have ended before, all at their first row.
    """
    driver = Driver(folder, 10 * at_once + known)
    played = Played(simulated_s=seconds, sync_s=sync_seconds(folder))
    for number in range(known):
        trial = driver.begin(f"known{number}")
        trial.epoch = EPOCHS - 1
        driver.hear(trial, Counter())
    before = time.process_time()
    for number in range(at_once):
        driver.begin(f"trial{number}").epoch = int(driver.draw.integers(EPOCHS - 1))
    played.started_cpu_s = time.process_time() - before
    arrivals = [(driver.draw.uniform(0, EPOCH_S), name) for name in driver.trials]
    heapq.heapify(arrivals)
    before, number, synced = time.process_time(), at_once, []
    real = os.fsync
    os.fsync = lambda descriptor: (synced.append(descriptor), real(descriptor))[1]  # type: ignore[func-returns-value]
    try:
        while arrivals[0][0] < seconds:
            sent, name = heapq.heappop(arrivals)
            driver.clock.now = max(driver.clock.now, sent)
            began = time.process_time() + played.sync_s * len(synced)
            if not driver.hear(driver.trials[name], played.of):
                played.ended += 1
                name, number = f"trial{number}", number + 1
                timed(played.of, "suggestion", lambda name=name: driver.begin(name))  # type: ignore[misc]
            driver.clock.now += time.process_time() + played.sync_s * len(synced) - began
            waited = driver.clock.now - sent
            played.rows, played.delayed = played.rows + 1, played.delayed + (waited > LATE_S)
            played.worst_s = max(played.worst_s, waited)
            heapq.heappush(arrivals, (driver.clock.now + EPOCH_S * driver.draw.uniform(0.9, 1.1), name))
    finally:
        os.fsync = real
    played.cpu_s = time.process_time() - before
    played.files = sum(1 for _ in (folder / "v1").rglob("*.parquet"))
    return played


def sync_seconds(folder: Path) -> float:
    """What an `os.fsync` of a small file takes in this folder."""
    took, file = [], folder / "probe"
    for _ in range(100):
        with file.open("wb") as stream:
            stream.write(b"x" * 20_000)
            stream.flush()
            began = time.perf_counter()
            os.fsync(stream.fileno())
            took.append(time.perf_counter() - began)
    file.unlink()
    return float(np.quantile(took, 0.25))
