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
from embedding_core.config.train_config import CHOICES, TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.models.network import EmbeddingNetwork
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
    {"loss": "nt_xent", "similarity": "dot", **KOLEO},  # alone its embeddings stay together for longer
]
HOW: list[dict[str, Any]] = [
    {"loss": "arcface", **KOLEO, "accum_steps": 4, "accum_mode": "cached", "optimizer": "adamw", "weight_decay": 0.1},
    {"loss": "mined", "mining": "random", "accum_steps": 2, "optimizer": "sgd", "lr": 0.1, "schedule": "cosine",
     "warmup_epochs": 1},
    {"loss": "nt_xent", **KOLEO, "optimizer": "lars", "lr": 1.0, "schedule": "anneal", "accum_steps": 2},
    {"loss": "softmax", "freeze_epochs": 1, "unfrozen_lr": 1e-4, "backbone_lr_ratio": 0.1, "schedule": "one_cycle",
     "norm_kind": "batch", "head": "mlp", "dropout": 0.2},
    {"loss": "semihard", "batch_sampler": "pk", **KOLEO, "koleo_exclude_same_class": True, "augmentation": "affine"},
    {"loss": "semihard", "train_last_layer": False, "head": "study3", "freeze_epochs": 1, "optimizer": "adamw",
     "weight_decay": 0.1, "max_images_per_class": 20, "fallback": "nearest"},
    {"loss": "arcface", "train_last_layer": False, "freeze_epochs": 1, "accum_steps": 2, "accum_mode": "cached"},
    {"loss": "nt_xent", "similarity": "dot", **KOLEO, "accum_steps": 4, "accum_mode": "cached"},
]  # fmt: skip


def test_every_loss_is_among_them() -> None:
    assert {settings["loss"] for settings in LOSSES} == set(CHOICES["loss"])


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


@pytest.mark.parametrize(
    "settings",
    [*HOW[:2], *(pytest.param(how, marks=pytest.mark.slow) for how in HOW[2:])],
    ids=lambda s: ",".join(map(str, s.values())),
)
def test_a_resumed_run_is_the_run_that_was_not_interrupted(
    settings: dict[str, Any], small: Small, digits: DeviceData, tmp_path: Path
) -> None:
    config = small(**settings)
    whole = list(train(config, data=digits))
    assert {row["config_seen_sha256"] for row in whole} == {config.sha256}
    file = tmp_path / "run.pt"
    interrupted = train(config, save_to=file, save_every_s=0, data=digits)
    next(interrupted)
    next(interrupted)
    assert untimed(list(train(config, resume=file, data=digits))) == untimed(whole)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "every"), [("triplet", 1), ("mined", 3), ("semihard", 1), ("nt_xent", 3)])
def test_the_gap_meter_reads_and_changes_nothing(loss: str, every: int, small: Small, digits: DeviceData) -> None:
    settings = {"loss": loss, "mining": "random", **KOLEO, "accum_steps": 2}
    off, read = (list(train(small(**settings, gap_every=each), data=digits)) for each in (0, every))
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


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"dropout": 0.2}, {"head": "mlp", "freeze_epochs": 1}, {"head": "study3", "freeze_epochs": 1},
        {"head": "study2", "image_size": 32, "freeze_epochs": 1}, {"loss": "arcface", "freeze_epochs": 1},
    ],
    ids=str,
)  # fmt: skip
def test_an_untrained_last_layer_stays_as_it_was_drawn_while_all_else_moves(
    settings: dict[str, Any], small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[EmbeddingNetwork] = []
    build = loop.build_network

    def watched(*args: Any, **kwargs: Any) -> EmbeddingNetwork:
        built.append(build(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr(loop, "build_network", watched)
    config = small(subset=32, epochs=2, train_last_layer=False, weight_decay=0.01, **settings)
    data = digits if config.image_size is None else None
    list(train(config, data=data))
    network = built[0]
    start = build(config, shape=network.image_shape, mean=network.mean, std=network.std, precision="float32")
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, start.get_parameter(name))}
    kept = {name for name, _ in network.named_parameters()} - moved
    last = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)][-1]
    assert kept == {name for name in (f"{last}.weight", f"{last}.bias") if name in dict(network.named_parameters())}
    assert {name for name, p in network.named_parameters() if p.grad is None} == kept  # nor in the gradient's norm


STUDIES: dict[str, dict[str, Any]] = {
    "2": {"loss": "mined", "mining": "curriculum", "margin": 0.5, "distance": "sql2", "head": "study2", "dropout": 0.2,
          "embedding_dim": 128, "lr": 1.4e-3, "augmentation": "none", "image_size": 32},
    "2, arcface": {"loss": "arcface", "margin": 0.5, "head": "study2", "dropout": 0.2, "image_size": 32},
    "3": {"loss": "semihard", "distance": "sql2", "margin": 1.0, "head": "study3", "dropout": 0.25,
          "optimizer": "adamw", "weight_decay": 0.01, "schedule": "one_cycle", "lr": 5e-2, "freeze_epochs": 1,
          "unfrozen_lr": 1e-4, "backbone_lr_ratio": 0.1, "augmentation": "affine", "flip": True, "norm_kind": "batch"},
    "3, random last layer": {"loss": "semihard", "distance": "sql2", "margin": 1.0, "head": "study3",
                             "train_last_layer": False, "freeze_epochs": 1, "unfrozen_lr": 1e-4, "flip": False,
                             "backbone_lr_ratio": 0.1, "schedule": "one_cycle", "augmentation": "affine"},
    "4": {"loss": "nt_xent", "optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "schedule": "anneal", "head": "mlp",
          "head_layers": 6, "norm_kind": "batch", "backbone_lr_ratio": 0.1, "augmentation": "study4_weak"},
    "4, LARS": {"loss": "nt_xent", "optimizer": "lars", "lr": 0.3 * 32 / 256, "weight_decay": 1e-6, "warmup_epochs": 1,
                "schedule": "cosine", "head": "mlp", "similarity": "dot", "augmentation": "study4_strong"},
}  # fmt: skip


