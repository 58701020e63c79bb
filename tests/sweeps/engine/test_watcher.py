"""A watcher sees each row, and whatever it does, no run ends for it."""

import io

from rich.console import Console

from embedding_core.storage.result_tables import Row
from sweeps.engine.watcher import Watcher
from trainables.run_label import RunLabel

LABEL = RunLabel(
    study_id="s", stage="confirm", cell_id="koleo=on", trial_id="t00003", block=1, origin="sampled", attempt=1,
    checkpoint_dir="checkpoints",
)  # fmt: skip
ROW = {"epoch": 1, "val_auc": 0.9, "trial_id": "tune's own", "done": False}


def test_rows_say_whose_they_are_and_hold_the_columns_of_the_curves() -> None:
    seen: list[Row] = []
    watcher = Watcher(seen.append, Console(file=io.StringIO()))
    watcher.on_result(LABEL, ROW)
    watcher.on_result(LABEL, {"end_reason": "oom"})  # of no epoch
    assert seen == [
        {"stage": "confirm", "trial_id": "t00003", "cell_id": "koleo=on", "epoch": 1, "val_auc": 0.9},
    ]


def test_one_that_raises_is_told_of_once_and_not_called_again() -> None:
    calls: list[Row] = []

    def broken(row: Row) -> None:
        calls.append(row)
        raise KeyError("no such column")

    told = io.StringIO()
    watcher = Watcher(broken, Console(file=told))
    for _ in range(3):
        watcher.on_result(LABEL, ROW)
    assert len(calls) == 1
    assert told.getvalue().count("It is not called again; the sweep goes on.") == 1
    assert "KeyError" in told.getvalue()
