"""The status of a sweep read from its folder by another process, on rows made up here."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from sweeps.commands import status
from sweeps.commands.status import parse_prices
from sweeps.commands.sweep_status import status_of
from sweeps.results.store import Store

PLAN = {
    "stages": ["search", "tune", "confirm"], "samples": 6, "points": 4,
    "cells": [{"role": "factorial", "blocks": 8}, {"role": "factorial", "blocks": 8}, {"role": "control", "blocks": 4}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four search trials have ended, one of them runs again, and another is at work."""
    folder = tmp_path / "s"
    store = Store.create(folder)
    (folder / "plan.json").write_text(json.dumps(PLAN))
    ended = {"t00000": ("completed", 10, 0.7), "t00001": ("asha_stopped", 5, 0.5), "t00002": ("completed", 10, 0.8)}
    for trial_id, (reason, last, auc) in {**ended, "t00003": ("error", 1, None)}.items():
        _curve(store, trial_id, 1, last)
        store.write("trials", "search", trial_id, 1, [_final(reason, last, auc)])
    _curve(store, "t00003", 2, 3)
    _curve(store, "t00004", 1, 7)
    return folder


def _curve(store: Store, trial_id: str, attempt: int, epochs: int) -> None:
    for epoch in range(1, epochs + 1):
        store.write("curves", "search", trial_id, attempt, [{"epoch": epoch, "elapsed_s": 2.0 * epoch}])


def _final(reason: str, last: int, auc: float | None) -> dict[str, Any]:
    config = {**TrainConfig(epochs=10).to_flat(), "cell_id": "koleo=off", "cpu_threads": 1, "gpu_share": 0.0}
    now = datetime.now(UTC)
    return {
        **config,
        "hostname": "h",
        "started_at": now,
        "ended_at": now,
        "end_reason": reason,
        "last_epoch": last,
        "wall_s": 2.0 * last,
        "final_val_auc": auc,
    }


def test_what_is_planned_ended_running_best_and_left(folder: Path) -> None:
    search, tune, confirm = status_of(folder, {}).stages
    assert [stage.planned for stage in (search, tune, confirm)] == [6, 8, 20]
    assert search.ended == {"completed": 2, "asha_stopped": 1}  # the error is being run again
    assert [(t.trial_id, t.attempt, t.epoch) for t in search.running] == [("t00003", 2, 3), ("t00004", 1, 7)]
    assert search.best == ("t00002", "koleo=off", 0.8)
    assert search.seconds_left == (3 * 20.0 - 6.0 - 14.0) / 2  # 20 s a whole trial, two at once
    assert (tune.ended, tune.running, tune.seconds_left) == ({}, [], None)


def test_nothing_is_written(folder: Path, tree: Any) -> None:
    before = tree(folder)
    status_of(folder, {})
    assert tree(folder) == before


def test_a_driver_is_alive_while_it_holds_the_lock(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not status_of(folder, {}).driver
    with FileLock(folder / ".lock"):
        assert status_of(folder, {}).driver
        assert status.main([str(folder)]) == 0
    assert "running t00004: epoch 7" in capsys.readouterr().out
    assert not status_of(folder, {}).driver  # the file may stay, the lock does not
    assert status.main([str(folder)]) == 0
    assert "interrupted t00004: epoch 7" in capsys.readouterr().out


def test_json_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stages"][0]["ended"] == {"completed": 2, "asha_stopped": 1}
    assert told["unit"] == "CPU-seconds"
    assert told["saving"] == {"stopped": 1, "saved_s": 10.0, "share": pytest.approx(10.0 / 62.0)}


def test_impossible_requests_are_faults(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Faults, match="does not exist"):
        status_of(tmp_path / "nowhere", {})
    with pytest.raises(Faults, match="Unknown node type `gpu_spot`"):
        status_of(folder, {"gpu_spot": 1.0})
    young = tmp_path / "young"
    Store.create(young)
    (young / "plan.json").write_text(json.dumps(PLAN))
    assert status_of(young, {"gpu_spot": 1.0}).nodes == []  # it may still come
    with pytest.raises(Faults) as error:
        parse_prices(["a=1", "b", "c=x", "=2", "d=-1", "e=inf"])
    assert len(error.value.faults) == 5
    (folder / "plan.json").write_text("[]")
    with pytest.raises(Faults, match="not a readable plan"):
        status_of(folder, {})
