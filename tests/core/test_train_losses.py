"""The loop with every loss, sampler, optimiser and schedule: it learns, resumes to the bit, and says what it did."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedding_core import train as loop
from embedding_core.config import TrainConfig
from embedding_core.device_data import DeviceData
from embedding_core.faults import Faults
from embedding_core.models import EmbeddingNetwork
from embedding_core.train import train

Small = Callable[..., TrainConfig]

GAP = {"nn_agreement", "micro_full_grad_cos", "micro_full_grad_norm_ratio", "micro_full_loss_diff"}
ACCURACY = {"accuracy", "val_accuracy"}
KOLEO = {"koleo": True, "koleo_weight": 0.1}

LOSSES: list[dict[str, Any]] = [
    {"loss": "triplet"},
    {"loss": "mined"},
    {"loss": "mined", "mining": "all/all", "batch_sampler": "pk", "images_per_class": 8},
    {"loss": "mined", "mining": "random"},
    {"loss": "mined", "mining": "curriculum", "distance": "sql2"},
    {"loss": "semihard", "batch_sampler": "pk", "images_per_class": 8, "margin": 1.0, "distance": "sql2"},
    {"loss": "arcface", "margin": 0.3, "scale": 16.0},
    {"loss": "softmax"},
    {"loss": "nt_xent"},
]
HOW: list[dict[str, Any]] = [
    {"loss": "arcface", **KOLEO, "accum_steps": 4, "accum_mode": "cached", "optimizer": "adamw", "weight_decay": 0.1},
    {"loss": "mined", "mining": "random", "accum_steps": 2, "optimizer": "sgd", "lr": 0.1, "schedule": "cosine",
     "warmup_epochs": 1},
    {"loss": "nt_xent", **KOLEO, "optimizer": "lars", "lr": 1.0, "schedule": "anneal", "accum_steps": 2},
    {"loss": "softmax", "freeze_epochs": 1, "unfrozen_lr": 1e-4, "backbone_lr_ratio": 0.1, "schedule": "one_cycle",
     "norm_kind": "batch", "head": "mlp", "dropout": 0.2},
    {"loss": "semihard", "batch_sampler": "pk", **KOLEO, "koleo_exclude_same_class": True, "augmentation": "affine"},
]  # fmt: skip


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("elapsed_s", "train_s")} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("settings", LOSSES, ids=lambda s: ",".join(map(str, s.values())))
def test_every_loss_learns_embeddings_that_tell_digits_apart(settings: dict[str, Any], digits: DeviceData) -> None:
    config = TrainConfig(epochs=6, lr=2e-3, **settings)
    first, *_, last = train(config, data=digits)
    assert last["end_reason"] == "completed"
    assert last["config_seen_sha256"] == config.sha256
    assert last["val_auc"] > max(first["val_auc"], 0.85)
    assert last["val_recall_at_1"] > 0.6  # chance is .1
    if settings["loss"] in ("arcface", "softmax"):
        assert last["val_loss"] < first["val_loss"]
        assert 0.85 < last["val_accuracy"] <= 1
        assert last["accuracy"] > first["accuracy"]
    else:
        assert not ACCURACY & set(last)


@pytest.mark.parametrize("settings", HOW, ids=lambda s: ",".join(map(str, s.values())))
def test_a_resumed_run_is_the_run_that_was_not_interrupted(
    settings: dict[str, Any], small: Small, digits: DeviceData, tmp_path: Path
) -> None:
    config = small(**settings)
    whole = list(train(config, data=digits))
    assert {row["config_seen_sha256"] for row in whole} == {config.sha256}
    file = tmp_path / "run.pt"
    interrupted = train(config, save_to=file, data=digits)
    next(interrupted)
    next(interrupted)
    assert untimed(list(train(config, resume=file, data=digits))) == untimed(whole)


@pytest.mark.parametrize("loss", ["triplet", "mined", "semihard", "nt_xent"])
def test_the_gap_meter_reads_and_changes_nothing(loss: str, small: Small, digits: DeviceData) -> None:
    settings = {"loss": loss, "mining": "random", **KOLEO, "accum_steps": 2}
    off = list(train(small(**settings, gap_every=0), data=digits))
    for every in (1, 3):
        read = list(train(small(**settings, gap_every=every), data=digits))
        assert set(read[0]) - set(off[0]) == GAP
        ignored = {"config_sha256", "config_seen_sha256", "elapsed_s", "train_s", *GAP}
        for with_gap, without in zip(read, off, strict=True):
            assert {k: v for k, v in with_gap.items() if k not in ignored} == {
                k: v for k, v in without.items() if k not in ignored
            }
        assert all(0 < row["nn_agreement"] < 1 and row["micro_full_grad_cos"] < 1 for row in read)


def test_one_pass_has_no_gap_to_read(small: Small, digits: DeviceData) -> None:
    assert not GAP & set(next(train(small(**KOLEO, gap_every=1), data=digits)))


def test_a_frozen_backbone_stands_still_until_it_is_unfrozen(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, torch.Tensor]] = []
    built: list[EmbeddingNetwork] = []
    build = loop.build_network

    def watched(*args: Any, **kwargs: Any) -> EmbeddingNetwork:
        built.append(build(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr(loop, "build_network", watched)
    config = small(epochs=3, freeze_epochs=2, norm_kind="batch", unfrozen_lr=1e-4)
    rows = []
    for row in train(config, data=digits):
        rows.append(row)
        states.append({name: value.clone() for name, value in built[0].state_dict().items()})
    moved = [{name.split(".")[0] for name in states[0] if not torch.equal(states[i][name], states[i + 1][name])}
             for i in (0, 1)]  # fmt: skip
    assert moved == [{"head"}, {"head", "backbone"}]
    assert [row["lr"] for row in rows] == [5e-4, 5e-4, 1e-4]


def test_examples_and_images_are_counted_by_what_an_example_is(small: Small, digits: DeviceData) -> None:
    for loss, views in (("triplet", 3), ("arcface", 1), ("nt_xent", 2)):
        row = next(train(small(loss=loss), data=digits))
        assert row["images_seen"] == views * 70
    row = next(train(small(loss="semihard", batch_sampler="pk", images_per_class=4), data=digits))
    assert row["images_seen"] == 68  # whole groups of four


def test_a_validation_loss_of_one_epoch_does_not_depend_on_the_epoch(small: Small, digits: DeviceData) -> None:
    """Same weights, same value: the batches and views it is computed on do not move."""
    for loss in ("mined", "semihard", "nt_xent", "arcface"):
        rows = list(train(small(loss=loss, lr=1e-30, optimizer="sgd"), data=digits))
        assert len({row["val_loss"] for row in rows}) == 1


def test_a_last_batch_of_one_image_cannot_be_normalised(small: Small, digits: DeviceData) -> None:
    with pytest.raises(Faults, match="with 65 training examples, batch_size=32 and accum_steps=1 the last has one"):
        next(train(small(loss="arcface", subset=65, norm_kind="batch"), data=digits))
    assert next(train(small(loss="arcface", subset=65), data=digits))["is_finite"]
    assert next(train(small(loss="triplet", subset=65, norm_kind="batch"), data=digits))["is_finite"]


def test_what_cannot_be_evaluated_at_the_end_is_told_before_the_first_step(
    colour_set: Path, write_set: Callable[..., Path]
) -> None:
    write_set([np.zeros((8, 8, 3), dtype=np.uint8)] * 4, [0, 0, 0, 0], split="test")
    config = TrainConfig(dataset="mine", data_root=str(colour_set), batch_size=16, eval_test=True)
    with pytest.raises(Faults, match="test split must have two classes"):
        next(train(config))
    assert next(train(replace(config, eval_test=False)))["is_finite"]


def test_nt_xent_comes_with_its_floor_and_chance(small: Small, digits: DeviceData) -> None:
    row = next(train(small(loss="nt_xent", accum_steps=2), data=digits))
    assert row["loss_chance"] == pytest.approx(math.log(2 * 16 - 1))
    assert row["loss_floor"] < row["loss_base"] < row["loss_chance"] + 0.5
    cached = next(train(small(loss="nt_xent", accum_steps=2, accum_mode="cached"), data=digits))
    assert cached["loss_chance"] == pytest.approx(math.log(2 * 32 - 1))


def test_the_leak_of_study_triplets_is_in_every_row(small: Small, digits: DeviceData) -> None:
    assert next(train(small(), data=digits))["val_leak_share"] == 0
    config = TrainConfig(triplets="study", epochs=1)
    leak = digits.split(config).leak()
    assert next(train(config, data=digits))["val_leak_share"] == 1 - leak["triplets_wholly_unseen"] > 0.5


def test_koleo_sits_out_a_last_batch_too_small_for_it(small: Small, digits: DeviceData) -> None:
    row = next(train(small(loss="arcface", subset=65, **KOLEO), data=digits))
    assert row["is_finite"]
    assert row["loss_koleo"] != 0
