"""Which checkpoints of the search stay: the best of each cell, whatever the order of the endings."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from embedding_core.config.train_config import TrainConfig
from embedding_core.train import train
from embedding_core.training import checkpoint
from sweeps.engine.records.retention import CheckpointKeeper, keep_best
from sweeps.results.store import Store
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import RunLabel

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
    ids = {"trial_id": trial_id, "attempt": 1, "cell_id": cell_id, "replicate": 1}
    return {**ids, "end_reason": end_reason, "final_val_auc": value}


def kept(folder: Path, stage: str = "search") -> set[str]:
    return {path.stem for path in (folder / "checkpoints" / stage).iterdir()}


def keeper_of(folder: Path, stage: str = "search") -> CheckpointKeeper:
    return CheckpointKeeper(folder, stage, CheckpointStore.ready(str(folder / "checkpoints")), measure="final_val_auc")


def leave(folder: Path, run: RunLabel) -> None:
    file = folder / "checkpoints" / run.checkpoint
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def end(keeper: CheckpointKeeper, folder: Path, trial: tuple[str, str, str, float | None]) -> None:
    run = label(folder, *trial[:2])
    leave(folder, run)
    keeper.on_stored(row(*trial))


@pytest.mark.slow
def test_the_best_of_each_cell_stays_in_any_order(tmp_path: Path) -> None:
    Store.create(tmp_path)
    for order in permutations(ENDINGS):
        keeper = keeper_of(tmp_path)
        for trial in order:
            end(keeper, tmp_path, trial)
        assert kept(tmp_path) == {"t00000", "t00002"}, order


@pytest.mark.parametrize("first", range(len(ENDINGS)))
def test_the_best_of_each_cell_stays_over_a_restart(tmp_path: Path, first: int) -> None:
    store = Store.create(tmp_path)
    for trial in ENDINGS[first:] + ENDINGS[:first]:
        end(keeper_of(tmp_path), tmp_path, trial)  # a driver per trial
        store.write("trials", "search", trial[0], 1, [row(*trial)])
    assert kept(tmp_path) == {"t00000", "t00002"}


def test_confirmation_keeps_its_own(tmp_path: Path) -> None:
    Store.create(tmp_path)
    keeper = keeper_of(tmp_path, "confirm")
    for i, (trial_id, cell_id, end_reason, value) in enumerate(ENDINGS):
        run = label(tmp_path, trial_id, cell_id, "confirm")
        leave(tmp_path, run)
        keeper.on_stored(row(trial_id, cell_id, end_reason, value))
        assert len(kept(tmp_path, "confirm")) == i + 1


@pytest.mark.parametrize("end_reason", ["error", "preempted"])
def test_a_trial_that_a_resume_runs_again_keeps_what_it_goes_on_from(tmp_path: Path, end_reason: str) -> None:
    Store.create(tmp_path)
    end(keeper_of(tmp_path), tmp_path, ("t00009", "koleo=on", end_reason, None))
    assert kept(tmp_path) == {"t00009"}


def test_the_best_model_stays_when_its_checkpoint_or_that_of_a_better_one_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, checkpoint_store = Store.create(tmp_path), CheckpointStore.ready(str(tmp_path / "checkpoints"))
    config = TrainConfig(subset=96, batch_size=32, epochs=1, embedding_dim=16)
    file = tmp_path / "checkpoints" / "search" / "t00000.pt"
    list(train(config, save_to=file))

    def completed(trial_id: str, value: float, given: TrainConfig) -> None:
        ended = row(trial_id, "c", "completed", value) | {"config_json": given.to_json()}
        store.write("trials", "search", trial_id, 1, [ended])

    keep_best(tmp_path, checkpoint_store, measure="final_val_auc")
    completed("t00000", 0.8, config)
    keep_best(tmp_path, checkpoint_store, measure="final_val_auc")
    kept_before = (tmp_path / "best" / "model.pt").read_bytes()
    assert checkpoint.model_config(checkpoint.read(tmp_path / "best" / "model.pt")) == config
    file.unlink()
    keep_best(tmp_path, checkpoint_store, measure="final_val_auc")
    assert not caplog.messages
    completed("t00001", 0.9, TrainConfig())
    keep_best(tmp_path, checkpoint_store, measure="final_val_auc")
    assert "t00001.pt is gone" in caplog.messages[-1]
    (file.parent / "t00001.pt").write_bytes(kept_before[:100])
    keep_best(tmp_path, checkpoint_store, measure="final_val_auc")
    assert "t00001.pt is damaged" in caplog.messages[-1]
    assert (tmp_path / "best" / "model.pt").read_bytes() == kept_before
    assert (tmp_path / "best" / "config.json").read_text() == config.to_json() + "\n"
