"""The lines of a sweep without a terminal: what they count, and that they come where nothing happens."""

import io
import time
from collections import Counter

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from sweeps.engine.watching.progress import Progress
from trainables.run_label import RunLabel

LABEL = RunLabel(
    study_id="s", stage="search", cell_id="c", trial_id="t00002", block=0, origin="sampled", attempt=1,
    checkpoint_dir="checkpoints",
)  # fmt: skip


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def shown(clock: list[float], written: io.StringIO) -> Progress:
    console = Console(file=written)
    return Progress(
        "search", planned=8, images_per_trial=100, ended=Counter(completed=2), measure="val_auc", console=console
    )


def trials(*statuses: str) -> list[Trial]:
    made = [Trial("stub", stub=True) for _ in statuses]
    for trial, status in zip(made, statuses, strict=True):
        trial.set_status(status)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as the display sees them."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("planned", "trials"), [(8, "8 trials"), (1, "1 trial")])
def test_a_stage_begins_with_what_it_is_for(written: io.StringIO, planned: int, trials: str) -> None:
    console = Console(file=written)
    Progress(
        "search", planned=planned, images_per_trial=100, ended=Counter(), measure="val_auc", console=console
    ).start()
    assert written.getvalue() == f"search: try settings, and stop those that fall behind ({trials})\n"


def test_without_a_node_a_line_says_who_waits(clock: list[float], shown: Progress, written: io.StringIO) -> None:
    """Trials whose node died are pending again for Tune; nobody sends results or ends."""
    shown.on_result(LABEL, {"images_seen": 50, "val_auc": 0.5})
    shown.refresh(trials("PENDING"))
    assert written.getvalue() == ""  # not at every step
    clock[0] = 60.0
    shown.refresh(trials("TERMINATED", "RUNNING", "RUNNING", "PENDING", "PENDING", "PENDING"))
    clock[0] = 120.0
    shown.refresh(trials("TERMINATED", "PENDING"))
    some, none = written.getvalue().splitlines()
    assert "2/8 ended (2 completed), 2 running, 3 waiting to start;" in some
    assert some.endswith("best val_auc 0.5000; images/s 1; time left at most 11 min")  # 550 images, 50 in a minute
    assert "0 running, 1 waiting to start;" in none
    assert "time left" not in none  # who knows when a node comes


def test_however_many_trials_end_there_is_a_line_a_minute(
    clock: list[float], shown: Progress, written: io.StringIO
) -> None:
    for number in range(5):
        clock[0] = 20.0 * number
        shown.on_stored({"trial_id": f"t{number:05d}", "end_reason": "diverged"})
        shown.refresh(trials("TERMINATED", "RUNNING"))
    (line,) = written.getvalue().splitlines()
    assert "6/8 ended (2 completed, 4 diverged), 1 running" in line
    assert "best" not in line  # no row of a trial has come
    shown.stop(trials("TERMINATED"))
    assert "7/8 ended (2 completed, 5 diverged), 0 running" in written.getvalue().splitlines()[-1]
