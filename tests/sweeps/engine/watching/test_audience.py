"""Whoever watches hears what happens, and whatever it does, no run ends for it."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from embedding_core.storage.result_tables import Row
from sweeps.engine.watching.audience import Audience
from sweeps.engine.watching.watcher import Watcher
from sweeps.results.sweep_log import FILE, SweepLog
from trainables.run_label import RunLabel

LABEL = RunLabel(
    study_id="s", stage="confirm", cell_id="koleo=on", trial_id="t00003", block=1, origin="sampled", attempt=1,
    checkpoint_dir="checkpoints",
)  # fmt: skip
ROW = {"epoch": 1, "val_auc": 0.9, "trial_id": "tune's own", "done": False}


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


def audience(told: io.StringIO, log: SweepLog, **watchers: Any) -> Audience:
    return Audience(watchers, Console(file=told), log)


def test_rows_say_whose_they_are_and_hold_the_columns_of_the_curves(told: io.StringIO) -> None:
    seen: list[Row] = []
    watching = audience(told, SweepLog(), rows=lambda: Watcher(seen.append))
    watching.hear("on_result", LABEL, ROW)
    watching.hear("on_result", LABEL, {"end_reason": "oom"})  # of no epoch
    watching.hear("on_stored", {})  # which it does not ask for
    assert seen == [{"stage": "confirm", "trial_id": "t00003", "cell_id": "koleo=on", "epoch": 1, "val_auc": 0.9}]


def test_one_that_raises_is_told_of_once_and_the_others_go_on(told: io.StringIO, tmp_path: Path) -> None:
    calls: list[str] = []

    class Broken:
        def refresh(self) -> float:
            calls.append("broken")
            return math.sqrt(-1)

    class Whole:
        def refresh(self) -> None:
            calls.append("whole")

    def absent() -> None:
        raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)")

    log = SweepLog()
    watching = audience(told, log, absent=absent, broken=Broken, whole=Whole)
    for _ in range(3):
        watching.hear("refresh")
    assert calls == ["broken", "whole", "whole", "whole"]
    assert told.getvalue().count("It is not called again; the sweep goes on.") == 2
    log.open(tmp_path)  # what failed before the sweep had a folder is noted as well
    first, second = (tmp_path / FILE).read_text().splitlines()
    assert "absent raised UnicodeEncodeError" in first
    assert "broken raised ValueError" in second


def test_notes_wait_for_room(tmp_path: Path) -> None:
    log = SweepLog()
    folder = tmp_path / "not there yet"
    log.open(folder)
    log.note("the first")
    folder.mkdir()
    log.note("the second \udcff")
    assert [line.split("UTC  ")[1] for line in (folder / FILE).read_text().splitlines()] == [
        "the first",
        "the second \\udcff",
    ]
