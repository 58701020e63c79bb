"""The actor that serves trial after trial, against the training loop called directly."""

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.exceptions import ActorDiedError

from embedding_core.config.train_config import MEASURES, SAVE_EVERY_S, TrainConfig
from embedding_core.train import train
from embedding_core.training import checkpoint
from trainables import embedding
from trainables.checkpoint_store import CheckpointStore
from trainables.embedding import EmbeddingTrainable
from trainables.run_label import RunLabel, to_flat

pytestmark = pytest.mark.ray

TIMING = ("elapsed_s", "train_s")
Row = dict[str, Any]

FIRST = {"subset": 96, "batch_size": 32, "epochs": 2, "embedding_dim": 16}
SECOND = {**FIRST, "koleo": True, "koleo_weight": 0.1, "accum_steps": 2, "seed": 3, "epochs": 3, "eval_test": True}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture
def flat(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    CheckpointStore.ready(str(tmp_path / "checkpoints"))

    def build(trial_id: str, settings: dict[str, Any], **of_label: Any) -> dict[str, Any]:
        label = RunLabel(
            study_id="s", stage="search", cell_id="c", trial_id=trial_id, block=0, origin="sampled", attempt=1,
            checkpoint_dir=str(tmp_path / "checkpoints"), **of_label,
        )  # fmt: skip
        return to_flat(TrainConfig(**settings), label)

    return build


class OneThread:
    """An actor as Tune starts one, with one CPU."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.actor = ray.remote(num_cpus=1)(EmbeddingTrainable).remote(config)

    def epoch(self) -> Row:
        row: Row = ray.get(self.actor.train.remote())
        return row

    def run(self) -> list[Row]:
        rows = [self.epoch()]
        while not rows[-1]["done"]:
            rows.append(self.epoch())
        return rows

    def take(self, config: dict[str, Any]) -> None:
        assert ray.get(self.actor.reset.remote(config))


@pytest.fixture
def actor() -> Iterator[Callable[[dict[str, Any]], OneThread]]:
    started = []

    def start(config: dict[str, Any]) -> OneThread:
        started.append(OneThread(config))
        return started[-1]

    yield start
    for one in started:
        ray.kill(one.actor)


def direct(settings: dict[str, Any], threads: int) -> list[Row]:
    """Rows of the loop in this process, on as many threads as the actor had."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [dict(row) for row in train(TrainConfig(**settings))]
    finally:
        torch.set_num_threads(before)


def assert_same(rows: list[Row], expected: list[Row]) -> None:
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        names = [name for name in other if name not in TIMING]
        assert {name: row[name] for name in names} == {name: other[name] for name in names}


def test_a_reused_actor_gives_the_rows_of_the_loop(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]]
) -> None:
    one = actor(flat("t00000", FIRST))
    first = one.run()
    one.take(flat("t00001", SECOND))
    second = one.run()
    assert len({row["pid"] for row in first + second}) == 1
    assert {row["cpu_threads"] for row in first + second} == {1}
    assert_same(first, direct(FIRST, 1))
    assert_same(second, direct(SECOND, 1))
    assert second[-1]["end_reason"] == "completed"
    assert 0.5 < second[-1]["test_auc"] <= 1


def test_a_trial_taken_away_midway_leaves_no_trace_and_goes_on_elsewhere(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]]
) -> None:
    """What ASHA does to an actor, and what a resume does with a trial."""
    one = actor(flat("t00000", SECOND))
    begun = one.epoch()
    one.take(flat("t00001", FIRST))
    assert_same(one.run(), direct(FIRST, 1))
    one.take(flat("t00000", SECOND))
    resumed = one.run()
    assert_same(resumed, direct(SECOND, 1))
    # Sent again from the checkpoint, not computed again: the clock readings are those of the first time.
    assert [resumed[0][name] for name in TIMING] == [begun[name] for name in TIMING]


