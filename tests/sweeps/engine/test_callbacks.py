"""What happens in which order while Tune runs a stage: nobody hears of an ending that is not stored."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray
from ray.tune.experiment import Trial
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from sweeps.engine.callbacks import StageCallback
from sweeps.engine.interruption import Interrupted, Interruption
from sweeps.engine.machines.error_watch import ErrorWatch
from sweeps.engine.machines.resources import Slots
from sweeps.engine.machines.room_watch import RoomWatch
from sweeps.engine.records import trial_row
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.watching.audience import Audience
from sweeps.results.buffer import Buffer
from sweeps.results.store import Store, read
from sweeps.results.sweep_log import SweepLog
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import RunLabel, from_flat, to_flat

ROW = {"epoch": 1, "update": 3, "images_seen": 288, "elapsed_s": 1.0, "val_auc": 0.9, "end_reason": "completed",
       "val_triplet_auc_se": 0.01, "val_triplet_pairs": 50}  # fmt: skip


class Hears:
    """Stands for anyone who is told; notes who was told what, with the trials that were stored by then."""

    def __init__(self, name: str, heard: list[tuple[str, str, list[str]]], folder: Path) -> None:
        self._name, self._heard, self._folder = name, heard, folder

    def on_stored(self, row: dict[str, Any]) -> None:
        stored = read(self._folder, "trials").to_pylist()
        self._heard.append((self._name, row["end_reason"], [found["end_reason"] for found in stored]))

    def on_result(self, *arguments: Any) -> None:
        """What a row is told for is tested with who hears of it."""


@pytest.fixture
def trial(tmp_path: Path) -> Any:
    label = RunLabel(
        study_id="s", stage="search", cell_id="c", trial_id="t00000", block=0, origin="sampled", attempt=1,
        checkpoint_dir=str(tmp_path / "checkpoints"),
    )  # fmt: skip
    config = to_flat(TrainConfig(), label)
    return SimpleNamespace(
        trial_id="r", config=config, last_result=ROW, placement_group_factory=None, pickled_error_file=None
    )


@pytest.fixture
def heard() -> list[tuple[str, str, list[str]]]:
    return []


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


@pytest.fixture
def callback(tmp_path: Path, heard: list[tuple[str, str, list[str]]], interruption: Interruption) -> StageCallback:
    folder = tmp_path / "sweep"
    provenance = Provenance(git_sha=None, git_dirty=None, versions="{}", argv="")
    checkpoint_store = CheckpointStore.at(str(tmp_path / "checkpoints"))
    recorder = Recorder(Buffer(Store.create(folder)), provenance, checkpoint_store, rungs=None, constants={})
    hearers: dict[str, Any] = {name: Hears(name, heard, folder) for name in ("searcher", "checkpoint_keeper")}
    watchers = {name: partial(Hears, name, heard, folder) for name in ("progress", "metrics")}
    return StageCallback(
        recorder,
        **hearers,
        audience=Audience(watchers, Console(quiet=True), SweepLog()),
        interruption=interruption,
        errors=ErrorWatch(),
        room=RoomWatch(Console(), deadline_s=0.0),
        slots=Slots(1, 0),
    )


def complete(callback: StageCallback, trial: Any) -> None:
    callback.on_trial_complete(0, [], trial)


def fail(callback: StageCallback, trial: Any) -> None:
    callback.on_trial_error(0, [], trial)


@pytest.mark.parametrize(("end", "reason"), [(complete, "completed"), (fail, "preempted")])
def test_an_ending_is_stored_and_then_told_to_each_in_order(
    callback: StageCallback,
    trial: Any,
    heard: list[tuple[str, str, list[str]]],
    end: Callable[[StageCallback, Any], None],
    reason: str,
) -> None:
    callback.on_trial_start(0, [], trial)
    callback.on_trial_result(0, [], trial, ROW)
    assert not heard
    end(callback, trial)
    names = ("searcher", "checkpoint_keeper", "progress", "metrics")
    assert heard == [(name, reason, [reason]) for name in names]
    assert callback.ended == 1


def test_of_an_ending_that_cannot_be_stored_nobody_hears(
    callback: StageCallback, trial: Any, heard: list[tuple[str, str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume runs the trial again; whoever had heard of it would count it twice, or keep the wrong checkpoint."""

    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Buffer, "flush", full)
    monkeypatch.setattr("sweeps.engine.records.recorder.patiently", lambda act, **_: act())
    callback.on_trial_result(0, [], trial, ROW)
    callback.on_trial_complete(0, [], trial)
    assert not heard
    assert callback.ended == 0


def test_a_sweep_that_is_to_end_ends_the_processes_of_its_trials_and_leaves_the_loop(
    callback: StageCallback, interruption: Interruption, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune would wait ten seconds for their epochs, all that a stop may take; with Ray: `test_interruptions.py`."""
    ended: list[Any] = []
    monkeypatch.setattr(ray, "kill", ended.append)
    running, waiting = Trial("stub", stub=True), Trial("stub", stub=True)
    running.set_ray_actor(process := MagicMock())
    callback.on_step_end(0, [running, waiting])
    assert not ended
    interruption.asked = True
    with pytest.raises(Interrupted):
        callback.on_step_end(1, [running, waiting])
    assert ended == [process]


def test_a_trials_config_is_read_once(callback: StageCallback, trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read_configs = []

    def counted(flat: dict[str, Any]) -> tuple[TrainConfig, RunLabel]:
        read_configs.append(flat)
        return from_flat(flat)

    monkeypatch.setattr(trial_row, "from_flat", counted)
    for _ in range(2):  # its process died in between
        callback.on_trial_start(0, [], trial)
        for epoch in (1, 2):
            callback.on_trial_result(0, [], trial, {**ROW, "epoch": epoch})
    callback.on_trial_complete(0, [], trial)
    assert len(read_configs) == 1
