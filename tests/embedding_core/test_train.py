"""The loop: what a row says, that runs repeat and resume to the bit, and how they end."""

import itertools
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from embedding_core import train as loop
from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.embed import load_model
from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import PAUSE_S, patiently
from embedding_core.train import main, pick_device, train
from embedding_core.training import checkpoint
from embedding_core.transforms import recipe

Small = Callable[..., TrainConfig]

TIMING = ("elapsed_s", "train_s")
"""The only columns in which two runs of one config differ."""

COLUMNS = {
    "epoch", "update", "images_seen", "elapsed_s", "train_s", "lr", "loss_base", "loss_total",
    "active_triplet_frac", "grad_norm", "val_loss", "val_auc", "val_map_at_r", "val_knn_accuracy", "val_triplet_auc",
    "val_triplet_auc_se", "val_triplet_pairs", "val_good_triplet_ratio", "val_intra",
    "val_inter", "val_effective_rank", "val_uniformity", "val_alignment", "val_nn_distance",
    "val_sim_mean", "val_sim_var", "val_recall_at_1", "val_leak_share", "val_feature_std",
    "val_sim_min", "val_sim_max", "collapsed",
    "is_finite", "end_reason", "config_sha256", "config_seen_sha256", "config_seen_differences", "data_sha256",
    "split_sha256", "pairs_sha256", "weights_sha256",
    "device_name", "precision_used", "cpu_threads", "peak_gpu_bytes",
}  # fmt: skip
KOLEO_COLUMNS = {"loss_koleo", "koleo_nn_same_class_frac", "koleo_nn_dist_mean"}
GAP_COLUMNS = {"nn_agreement", "micro_full_grad_cos", "micro_full_grad_norm_ratio", "micro_full_loss_diff"}
TEST_COLUMNS = {
    "test_sha256", "test_auc", "test_positive_pairs", "test_negative_pairs", "test_recall_at_1", "test_map_at_r",
    "test_knn_accuracy",
}  # fmt: skip

KOLEO = {"koleo": True, "koleo_weight": 0.1}
EVERYTHING = {**KOLEO, "accum_mode": "cached", "accum_steps": 4, "norm_kind": "batch"}


def timeless(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in rows]


# Rows


def test_one_row_per_epoch(small: Small, digits: DeviceData) -> None:
    config = small()
    rows = list(train(config, data=digits))
    assert [set(row) for row in rows] == [COLUMNS] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["update"] for row in rows] == [3, 6, 9]  # 32 + 32 + 6 triplets
    assert [row["images_seen"] for row in rows] == [210, 420, 630]  # three images a triplet
    assert [row["end_reason"] for row in rows] == [None, None, "completed"]
    assert all(row["is_finite"] is True and row["collapsed"] is False for row in rows)
    assert {row["lr"] for row in rows} == {5e-4}
    assert {row["split_sha256"] for row in rows} == {digits.split(config).sha256}
    assert {row["pairs_sha256"] for row in rows} == {digits.split(config).pairs_sha256}
    assert {row["data_sha256"] for row in rows} == {digits.sha256}
    assert all(0 < row["train_s"] <= row["elapsed_s"] for row in rows)


def test_koleo_and_the_test_split_add_their_columns(small: Small, digits: DeviceData) -> None:
    *early, last = train(small(**KOLEO, eval_test=True), data=digits)
    assert all(set(row) == COLUMNS | KOLEO_COLUMNS for row in early)
    assert set(last) == COLUMNS | KOLEO_COLUMNS | TEST_COLUMNS
    for row in [*early, last]:
        assert row["loss_total"] == pytest.approx(row["loss_base"] + 0.1 * row["loss_koleo"], rel=1e-5)
    assert last["test_positive_pairs"] + last["test_negative_pairs"] == 359 * 358 // 2
    assert 0.5 < last["test_auc"] < 1


def test_training_lowers_the_loss_and_raises_the_auc(digits: DeviceData) -> None:
    first, *_, last = train(TrainConfig(epochs=6, lr=2e-3), data=digits)
    assert last["loss_base"] < 0.6 * first["loss_base"]
    assert last["val_auc"] > first["val_auc"]