def test_a_trial_taken_away_between_checkpoints_is_trained_again_from_the_last(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """With the interval of a sweep, which so short a trial does not reach before its end."""
    one = actor(flat("t00000", SECOND, save_every_s=SAVE_EVERY_S))
    begun = [one.epoch(), one.epoch()]
    kept = tmp_path / "checkpoints" / "search" / "t00000.pt"
    assert not kept.exists()
    one.take(flat("t00000", SECOND, save_every_s=SAVE_EVERY_S))
    again, calm = one.run(), direct(SECOND, 1)
    assert_same(again, calm)
    assert_same(begun, calm[:2])
    assert again[0]["elapsed_s"] != begun[0]["elapsed_s"], "computed again"
    assert checkpoint.read(kept)["rows"][-1]["end_reason"] == "completed"


class MeetsAFullDisk(EmbeddingTrainable):
    """The system lets no file grow for as long as it takes to wait longer than an epoch may take."""

    waits = 0

    def _waited_for(self, act: Callable[[], Any]) -> Any:
        if self._rows is None and self.iteration == 1 and not self.waits:  # the second epoch's checkpoint
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        return super()._waited_for(act)

    def _pause(self, seconds: float) -> None:
        self.waits += 1
        super()._pause(seconds)
        if self.waits > self.config["epoch_deadline_s"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _start(self) -> Iterator[Row]:
        Path(self.config["checkpoint_dir"], f"start-{time.monotonic()}").touch()
        return super()._start()

    def step(self) -> Row:
        # How long the other epochs take is the machine's affair.
        self.config["epoch_deadline_s"] = 5.0 if self.iteration == 1 else 0.0
        return super().step() | {"waits": self.waits}


def test_a_full_disk_is_waited_for_where_it_is_met(flat: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """In the save, for longer than the deadline of an epoch; what was trained is not trained again."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    actor = ray.remote(num_cpus=1)(MeetsAFullDisk).remote(flat("t00000", SECOND))
    rows = [ray.get(actor.train.remote()) for _ in range(3)]
    ray.kill(actor)
    assert [row["waits"] for row in rows] == [0, 6, 6]
    assert_same(rows, direct(SECOND, 1))
    assert len(list((tmp_path / "checkpoints").glob("start-*"))) == 1


def test_a_diverged_trial_ends_with_its_row_and_the_next_is_unharmed(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]]
) -> None:
    one = actor(flat("t00000", {**FIRST, "lr": 1e30}))
    rows = one.run()
    assert (rows[-1]["end_reason"], rows[-1]["is_finite"]) == ("diverged", False)
    one.take(flat("t00001", FIRST))
    assert_same(one.run(), direct(FIRST, 1))


class MemoryRunsOut(EmbeddingTrainable):
    """Every other trial asks for more memory than there is after its first epoch."""

    def _start(self) -> Iterator[Row]:
        rows = super()._start()
        return self._too_much(rows) if self.config["trial_id"] == "t00000" else rows

    def _too_much(self, rows: Iterator[Row]) -> Iterator[Row]:
        yield next(rows)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")


def test_out_of_memory_is_an_ending_and_the_next_trial_is_unharmed(flat: Callable[..., dict[str, Any]]) -> None:
    trainable = MemoryRunsOut(flat("t00000", FIRST))
    assert trainable.train()["end_reason"] is None
    last = trainable.train()
    assert last["done"]
    assert (last["end_reason"], last["is_finite"]) == ("oom", False)
    assert last["error_type"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert all(math.isnan(last[measure]) for measure in MEASURES)  # Tune ends a sweep over a result without its metric
    assert trainable.reset(flat("t00001", FIRST))
    rows = [trainable.train() for _ in range(FIRST["epochs"])]
    assert_same(rows, direct(FIRST, torch.get_num_threads()))


def test_a_fault_is_an_ending_and_the_next_trial_is_unharmed(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]]
) -> None:
    """What is raised Ray would retry, and do so in vain."""
    one = actor(flat("t00000", {**FIRST, "batch_size": 4096}))
    row = one.epoch()
    assert (row["done"], row["end_reason"]) == (True, "error")
    assert row["error_type"].startswith("Faults:")
    assert "4096" in row["error_type"]
    assert row["traceback"].startswith("Traceback")
    one.take(flat("t00001", FIRST))
    assert_same(one.run(), direct(FIRST, 1))


def test_a_machine_without_the_data_says_that_no_trial_can_run_on_it(
    actor: Callable[..., OneThread], flat: Callable[..., dict[str, Any]]
) -> None:
    """The driver has read them: whoever cannot is on a machine that lacks them."""
    one = actor(flat("t00000", {**FIRST, "dataset": "nowhere"}))
    row = one.epoch()
    assert (row["done"], row["end_reason"]) == (True, "error")
    assert row["error_type"].startswith("UnfitMachine: The data set nowhere cannot be read here")
    assert row["ray_node_id"] == ray.get_runtime_context().get_node_id()


def test_a_machine_without_the_share_says_so_and_one_that_had_it_waits(
    flat: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MOUNTED_AFTER_S", 0.0)
    config = flat("t00000", FIRST)
    (tmp_path / "checkpoints" / ".checkpoints").rename(tmp_path / "marker")
    row = EmbeddingTrainable(config).train()
    assert (row["done"], row["end_reason"]) == (True, "error")
    assert row["error_type"].startswith("UnfitMachine: the share of")

    (tmp_path / "marker").rename(tmp_path / "checkpoints" / ".checkpoints")
    trainable = EmbeddingTrainable(config)
    first = [trainable.step() for _ in range(FIRST["epochs"])]
    (tmp_path / "checkpoints" / ".checkpoints").rename(tmp_path / "marker")
    assert trainable.reset(flat("t00001", FIRST))
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        (tmp_path / "marker").rename(tmp_path / "checkpoints" / ".checkpoints")

    monkeypatch.setattr(trainable, "_pause", pause)
    assert_same([trainable.step() for _ in range(FIRST["epochs"])], first)
    assert len(pauses) == 1


class HangsWhileKeeping(EmbeddingTrainable):
    """A share that hangs without an error takes its checkpoint and never says so."""

    def _start(self) -> Iterator[Row]:
        for row in super()._start():
            self._files.keep = self._hang  # type: ignore[method-assign]
            self.config["epoch_deadline_s"] = 0.5  # not for the epoch: how long that takes is the machine's affair
            yield row

    def _hang(self) -> None:
        Path(self.config["checkpoint_dir"], "hangs").touch()
        time.sleep(3600)


def test_a_checkpoint_that_cannot_be_kept_in_time_ends_the_process(
    flat: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    actor = ray.remote(num_cpus=1)(HangsWhileKeeping).remote(flat("t00000", FIRST))
    with pytest.raises(ActorDiedError):
        ray.get(actor.train.remote())
    assert (tmp_path / "checkpoints" / "hangs").exists()
