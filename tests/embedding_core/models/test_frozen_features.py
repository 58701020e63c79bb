"""A frozen backbone is computed once: the rows of training on its features are those of running it."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from embedding_core.config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.models.frozen_features import FEATURE_BATCH
from embedding_core.models.inputs import VIEWS_SEED, FeatureInputs, inputs_of
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.seeding import generator
from embedding_core.storage import StorageError
from embedding_core.train import train
from embedding_core.transforms.recipe import Recipe

CPU = torch.device("cpu")
FROZEN = TrainConfig(epochs=2, freeze_epochs=2, batch_size=32, subset=96, seed=4, augmentation="none", val_images=60)
ROUNDING = 1e-6
"""A convolution sums in another order where its batch has another size."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images in every pass of a backbone, in order."""
    passes: list[int] = []
    pooled = EmbeddingNetwork.pooled

    def counted(self: EmbeddingNetwork, images: torch.Tensor) -> torch.Tensor:
        passes.append(len(images))
        return pooled(self, images)

    monkeypatch.setattr(EmbeddingNetwork, "pooled", counted)
    return passes


def inputs(config: TrainConfig, data: DeviceData) -> FeatureInputs:
    mean, std = data.scaling(data.split(config))
    network = build_network(config, shape=data.shape, mean=mean, std=std, precision="float32")
    recipe = Recipe.of(config, side=data.shape[-1], flips=data.flips)
    made = inputs_of(data, config=config, network=network, recipe=recipe, kept=data.features)
    assert isinstance(made, FeatureInputs)
    return made


def rows_of(config: TrainConfig) -> list[dict[str, Any]]:
    return list(train(config))


def measured(row: dict[str, Any]) -> dict[str, float]:
    timed = ("elapsed_s", "train_s")
    return {name: value for name, value in row.items() if isinstance(value, float) and name not in timed}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "triplet", "koleo": True, "koleo_weight": 0.1},
        {"loss": "triplet", "triplets": "study"},
        {"loss": "semihard", "head": "mlp", "accum_steps": 4},
        {"loss": "mined", "mining": "random", "accum_steps": 4, "accum_mode": "cached", "dropout": 0.2},
        {"loss": "arcface", "head": "mlp", "norm_kind": "batch", "accum_steps": 2, "accum_mode": "cached"},
        {"loss": "softmax", "head": "study3", "norm_kind": "batch"},
        {"loss": "mined", "head": "study2", "image_size": 32, "dropout": 0.2},
        {"loss": "semihard", "eval_test": True, "classifiers": True, "probes": 2, "views": "pca"},
        {"loss": "arcface", "eval_test": True, "held_out_layer": "backbone", "unseen_classes": 3},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items()),
)
def test_features_computed_once_give_the_rows_of_running_the_frozen_network(changes: dict[str, Any]) -> None:
    config = replace(FROZEN, **changes)
    computed, run = rows_of(config), rows_of(replace(config, feature_views=0))
    assert len(computed) == len(run) == 2
    for ours, theirs in zip(computed, run, strict=True):
        assert ours["config_seen_sha256"] == ours["config_sha256"]
        assert theirs["config_seen_sha256"] == theirs["config_sha256"]
        assert ours.keys() == theirs.keys()
        assert measured(ours) == pytest.approx(measured(theirs), rel=1e-4, abs=ROUNDING, nan_ok=True)
        losses = [name for name in ours if "loss" in name and ours[name] is not None]
        assert {"loss_base", "loss_total", "val_loss"} <= {*losses}
        assert [ours[n] for n in losses] == pytest.approx([theirs[n] for n in losses], rel=ROUNDING, abs=ROUNDING)


def test_the_backbone_is_run_once_on_each_image_and_not_again_by_the_next_run(passes: list[int]) -> None:
    rows_of(FROZEN)
    assert sum(passes) == 1797
    rows_of(replace(FROZEN, loss="arcface", lr=0.01, head="mlp"))
    assert sum(passes) == 1797


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"seed": 5}, {"image_size": 12}, {"input_scaling": "imagenet"}, {"head": "study3"}], ids=str
)
def test_other_weights_images_scaling_or_pooling_are_other_features(changes: dict[str, Any], passes: list[int]) -> None:
    data = DeviceData.load(FROZEN, CPU)
    list(train(FROZEN, data=data))
    rows = list(train(replace(FROZEN, **changes), data=data))
    assert sum(passes) == 2 * 1797
    assert measured(rows[-1]) == measured(rows_of(replace(FROZEN, **changes))[-1])