@pytest.mark.parametrize("k", [1, 2, 8, 32])
@pytest.mark.parametrize("mode", ["naive", "cached"])
def test_images_seen_and_updates_are_the_clock_of_every_cell(
    small: Small, digits: DeviceData, k: int, mode: str
) -> None:
    rows = list(train(small(epochs=1, accum_steps=k, accum_mode=mode), data=digits))
    assert [(row["update"], row["images_seen"]) for row in rows] == [(3, 210)]


# Accumulation in the loop


def test_without_koleo_accumulation_changes_rounding_only(small: Small, digits: DeviceData) -> None:
    """Per-sample loss, GroupNorm: same updates. One epoch, as rounding grows with the steps after it."""
    rows = {
        (k, mode): next(train(small(accum_steps=k, accum_mode=mode), data=digits))
        for k in (1, 4) for mode in ("naive", "cached")
    }  # fmt: skip
    assert timeless([rows[1, "naive"]])[0]["loss_base"] == rows[1, "cached"]["loss_base"]
    for row in rows.values():
        assert row["loss_base"] == pytest.approx(rows[1, "naive"]["loss_base"], rel=1e-4)
        assert row["grad_norm"] == pytest.approx(rows[1, "naive"]["grad_norm"], rel=1e-3)
        assert row["val_loss"] == pytest.approx(rows[1, "naive"]["val_loss"], rel=1e-3)


def test_with_koleo_cached_is_the_full_batch_and_naive_is_not(small: Small, digits: DeviceData) -> None:
    strong = {"koleo": True, "koleo_weight": 1.0}
    full = next(train(small(**strong), data=digits))
    cached = next(train(small(**strong, accum_steps=8, accum_mode="cached"), data=digits))
    naive = next(train(small(**strong, accum_steps=8), data=digits))
    assert cached["loss_koleo"] == pytest.approx(full["loss_koleo"], rel=1e-4)
    assert cached["val_loss"] == pytest.approx(full["val_loss"], rel=1e-3)
    # A neighbourhood of 12 instead of 96 embeddings: neighbours are further away.
    assert naive["koleo_nn_dist_mean"] > 1.1 * full["koleo_nn_dist_mean"]


def test_one_pass_is_one_pass_in_either_mode(small: Small, digits: DeviceData) -> None:
    naive, cached = (list(train(small(**KOLEO, accum_mode=mode), data=digits)) for mode in ("naive", "cached"))
    hashes = ("config_sha256", "config_seen_sha256")
    for a, b in zip(timeless(naive), timeless(cached), strict=True):
        assert {k: v for k, v in a.items() if k not in hashes} == {k: v for k, v in b.items() if k not in hashes}


# Same config, same rows


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"optimizer": "rmsprop", "norm_kind": "none", **KOLEO}])
def test_the_same_config_gives_the_same_rows(small: Small, digits: DeviceData, settings: dict[str, Any]) -> None:
    first = list(train(small(**settings), data=digits))
    torch.rand(7)  # the global stream has no say
    assert timeless(list(train(small(**settings), data=digits))) == timeless(first)


def test_rows_depend_on_the_seed(small: Small, digits: DeviceData) -> None:
    losses = {next(train(small(seed=seed), data=digits))["loss_base"] for seed in range(3)}
    assert len(losses) == 3


@pytest.mark.slow
def test_two_runs_in_turns_do_not_disturb_each_other(small: Small, digits: DeviceData) -> None:
    expected = list(train(small(**EVERYTHING), data=digits))
    one, two = (train(small(**EVERYTHING), data=digits) for _ in range(2))
    interleaved = list(itertools.chain.from_iterable(zip(one, two, strict=True)))
    assert timeless(interleaved[::2]) == timeless(interleaved[1::2]) == timeless(expected)


