"""The lines of a sweep without a terminal: what they count, and that they come where nothing happens."""

import io
from collections import Counter

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from sweeps.engine.watching import progress
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
def shown(written: io.StringIO) -> Progress:
    console = Console(file=written)
    return Progress(
        "search", planned=8, images_per_trial=100, ended=Counter(completed=2), measure="val_auc", console=console
    )


def trials(*statuses: str) -> list[Trial]:
    made = [Trial("stub", stub=True) for _ in statuses]
    for trial, status in zip(made, statuses, strict=True):
        trial.set_status(status)
    return made


def test_without_a_node_a_line_says_who_waits(
    shown: Progress, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials whose node died are pending again for Tune; nobody sends results or ends."""
    shown.on_result(LABEL, {"images_seen": 50, "val_auc": 0.5})
    shown.refresh(trials("PENDING"))
    assert written.getvalue() == ""  # not at every step
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    shown.refresh(trials("TERMINATED", "RUNNING", "RUNNING", "PENDING", "PENDING", "PENDING"))
    shown.refresh(trials("TERMINATED", "PENDING"))
    some, none = written.getvalue().splitlines()
    assert "2/8 ended (2 completed), 2 running, 3 waiting for room;" in some
    assert "0 running, 1 waiting for room;" in none
    assert "time left <=" in some
    assert none.endswith("time left -")  # who knows when a node comes


def test_an_ending_is_told_at_once_and_once(shown: Progress, written: io.StringIO) -> None:
    shown.on_stored({"trial_id": "t00000", "end_reason": "diverged"})
    shown.refresh(trials("TERMINATED", "RUNNING"))
    shown.refresh(trials("TERMINATED", "RUNNING"))
    (line,) = written.getvalue().splitlines()
    assert "3/8 ended (2 completed, 1 diverged), 1 running;" in line