@pytest.mark.parametrize("study", STUDIES)
def test_an_earlier_studys_protocol_is_one_config(study: str, small: Small, digits: DeviceData) -> None:
    config = small(subset=32, epochs=2, **STUDIES[study])
    rows = list(train(config, data=digits))
    assert [row["is_finite"] for row in rows] == [True] * 2
    assert {row["config_seen_sha256"] for row in rows} == {config.sha256}


@pytest.mark.slow
def test_each_row_names_the_miner_at_work(small: Small, digits: DeviceData) -> None:
    def miners(**settings: Any) -> list[object]:
        return [row.get("miner") for row in train(small(loss="mined", **settings), data=digits)]

    assert miners(mining="curriculum", epochs=7) == ["easy/semihard"] * 2 + ["easy/hard"] * 3 + ["hard/hard"] * 2
    assert miners(mining="random") == ["random"] * 3
    assert miners(mining="hard/semihard", epochs=1) == ["hard/semihard"]
    assert "miner" not in next(train(small(loss="semihard"), data=digits))


def test_dot_trains_on_lengths_and_is_evaluated_on_directions(small: Small, digits: DeviceData) -> None:
    config = small(loss="nt_xent", similarity="dot", eval_test=True, epochs=2)
    *_, row = train(config, data=digits)
    *_, cosine = train(replace(config, similarity="cosine"), data=digits)
    assert row["config_seen_sha256"] == config.sha256
    assert row["loss_floor"] == 0 < cosine["loss_floor"]
    assert row["loss_chance"] == cosine["loss_chance"]
    assert row["loss_base"] != pytest.approx(cosine["loss_base"], rel=1e-3)
    assert row["val_loss"] != pytest.approx(cosine["val_loss"], rel=1e-3)
    assert -1 <= row["val_sim_min"] < row["val_sim_max"] <= 1 + 1e-6
    assert 0.5 < row["test_auc"] < 1


def test_examples_and_images_are_counted_by_what_an_example_is(small: Small, digits: DeviceData) -> None:
    for loss, views in (("triplet", 3), ("arcface", 1), ("nt_xent", 2)):
        row = next(train(small(loss=loss), data=digits))
        assert row["images_seen"] == views * 70
    row = next(train(small(loss="semihard", batch_sampler="pk", images_per_class=4), data=digits))
    assert row["images_seen"] == 68  # whole groups of four


@pytest.mark.slow
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
    with pytest.raises(Faults, match="test split of `mine` must have two classes"):
        next(train(config))
    assert next(train(replace(config, eval_test=False)))["is_finite"]


@pytest.mark.slow
def test_nt_xent_comes_with_its_floor_and_chance(small: Small, digits: DeviceData) -> None:
    """Of what each loss saw: the 70 images come in batches of 32, 32 and 6."""

    def chance(*sizes: int) -> Any:
        return pytest.approx(sum(n * math.log(2 * n - 1) for n in sizes) / sum(sizes))

    row = next(train(small(loss="nt_xent", accum_steps=2), data=digits))
    assert row["loss_chance"] == chance(16, 16, 16, 16, 6)
    assert row["loss_floor"] < row["loss_base"] < row["loss_chance"] + 0.5
    # That of one batch of the validation images, of which an untrained network may be on either side of chance.
    learnt = list(train(small(loss="nt_xent", accum_steps=2, epochs=8), data=digits))[-1]
    assert learnt["val_loss_floor"] < learnt["val_loss"] < learnt["val_loss_chance"] == chance(32)
    assert row["val_loss_chance"] == chance(32)
    cached = next(train(small(loss="nt_xent", accum_steps=2, accum_mode="cached"), data=digits))
    assert cached["loss_chance"] == chance(32, 32, 6)
    assert cached["val_loss_chance"] == row["val_loss_chance"]


def test_the_leak_of_study_triplets_is_in_every_row(small: Small, digits: DeviceData) -> None:
    assert next(train(small(), data=digits))["val_leak_share"] == 0
    config = TrainConfig(triplets="study", epochs=1)
    leak = digits.split(config).leak()
    assert next(train(config, data=digits))["val_leak_share"] == 1 - leak["triplets_wholly_unseen"] > 0.5


def test_koleo_sits_out_a_last_batch_too_small_for_it(small: Small, digits: DeviceData) -> None:
    row = next(train(small(loss="arcface", subset=65, **KOLEO), data=digits))
    assert row["is_finite"]
    assert row["loss_koleo"] != 0