def test_arms_of_a_block_share_start_order_and_augmentation(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network is fed, watched from outside: the images of every step, and the embeddings of the first."""
    fed: list[torch.Tensor] = []
    embedded: list[torch.Tensor] = []
    step = loop.accumulated_step

    def watched(forward: Any, inputs: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        fed.append(inputs.clone())
        report = step(forward, inputs, *args, **kwargs)
        embedded.append(report.embeddings)
        return report

    monkeypatch.setattr(loop, "accumulated_step", watched)
    seen = []
    for settings in ({}, KOLEO, {**KOLEO, "accum_steps": 4, "accum_mode": "cached"}):
        fed.clear()
        embedded.clear()
        list(train(small(epochs=2, **settings), data=digits))
        seen.append((torch.cat(fed), embedded[0]))
    for images, first in seen[1:]:
        assert torch.equal(images, seen[0][0])
        torch.testing.assert_close(first, seen[0][1], rtol=1e-5, atol=1e-5)
    assert not torch.equal(seen[0][0][:70], seen[0][0][70:])  # the second epoch comes in another order


def test_each_image_of_a_triplet_is_augmented_for_itself_and_anew_each_epoch(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[torch.Tensor] = []
    streams: list[int] = []
    augment = recipe.augment

    def watched(images: torch.Tensor, name: str, **kwargs: Any) -> torch.Tensor:
        offered.append(images)
        streams.append(kwargs["generator"].initial_seed())
        assert (name, kwargs["padding"]) == ("crop", 1)
        assert kwargs["flip"] is False  # digits are not mirrored
        return augment(images, name, **kwargs)

    monkeypatch.setattr(recipe, "augment", watched)
    list(train(small(epochs=2), data=digits))
    assert [len(images) for images in offered] == [96, 96, 18] * 2
    assert len(set(streams)) == 2


# Resume


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, EVERYTHING, {**KOLEO, "accum_steps": 2, "optimizer": "rmsprop"}])
@pytest.mark.parametrize("after", [1, 2])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(
    small: Small, digits: DeviceData, tmp_path: Path, settings: dict[str, Any], after: int
) -> None:
    config = small(**settings, eval_test=True)
    expected = list(train(config, data=digits))
    file = tmp_path / "run.pt"
    interrupted = train(config, save_to=file, save_every_s=0, data=digits)
    before = list(itertools.islice(interrupted, after))
    interrupted.close()
    rows = list(train(config, resume=file, save_to=file, data=digits))
    assert rows[:after] == before
    assert timeless(rows) == timeless(expected)
    assert [row["elapsed_s"] for row in rows] == sorted(row["elapsed_s"] for row in rows)


@dataclass
class Clock:
    """Stands still but for the test."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The loop's."""
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


def test_a_checkpoint_is_written_by_time_and_at_the_end(
    small: Small, digits: DeviceData, tmp_path: Path, clock: Clock
) -> None:
    file, saved = tmp_path / "run.pt", []
    for row in train(small(epochs=8), save_to=file, save_every_s=60, data=digits):
        if file.exists():
            saved.append(row["epoch"])
            file.unlink()
        clock.now += 25  # 60 s have passed with the fourth epoch, and again with the seventh
    assert saved == [4, 7, 8]


@pytest.mark.slow
def test_a_short_run_is_saved_once(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    there = [file.exists() for _ in train(small(epochs=20, subset=32), save_to=file, data=digits)]
    assert there == [False] * 19 + [True]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, EVERYTHING])
def test_a_run_killed_between_checkpoints_trains_again_what_it_had_not_saved(
    small: Small, digits: DeviceData, tmp_path: Path, clock: Clock, settings: dict[str, Any]
) -> None:
    config, file = small(**settings, epochs=6, eval_test=True), tmp_path / "run.pt"
    interrupted = train(config, save_to=file, save_every_s=60, data=digits)
    before = []
    for row in itertools.islice(interrupted, 5):
        before.append(row)
        clock.now += 25
    interrupted.close()
    rows = list(train(config, resume=file, save_to=file, data=digits))
    assert [row["epoch"] for row in checkpoint.read(file)["rows"]] == [1, 2, 3, 4, 5, 6]
    assert rows[:4] == before[:4]
    assert timeless(rows) == timeless(list(train(config, data=digits)))
    assert timeless(rows[:5]) == timeless(before)


