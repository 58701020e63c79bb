"""The wish to end a sweep is heard whatever the process is doing, and nobody else's handlers are lost by it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError

from embedding_core.config.train_config import TrainConfig
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.engine.interruption import SIGNALS, Interrupted, Interruption
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.search.optuna_study import open_study
from sweeps.engine.search.searchers import StudySearch
from sweeps.results.buffer import Buffer
from sweeps.results.store import Store
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import RunLabel, to_flat

ROW = {"epoch": 1, "update": 3, "images_seen": 288, "elapsed_s": 1.0, "val_auc": 0.9, "end_reason": "completed",
       "val_triplet_auc_se": 0.01, "val_triplet_pairs": 50}  # fmt: skip


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_outside_tunes_loop_a_signal_ends_what_is_under_way(number: int) -> None:
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:  # the tests may run under `nohup`
        signal.signal(number, before := signal.SIG_DFL)
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            send(number)
        assert interruption.asked
        assert not interruption.budget_spent
        with pytest.raises(KeyboardInterrupt):  # also where somebody has swallowed the first
            interruption.check()
    assert signal.getsignal(number) == before


def test_the_time_budget_is_such_a_wish_and_says_so() -> None:
    with Interruption(0.05) as interruption:
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10)
        assert interruption.budget_spent
    with Interruption(0.05) as interruption:
        pass
    time.sleep(0.1)  # the block was left in time: nothing comes any more
    assert not interruption.asked


def test_what_tune_takes_is_taken_back_after_its_loop() -> None:
    """Tune leaves handlers behind that set a flag at which nobody looks any more."""
    dead: list[int] = []
    tunes = signal.getsignal(signal.SIGUSR1)
    with Interruption() as interruption:
        with interruption.within_loop():
            for number in (*SIGNALS, signal.SIGUSR1):
                signal.signal(number, lambda number, frame: dead.append(number))
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR1) == tunes
    assert not dead


def test_in_tunes_loop_the_first_wish_is_kept_for_the_end_of_the_step_and_the_second_is_not() -> None:
    with Interruption() as interruption, interruption.within_loop():
        send(signal.SIGTERM)
        with pytest.raises(Interrupted):
            interruption.check_loop()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_a_hangup_that_was_ignored_at_the_start_stays_ignored() -> None:
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            send(signal.SIGHUP)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def within(seconds: float, act: Callable[[], Any]) -> Any:
    """What `act` returns, which a SIGTERM in a moment must bring to its end in time."""
    began = time.monotonic()
    threading.Timer(0.3, send, [signal.SIGTERM]).start()
    result = act()
    assert time.monotonic() - began < seconds
    return result


def test_a_wait_for_results_that_cannot_be_written_ends_with_a_signal(tmp_path: Path) -> None:
    """`ray job stop` kills after a minute; the results' disk is given ten."""
    folder = tmp_path / "sweep"
    buffer = Buffer(Store.create(folder))
    checkpoint_store = CheckpointStore.at(str(tmp_path / "checkpoints"))
    label = RunLabel(
        study_id="s", stage="search", cell_id="c", trial_id="t00000", block=0, origin="sampled", attempt=1,
        checkpoint_dir=str(tmp_path / "checkpoints"),
    )  # fmt: skip
    trial: Any = SimpleNamespace(
        trial_id="r", config=to_flat(TrainConfig(), label), last_result=ROW, placement_group_factory=None
    )
    with Interruption() as interruption, interruption.within_loop():
        recorder = Recorder(
            buffer,
            Provenance(git_sha=None, git_dirty=None, versions="{}", argv=""),
            checkpoint_store,
            rungs=None,
            constants={},
            pause=interruption.pause,
        )
        recorder.result(trial, ROW)
        folder.rename(tmp_path / "away")
        assert within(5, lambda: recorder.finish(trial, {"end_reason": "completed"})) is None
    assert len(buffer)  # nothing was taken for written


def test_a_wait_for_the_study_ends_with_a_signal(tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.of(tiny, {})
    study = open_study(tmp_path / "optuna.db", seed=0, first_trials=())

    def refused(*arguments: Any, **keywords: Any) -> None:
        raise StorageInternalError("disk I/O error")

    with Interruption() as interruption, interruption.within_loop():
        search = StudySearch(
            plan.design, study, outcome=plan.outcome, base=plan.search_base, rungs=(), label={}, attempts={},
            finished=(), pause=interruption.pause,
        )  # fmt: skip
        monkeypatch.setattr(study, "ask", refused)
        assert within(5, lambda: search.suggest("r")) is None