@pytest.mark.slow
def test_images_are_drawn_from_the_computed_views(passes: list[int]) -> None:
    config = replace(FROZEN, augmentation="crop", feature_views=3)
    data = DeviceData.load(config, CPU)
    made = inputs(config, data)
    rows = torch.arange(400)[:, None]
    chosen = made.augmented(rows, generator(0, "test"))[:, 0]
    made.network.eval()
    views = []
    for number in range(3):
        draw = generator(VIEWS_SEED, "feature views", number)
        parts = [made.recipe.apply(part, draw) for part in data.images.split(FEATURE_BATCH["cpu"])]
        views.append(made.network.pooled(torch.cat(parts)[:400]))
    far = (torch.stack(views) - chosen).abs().amax(dim=2)
    assert far.amin(dim=0).max() < ROUNDING
    share = far.argmin(dim=0).bincount() / 400
    assert share.sub(1 / 3).abs().max() < 0.1


@pytest.mark.slow
def test_the_two_views_of_an_image_differ() -> None:
    config = replace(FROZEN, loss="nt_xent", augmentation="auto", feature_views=2)
    data = DeviceData.load(config, CPU)
    pairs = inputs(config, data).augmented(torch.arange(300)[:, None].expand(-1, 2), generator(0, "test"))
    assert (pairs[:, 0] != pairs[:, 1]).any(dim=1).all()
    rows = rows_of(config)
    assert rows[-1]["config_seen_sha256"] == rows[-1]["config_sha256"]


def test_exact_accumulation_runs_a_frozen_backbone_once(passes: list[int]) -> None:
    rows_of(replace(FROZEN, epochs=1, feature_views=0, accum_steps=4, accum_mode="cached"))
    trained = [n for n in passes if n <= 24]
    assert sum(trained) == 3 * 96
    assert set(trained) == {24}  # no more at a time than a micro-batch of 8 triplets


@pytest.mark.slow
def test_a_resumed_run_on_features_gives_the_rows_of_a_calm_one(tmp_path: Path) -> None:
    config = replace(FROZEN, loss="arcface", epochs=4, freeze_epochs=4)
    calm = rows_of(config)
    halfway = train(config, save_to=tmp_path / "run.pt", save_every_s=0)
    next(halfway), next(halfway)
    resumed = list(train(config, resume=tmp_path / "run.pt"))
    assert [measured(row) for row in resumed] == [measured(row) for row in calm]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "nt_xent"}, "loss=nt_xent compares two views of an image"),
        ({"augmentation": "crop"}, "augmentation=crop has no effect"),
        ({"feature_views": 4, "freeze_epochs": 1}, "`feature_views` above 1 is for a backbone that is never trained"),
        ({"feature_views": 2}, "`feature_views` must be 1 or 0 where augmentation=none makes all views one, but got 2"),
        ({"flip": True}, "`flip` has no effect on features of images as they are"),
        ({"feature_views": -1}, "`feature_views` must be at least 0, but got -1"),
    ],
    ids=str,
)
def test_views_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Faults, match=re.escape(sentence)):
        replace(FROZEN, **changes)


def test_frozen_for_more_epochs_than_there_are_is_frozen_throughout(passes: list[int]) -> None:
    longer = rows_of(replace(FROZEN, freeze_epochs=15, schedule="one_cycle"))
    assert sum(passes) == 1797
    assert [measured(row) for row in longer] == [
        measured(row) for row in rows_of(replace(FROZEN, schedule="one_cycle"))
    ]


@pytest.mark.slow
def test_an_unfinished_entry_is_made_again(cache: Path, passes: list[int]) -> None:
    rows_of(FROZEN)
    (file,) = cache.glob("*/features.npy")
    file.write_bytes(file.read_bytes()[:-1000])
    rows_of(FROZEN)
    assert sum(passes) == 2 * 1797


def test_a_cache_that_cannot_be_written_may_be_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", "/proc/nothing/can/be/written")
    with pytest.raises(StorageError, match="free some space, or name another folder"):
        rows_of(FROZEN)


def test_threads_and_mode_are_as_they_were() -> None:
    data = DeviceData.load(FROZEN, CPU)
    made = inputs(FROZEN, data)
    made.network.train()
    made.prepare()
    assert made.network.backbone.training
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads()


@pytest.mark.slow
def test_training_begins_when_its_features_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = EmbeddingNetwork.pooled
    monkeypatch.setattr(EmbeddingNetwork, "pooled", lambda self, images: time.sleep(0.01) or pooled(self, images))
    first, *_ = rows_of(FROZEN)  # 450 batches: 2 s at least
    assert first["elapsed_s"] < 1.5


@pytest.mark.slow
def test_two_processes_compute_features_once(cache: Path) -> None:
    settings = ["dataset=digits", "epochs=1", "freeze_epochs=1", "subset=64"]
    command = [sys.executable, "-m", "embedding_core.train", *settings]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sum(err.count("Computing features") for _, err in told) == 1
    losses = {json.loads(out.splitlines()[-1])["loss_total"] for out, _ in told}
    assert len(losses) == 1
