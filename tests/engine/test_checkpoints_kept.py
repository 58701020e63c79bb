"""Which checkpoints of the search stay: the best of each cell, whatever the order of the endings."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from sweeps.engine.keeper import CheckpointKeeper
from sweeps.results.store import Store
from trainables.label import RunLabel

ENDINGS = [
    ("t00000", "koleo=off", "completed", 0.9),
    ("t00001", "koleo=off", "completed", 0.9),  # a tie: the first trial's stays, as `best/` and confirm take it
    ("t00002", "koleo=on", "completed", 0.8),
    ("t00003", "koleo=on", "asha_stopped", 0.95),  # stopped: not a full run
    ("t00004", "koleo=on", "diverged", None),
]


def label(folder: Path, trial_id: str, cell_id: str, stage: str = "search") -> RunLabel:
    return RunLabel(
        study_id="s", stage=stage, cell_id=cell_id, trial_id=trial_id, block=0, origin="sampled", attempt=1,
        checkpoint_dir=str(folder / "checkpoints"),
    )  # fmt: skip


def row(trial_id: str, cell_id: str, end_reason: str, value: float | None) -> dict[str, Any]:
    return {"trial_id": trial_id, "attempt": 1, "cell_id": cell_id, "end_reason": end_reason, "final_val_auc": value}


def kept(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "checkpoints" / "search").iterdir()}


def end(keeper: CheckpointKeeper, folder: Path, trial: tuple[str, str, str, float | None]) -> None:
    run = label(folder, *trial[:2])
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    run.checkpoint.touch()
    keeper.on_end(run, row(*trial))


def test_the_best_of_each_cell_stays_in_any_order(tmp_path: Path) -> None:
    Store.create(tmp_path)
    for order in permutations(ENDINGS):
        keeper = CheckpointKeeper(tmp_path, "search")
        for trial in order:
            end(keeper, tmp_path, trial)
        assert kept(tmp_path) == {"t00000", "t00002"}, order


@pytest.mark.parametrize("first", range(len(ENDINGS)))
def test_the_best_of_each_cell_stays_over_a_restart(tmp_path: Path, first: int) -> None:
    store = Store.create(tmp_path)
    for trial in ENDINGS[first:] + ENDINGS[:first]:
        end(CheckpointKeeper(tmp_path, "search"), tmp_path, trial)  # a driver per trial
        store.write("trials", "search", trial[0], 1, [row(*trial)])
    assert kept(tmp_path) == {"t00000", "t00002"}


def test_confirmation_keeps_its_own(tmp_path: Path) -> None:
    Store.create(tmp_path)
    keeper = CheckpointKeeper(tmp_path, "search")
    for i, (trial_id, cell_id, end_reason, value) in enumerate(ENDINGS):
        run = label(tmp_path, trial_id, cell_id, "confirm")
        run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run.checkpoint.touch()
        keeper.on_end(run, row(trial_id, cell_id, end_reason, value))
        assert len(list(run.checkpoint.parent.iterdir())) == i + 1


def test_an_errored_trial_keeps_what_a_resume_goes_on_from(tmp_path: Path) -> None:
    Store.create(tmp_path)
    end(CheckpointKeeper(tmp_path, "search"), tmp_path, ("t00009", "koleo=on", "error", None))
    assert kept(tmp_path) == {"t00009"}
