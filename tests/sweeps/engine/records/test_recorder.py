"""What the driver stores of a trial that has ended, without Ray."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from embedding_core.config.train_config import MEASURES, TrainConfig
from embedding_core.storage import result_tables
from sweeps.engine.records import endings, handover
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.records.trial_row import LiveTrial
from sweeps.engine.search.asha import Decision, ImagesSeenASHA, Rungs
from sweeps.results.buffer import Buffer
from sweeps.results.schema import TABLES
from sweeps.results.store import Store, read
from trainables.checkpoint_store import DAMAGED, CheckpointStore
from trainables.run_label import RunLabel, to_flat

ROW = {"epoch": 1, "update": 3, "images_seen": 288, "elapsed_s": 1.0, "val_auc": 0.9, "end_reason": "completed"}
ROW |= {"val_recall_at_1": 0.7, "val_map_at_r": 0.4, "val_knn_accuracy": 0.8}
ROW |= {"val_triplet_auc": 0.85, "val_triplet_auc_se": 0.01, "val_triplet_pairs": 50}
HELD_OUT = {name: 0.5 + 0.01 * i for i, name in enumerate(TABLES["trials"].names)
            if name.startswith(("test_", "unseen_")) and name not in ("test_sha256", "unseen_classes")}  # fmt: skip
ROW |= HELD_OUT | {"classes_tested": "class-disjoint: 100 test images of 40 classes of their own"}
ROW |= {"views_failed": "umap (test): OSError: no room", "machine_image": "ami-0123"}
EVALUATIONS = [{"checkpoint": "final", "split": "test", "metric": "auc", "value": 0.8}]


@pytest.fixture
def completed(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`completed(eval_test)` -> row of `trials` of a run whose last row has just come."""
    store = Store.create(tmp_path / "sweep")

    def end(eval_test: bool = True) -> dict[str, Any]:
        label = RunLabel(
            study_id="s", stage="confirm", cell_id="c", trial_id="t00000", block=1, origin="drop-in", attempt=1,
            checkpoint_dir=str(tmp_path / "checkpoints"), replicate=2,
        )  # fmt: skip
        config = to_flat(TrainConfig(eval_test=eval_test), label)
        trial: Any = SimpleNamespace(trial_id="r", config=config, last_result=ROW, placement_group_factory=None)
        provenance = Provenance(git_sha=None, git_dirty=None, versions="{}", argv="")
        checkpoint_store = CheckpointStore.at(label.checkpoint_dir)
        recorder = Recorder(
            Buffer(store), provenance, checkpoint_store, rungs=None, constants={"tuned_by": "val_map_at_r"}
        )
        recorder.begin(trial)
        recorder.result(trial, ROW)
        row = recorder.finish(trial, endings.of_last_row(ROW))
        assert row is not None
        [stored] = read(tmp_path / "sweep", "trials").to_pylist()
        assert stored["end_reason"] == row["end_reason"]
        return stored

    return end


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Folder in which a completed run has left its checkpoint and its hand-over file."""
    CheckpointStore.ready(str(tmp_path / "checkpoints"))
    folder = tmp_path / "checkpoints" / "confirm"
    folder.mkdir()
    (folder / "t00000.pt").write_bytes(b"weights")
    result_tables.write(folder / "t00000.held_out", {"evaluations": EVALUATIONS})
    return folder


def test_rows_trained_again_count_once_and_the_later_ones_alone() -> None:
    """A process took the trial over from a checkpoint before the third epoch, and did not get as far as the first."""
    label: Any = None
    live = LiveTrial(TrainConfig(), label)
    for epoch, auc in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.9)):
        live.hear({"epoch": epoch, "val_auc": auc})
    assert (live.last_row["epoch"], live.best_epoch, live.best_val_auc) == (4, 4, 0.9)
    for epoch, auc in ((1, 0.5), (2, 0.7), (3, 0.65)):
        live.hear({"epoch": epoch, "val_auc": auc})
    assert (live.last_row["epoch"], live.best_epoch, live.best_val_auc) == (3, 2, 0.7)
    gave_up = {"end_reason": "preempted", "val_auc": math.nan}
    live.hear(gave_up)
    assert (live.last, live.last_row["epoch"], live.best_epoch) == (gave_up, 3, 2)


def test_the_best_epoch_is_the_first_of_the_highest_finite_value() -> None:
    label: Any = None
    live = LiveTrial(TrainConfig(), label)
    for epoch, auc in enumerate((math.nan, 0.5, 0.8, 0.8, math.nan), 1):
        live.hear({"epoch": epoch, "val_auc": auc})
    assert (live.last_row["epoch"], live.best_epoch, live.best_val_auc) == (5, 3, 0.8)


def test_what_was_handed_over_is_stored_and_then_deleted(
    completed: Callable[..., dict[str, Any]], left: Path, tmp_path: Path
) -> None:
    assert completed()["end_reason"] == "completed"
    stored = read(tmp_path / "sweep", "evaluations").to_pylist()
    assert [row["value"] for row in stored if row["split"] == "test"] == [0.8]
    assert [file.name for file in left.iterdir()] == ["t00000.pt"]


def test_the_last_value_of_every_measure_one_may_tune_by_stands_in_the_row_of_the_trial(
    completed: Callable[..., dict[str, Any]], left: Path, tmp_path: Path
) -> None:
    stored = completed()
    assert {name: stored[f"final_{name}"] for name in MEASURES} == {name: ROW[name] for name in MEASURES}
    assert (stored["replicate"], stored["tuned_by"], stored["best_val_auc"]) == (2, "val_map_at_r", 0.9)
    evaluations = read(tmp_path / "sweep", "evaluations").to_pylist()
    of_val = {row["metric"]: (row["value"], row["k"], row["se"], row["n_pairs"]) for row in evaluations
              if row["split"] == "val"}  # fmt: skip
    assert of_val == {
        "auc": (0.9, None, None, None),
        "recall": (0.7, 1, None, None),
        "map_at_r": (0.4, None, None, None),
        "knn_accuracy": (0.8, None, None, None),
        "triplet_auc": (0.85, None, 0.01, 50),
    }


def test_results_on_held_out_images_stand_in_the_row_of_the_trial(
    completed: Callable[..., dict[str, Any]], left: Path
) -> None:
    assert set(HELD_OUT) >= {"test_auc", "test_recall_at_1", "test_accuracy", "unseen_knn_accuracy"}
    stored = completed()
    assert {name: stored[name] for name in HELD_OUT} == HELD_OUT
    for name in ("classes_tested", "views_failed", "machine_image"):
        assert stored[name] == ROW[name]


@pytest.mark.parametrize("damage", ["byte", "cut", "gone", "all gone"])
def test_a_run_whose_held_out_results_are_lost_is_computed_again(
    completed: Callable[..., dict[str, Any]], left: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its complete checkpoint would send the same rows for ever, or it would count as complete without them."""
    monkeypatch.setattr(handover, "SEEN_AFTER_S", 0.0)
    file = left / "t00000.held_out"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "all gone":
        (left / "t00000.pt").unlink()
    if damage in ("gone", "all gone"):
        file.unlink()
    else:
        file.write_bytes(content if damage == "byte" else content[: len(content) // 2])
    row = completed()
    assert row["end_reason"] == "preempted"
    assert "held-out" in row["error_type"]
    assert {file.suffix for file in left.iterdir()} <= {DAMAGED}


def test_a_run_that_hands_nothing_over_needs_no_file(completed: Callable[..., dict[str, Any]], left: Path) -> None:
    (left / "t00000.held_out").unlink()
    assert completed(eval_test=False)["end_reason"] == "completed"


def test_each_end_has_a_file_of_its_own(tmp_path: Path) -> None:
    """A damaged file of `trials` costs one trial, as `Store.tidy` says; epochs of both may share a file."""
    store = Store.create(tmp_path / "sweep")
    provenance = Provenance(git_sha=None, git_dirty=None, versions="{}", argv="")
    checkpoint_store = CheckpointStore.at(str(tmp_path / "checkpoints"))
    recorder = Recorder(Buffer(store), provenance, checkpoint_store, rungs=None, constants={})
    trials: list[Any] = []
    for name in ("t00000", "t00001"):
        label = RunLabel(
            study_id="s", stage="search", cell_id="c", trial_id=name, block=0, origin="sampled", attempt=1,
            checkpoint_dir=str(tmp_path / "checkpoints"),
        )  # fmt: skip
        config = to_flat(TrainConfig(), label)
        trials.append(SimpleNamespace(trial_id=name, config=config, last_result=ROW, placement_group_factory=None))
    for trial in trials:
        recorder.begin(trial)
        recorder.result(trial, ROW)
    for trial in trials:
        recorder.finish(trial, endings.of_last_row(ROW))
    recorder.flush()
    files = sorted((tmp_path / "sweep" / "v1" / "trials").rglob("*.parquet"))
    assert [pq.read_table(file, partitioning=None)["trial_id"].to_pylist() for file in files] == [
        ["t00000"],
        ["t00001"],
    ]


def test_a_decision_is_on_the_disk_before_the_scheduler_gives_it_to_tune(tmp_path: Path) -> None:
    """And so before the trial goes on or the study is told: see `test_private_api` for whom Tune asks first."""
    store = Store.create(tmp_path / "sweep")
    rungs = Rungs([288], 2, replay=[Decision("t00001", 288, 0.95, None, False)])
    provenance = Provenance(git_sha=None, git_dirty=None, versions="{}", argv="")
    checkpoint_store = CheckpointStore.at(str(tmp_path / "checkpoints"))
    recorder = Recorder(Buffer(store), provenance, checkpoint_store, rungs=rungs, constants={})
    label = RunLabel(
        study_id="s", stage="search", cell_id="c", trial_id="t00000", block=0, origin="sampled", attempt=3,
        checkpoint_dir=str(tmp_path / "checkpoints"),
    )  # fmt: skip
    trial: Any = SimpleNamespace(trial_id="r", config=to_flat(TrainConfig(), label))
    seen: list[list[dict[str, Any]]] = []

    def decided(trial: Any, decision: Decision) -> bool:
        stored = recorder.decision(trial, decision)
        seen.append(read(tmp_path / "sweep", "rungs").to_pylist())
        return stored

    recorder.begin(trial)
    assert ImagesSeenASHA(rungs, decided, metric="val_auc").on_trial_result(None, trial, ROW) == "STOP"
    [[row]] = seen
    assert (row["trial_id"], row["attempt"], row["decision"], row["cutoff"]) == ("t00000", 3, "stop", 0.95)