def test_a_disk_that_is_full_for_a_while_costs_no_epoch(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    """The system lets no file grow beyond a size, as a full disk would not, until the loop has waited twice."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    waited: list[float] = []
    kept = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def full_at_first(write: Callable[[], None]) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if waited else 1000, hard))
        try:
            patiently(write, what="The run cannot be saved", kinds=(StorageError,), sleep=sleep)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    file = tmp_path / "run.pt"
    rows = []
    for row in train(small(), save_to=file, save_every_s=0, saving=full_at_first, data=digits):
        rows.append(row)
        kept.append(checkpoint.read(file)["rows"][-1]["epoch"])
    assert waited == [PAUSE_S, PAUSE_S]
    assert kept == [1, 2, 3]
    assert timeless(rows) == timeless(list(train(small(), data=digits)))


def test_a_finished_run_is_only_told_again(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    rows = list(train(small(), save_to=file, data=digits))
    written = file.stat().st_mtime_ns
    assert list(train(small(), resume=file, save_to=file, data=digits)) == rows
    assert file.stat().st_mtime_ns == written


def killed_after_first_row(settings: list[str], file: Path) -> list[Row]:
    """Rows that a run sent before SIGKILL hit it in the middle of its second epoch or later."""
    command = [sys.executable, "-m", "embedding_core.train", *settings, "--save", str(file), "--save-every", "0"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.stdout is not None
    with run.stdout:
        first = run.stdout.readline()
        run.kill()
        rest = run.stdout.read()
    assert run.wait() == -9
    return [json.loads(line) for line in (first + rest).splitlines()]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # 12 epochs: the signal arrives while most of them are still to come.
    settings = ["epochs=12", "subset=40", "batch_size=16", "koleo=true", "koleo_weight=0.1", "accum_steps=4",
                "accum_mode=cached", "norm_kind=batch"]  # fmt: skip
    file = tmp_path / "run.pt"
    before = killed_after_first_row(settings, file)
    assert 1 <= len(before) < 12
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["run.pt"]
    assert main([*settings, "--resume", str(file), "--save", str(file)]) == 0
    resumed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert main(settings) == 0
    whole = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(whole) == 12
    assert resumed[: len(before)] == before
    assert timeless(resumed) == timeless(whole)


# Endings


@pytest.mark.parametrize("settings", [{}, KOLEO, {"norm_kind": "none"}, EVERYTHING])
def test_a_diverged_run_ends_with_a_row_that_says_so(
    small: Small, digits: DeviceData, tmp_path: Path, settings: dict[str, Any]
) -> None:
    file = tmp_path / "run.pt"
    rows = list(train(small(lr=1e30, eval_test=True, **settings), save_to=file, data=digits))
    assert len(rows) < 3
    last = rows[-1]
    assert (last["is_finite"], last["end_reason"]) == (False, "diverged")
    assert not math.isfinite(last["val_loss"])
    assert not TEST_COLUMNS & set(last)
    again = list(train(small(lr=1e30, eval_test=True, **settings), resume=file, data=digits))
    assert [row["end_reason"] for row in again] == [row["end_reason"] for row in rows]


def test_a_collapsed_run_is_ended_in_search_and_labelled_elsewhere(small: Small, digits: DeviceData) -> None:
    # At this rate the embeddings fall onto a line within an epoch; collapse is judged from the third row on.
    settings = {"lr": 0.5, "epochs": 4}
    ended = list(train(small(**settings, stop_if_collapsed=True), data=digits))
    assert [row["collapsed"] for row in ended] == [False, False, True]
    assert ended[-1]["end_reason"] == "collapsed"
    labelled = list(train(small(**settings), data=digits))
    assert [row["collapsed"] for row in labelled] == [False, False, True, True]
    assert [row["end_reason"] for row in labelled] == [None, None, None, "completed"]


def test_the_test_split_is_read_only_when_asked_for(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = DeviceData.test

    def counted(self: DeviceData, *args: Any) -> Any:
        reads.append(1)
        return read(self, *args)

    monkeypatch.setattr(DeviceData, "test", counted)
    list(train(small(), data=digits))
    assert not reads
    list(train(small(eval_test=True), data=digits))
    assert len(reads) == 1


def test_a_batch_larger_than_the_data_is_refused_before_any_step(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*args: object, **kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr(loop, "accumulated_step", step)
    with pytest.raises(Faults, match="`batch_size` must be at most the 70 training triplets, but got 128"):
        next(train(small(batch_size=128), data=digits))


# Other data


def test_colour_images_from_parquet(colour_set: Path) -> None:
    config = TrainConfig(dataset="mine", data_root=str(colour_set), batch_size=16, epochs=2, eval_test=True)
    rows = list(train(config))
    assert [row["config_seen_sha256"] for row in rows] == [config.sha256] * 2
    assert rows[-1]["test_positive_pairs"] == 2 * (10 * 9 // 2)
    assert rows[-1]["test_negative_pairs"] == 100
    other_place = TrainConfig(**{**config.to_flat(), "data_root": str(colour_set / ".." / colour_set.name)})
    assert timeless(list(train(other_place))) == timeless(rows)


@pytest.mark.slow
def test_a_resnet_of_small_images_is_a_start_and_goes_on_without_its_file(
    small: Small, digits: DeviceData, tmp_path: Path
) -> None:
    """Kept by a run on 8x8 images, begun with by another one, which is interrupted, resumed and embedded with."""
    settings = {"backbone": "resnet18", "norm_kind": "batch", "batch_size": 16, "augmentation": "none"}
    list(train(small(**settings, epochs=1), save_to=tmp_path / "first.pt", data=digits))
    checkpoint.export_model(tmp_path / "first.pt", tmp_path / "model.pt")
    config = small(**settings, epochs=2, seed=1, weights=str(tmp_path / "model.pt"))
    whole = list(train(config, data=digits))
    next(train(config, save_to=tmp_path / "second.pt", save_every_s=0, data=digits))
    (tmp_path / "model.pt").unlink()
    resumed = list(train(config, resume=tmp_path / "second.pt", save_to=tmp_path / "second.pt", data=digits))
    assert timeless(resumed) == timeless(whole)
    checkpoint.export_model(tmp_path / "second.pt", tmp_path / "model.pt")
    assert load_model(tmp_path / "model.pt").backbone.conv1.kernel_size == (3, 3)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("triplets", ["disjoint", "study"])
def test_an_epoch_on_cifar10(real_root: Callable[[str], Path], triplets: str) -> None:
    root = str(real_root("cifar10"))
    config = TrainConfig(
        dataset="cifar10", data_root=root, subset=64, batch_size=32, epochs=1, val_share=0.05, triplets=triplets,
        **KOLEO, accum_steps=2,
    )  # fmt: skip
    (row,) = train(config)
    assert row["config_seen_sha256"] == config.sha256
    assert row["val_triplet_pairs"] == 2 * 1250
    assert 0.4 < row["val_triplet_auc"] < 0.9
    assert 0.4 < row["val_auc"] < 0.9


# The configuration that ran

SPREAD: list[dict[str, Any]] = [
    {}, {"optimizer": "rmsprop"}, {"norm_kind": "batch"}, {"norm_kind": "none"}, {"subset": None}, {"subset": 32},
    KOLEO, {**KOLEO, "accum_steps": 4}, {**KOLEO, "accum_steps": 4, "accum_mode": "cached"}, {"accum_mode": "cached"},
    {"accum_steps": 32}, {"distance": "l2", "margin": 0.2}, {"distance": "sql2"}, {"triplets": "study"}, {"seed": 3},
    {"embedding_dim": 8}, {"val_share": 0.4}, {"precision": "bf16"}, {"crop_padding": 0, "flip": True},
]  # fmt: skip


@pytest.mark.parametrize("settings", SPREAD)
def test_the_config_that_ran_is_the_one_asked_for(small: Small, digits: DeviceData, settings: dict[str, Any]) -> None:
    config = small(epochs=1, **settings)
    (row,) = train(config, data=digits)
    assert row["config_sha256"] == config.sha256
    assert row["config_seen_sha256"] == config.sha256


@pytest.mark.parametrize("stale", [{"weight_decay": 0.01}, {"optimizer": "rmsprop"}])
def test_a_stale_optimizer_shows_in_every_row(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch, stale: dict[str, Any]
) -> None:
    build = loop.build_optimizer
    monkeypatch.setattr(loop, "build_optimizer", lambda *of, **settings: build(*of, **settings | stale))
    rows = list(train(small(), data=digits))
    assert {row["config_sha256"] for row in rows} == {small().sha256}
    assert {row["config_seen_sha256"] for row in rows} == {small(**stale).sha256}
    ((name, value),) = stale.items()
    assert {row["config_seen_differences"] for row in rows} == {f"`{name}` is {value}, not {getattr(small(), name)}"}


def test_data_of_another_config_are_not_used(small: Small, digits: DeviceData, colour_set: Path) -> None:
    config = TrainConfig(dataset="mine", data_root=str(colour_set), batch_size=16, epochs=1)
    (row,) = train(config, data=digits)
    assert row["data_sha256"] != digits.sha256
    assert row["config_seen_sha256"] == config.sha256


# Device and command line


def test_a_device_is_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(Faults, match="`device` must be auto, cpu, cuda or cuda:N, but got `gpu`"):
        pick_device("gpu")


@pytest.mark.parametrize(("asked", "index"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_cuda_device_has_its_index(asked: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, torch refuses to limit the share of a GPU that a process may allocate."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device(asked).index == index


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_device_is_refused() -> None:
    with pytest.raises(Faults, match="0 CUDA devices"):
        pick_device("cuda")


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    return lambda: capfd.readouterr().out.splitlines()


def strict(line: str) -> Row:
    """JSON as other tools read it, without NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    row: Row = json.loads(line, parse_constant=refuse)
    return row


def test_the_command_line_prints_rows_as_json_lines(
    small: Small, digits: DeviceData, printed: Callable[[], list[str]]
) -> None:
    assert main(["subset=70", "batch_size=32", "epochs=3", "koleo=true", "koleo_weight=0.1"]) == 0
    assert timeless([strict(line) for line in printed()]) == timeless(list(train(small(**KOLEO), data=digits)))


def test_the_command_line_guesses_a_batch_size_that_fits(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["subset=40", "epochs=1"]) == 0
    said = capfd.readouterr()
    assert strict(said.out.splitlines()[-1])["update"] == 3  # 16, 16 and 8
    assert "batch: 16, as the declared 64 is more than the 40 training triplets: a guess" in said.err


def test_the_command_line_prints_a_diverged_row_as_json(printed: Callable[[], list[str]]) -> None:
    assert main(["subset=70", "batch_size=32", "lr=1e30"]) == 0
    last = strict(printed()[-1])
    assert (last["end_reason"], last["is_finite"], last["val_auc"]) == ("diverged", False, None)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["batch_sise=1", "epochs=many", "koleo"],
         ["Did you mean `batch_size`?", "`epochs` must be int", "must be key=value, but got `koleo`"]),
        (["lr=-1", "seed=-1"], ["`lr` must be positive", "`seed` must be at least 0"]),
        (["subset=10", "batch_size=64"], ["at most the 10 training triplets"]),
        (["--resume", "/nowhere/run.pt"], ["/nowhere/run.pt is not a readable checkpoint"]),
    ],
)  # fmt: skip
def test_faults_on_the_command_line(
    capfd: pytest.CaptureFixture[str], arguments: list[str], messages: list[str]
) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert not out
    assert "Traceback" not in err
    assert all(message in err for message in messages)
