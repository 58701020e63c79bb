"""TrainConfig: every fault at once, in sentences a user can act on."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_core.config.parsing import parse_value
from embedding_core.config.train_config import TrainConfig, field_types
from embedding_core.errors import Faults

OTHER: dict[str, Any] = {
    "dataset": "cifar10", "data_root": "/elsewhere", "image_size": 48, "subset": 100, "val_share": 0.1,
    "val_by": "class", "val_images": 500, "max_images_per_class": 20, "seen_classes": 6, "unseen_classes": 3,
    "triplets": "study", "duplicates": "drop", "skip_broken": True,
    "batch_sampler": "pk", "images_per_class": 8, "augmentation": "simclr", "augmentation_strength": 0.5,
    "crop_padding": 2, "flip": True, "backbone": "vgg11", "weights": "imagenet", "norm_kind": "batch",
    "input_scaling": "imagenet", "head": "mlp", "head_layers": 6, "head_width": 512, "dropout": 0.2,
    "embedding_dim": 32, "train_last_layer": False, "loss": "arcface", "mining": "hard/hard", "margin": 0.3,
    "distance": "l2", "fallback": "nearest", "scale": 30.0, "temperature": 0.1, "similarity": "dot", "koleo": True,
    "koleo_weight": 0.2, "koleo_top_k": 2, "koleo_group_size": 16, "koleo_exclude_same_class": True, "batch_size": 128,
    "accum_steps": 2, "accum_mode": "cached", "gap_every": 0, "optimizer": "rmsprop", "lr": 1e-3, "weight_decay": 1e-4,
    "momentum": 0.0, "beta2": 0.99, "schedule": "cosine", "warmup_epochs": 1, "freeze_epochs": 2, "unfrozen_lr": 1e-4,
    "feature_views": 2, "backbone_lr_ratio": 0.1, "epochs": 7, "seed": 1, "split_seed": 2, "eval_test": True,
    "held_out_layer": "backbone",
    "classifiers": True, "probes": 3, "views": "pca", "stop_if_collapsed": True, "device": "cuda",
    "precision": "float32", "compile": True,
}  # fmt: skip
"""A valid value of each field that is not its default."""

FILLED_IN = {"plugin_sha256", "of_plugins"}
"""By the plug-ins in use: tests/embedding_core/plugins."""

TOGETHER: dict[str, dict[str, Any]] = {
    "backbone": {"norm_kind": "none"},
    "weights": {"norm_kind": "none", "backbone": "vgg11"},
    "koleo": {"koleo_weight": 0.1},
    "koleo_weight": {"koleo": True},
    "batch_sampler": {"loss": "semihard"},
    "unfrozen_lr": {"freeze_epochs": 2},
    "feature_views": {"freeze_epochs": 5},
}
"""What must hold for a field to take its other value."""


def faults(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(Faults) as caught:
        TrainConfig.from_flat(values)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def test_other_covers_every_field_that_has_another_value() -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(TrainConfig)} - FILLED_IN


def test_an_unknown_key_names_the_nearest() -> None:
    (fault,) = faults({"batch_sise": 32})
    assert fault.startswith("Unknown key `batch_sise`. Did you mean `batch_size`? Known: accum_mode, ")


def test_all_faults_are_reported_at_once() -> None:
    found = faults({"nonsense": 1, "lr": -1.0, "batch_size": 10, "accum_steps": 4, "optimizer": "sdg", "seed": -3})
    assert len(found) == 5
    text = "\n".join(found)
    for part in ("`nonsense`", "`lr` must be positive", "multiple of `accum_steps`", "optimizer `sdg`", "`seed`"):
        assert part in text


def test_batch_and_accumulation_name_both_values() -> None:
    (fault,) = faults({"batch_size": 64, "accum_steps": 3})
    assert fault == "`batch_size` must be a multiple of `accum_steps`, but got batch_size=64, accum_steps=3."
    assert TrainConfig(batch_size=64, accum_steps=4).micro_batch == 16


@pytest.mark.parametrize(
    ("koleo", "weight", "message"),
    [
        (True, None, "positive and finite when `koleo` is on, but got None"),
        (True, 0.0, "positive and finite when `koleo` is on, but got 0.0"),
        (True, float("inf"), "positive and finite when `koleo` is on"),
        (True, float("nan"), "positive and finite when `koleo` is on"),
        (False, 0.1, "must be None when `koleo` is off, but got 0.1"),
        (False, 0.0, "must be None when `koleo` is off, but got 0.0"),
    ],
)
def test_a_koleo_weight_goes_with_koleo(koleo: bool, weight: float | None, message: str) -> None:
    (fault,) = faults({"koleo": koleo, "koleo_weight": weight})
    assert message in fault


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": True}, "`lr` must be float, but got True"),
        ({"seed": False}, "`seed` must be int, but got False"),
        ({"koleo": 1}, "`koleo` must be bool, but got 1"),
        ({"epochs": 2.0}, "`epochs` must be int, but got 2.0"),
        ({"subset": "10"}, "`subset` must be int or None, but got '10'"),
        ({"dataset": None}, "`dataset` must be str, but got None"),
        ({"margin": float("nan")}, "`margin` must be positive and finite"),
        ({"lr": float("inf")}, "`lr` must be positive and finite"),
        ({"embedding_dim": 0}, "`embedding_dim` must be at least 1"),
        ({"subset": 0}, "`subset` must be at least 1"),
        ({"accum_steps": 0}, "`accum_steps` must be at least 1"),
        ({"val_share": 0.0}, "`val_share` must be in (0, 0.5]"),
        ({"val_share": 0.6}, "`val_share` must be in (0, 0.5]"),
        ({"crop_padding": -1}, "`crop_padding` must be at least 0"),
        ({"backbone": "vgg11"}, "`norm_kind` must be none for vgg11 with a linear head"),
        ({"backbone": "resnet18", "norm_kind": "none"}, "`norm_kind` must be group or batch for resnet18"),
        ({"backbone": "resnet18", "weights": "imagenet"}, "`norm_kind` must be batch with the published weights"),
        ({"backbone": "vit_tiny", "norm_kind": "none", "head": "study3"}, "`head` must be linear or mlp for vit_tiny"),
        ({"loss": "arcface", "margin": 3.2}, "`margin` must be below pi radians"),
        ({"loss": "nt_xent", "triplets": "study"}, "`triplets` must be disjoint for loss=nt_xent"),
        ({"unseen_classes": 2, "triplets": "study"}, "`triplets` must be disjoint with seen and unseen classes"),
        ({"max_images_per_class": 20, "triplets": "study"}, "`triplets` must be disjoint with `max_images_per_class`"),
        ({"val_by": "class", "triplets": "study"}, "`triplets` must be disjoint with `val_by` class"),
        ({"val_by": "classes"}, "Did you mean `class`?"),
        ({"max_images_per_class": 1}, "`max_images_per_class` must be at least 2, but got 1"),
        ({"fallback": "farest"}, "Did you mean `farthest`?"),
        ({"train_last_layer": False, "freeze_epochs": 1}, "head linear a frozen backbone leaves nothing to train"),
        (
            {"train_last_layer": False, "freeze_epochs": 2, "head": "study3", "norm_kind": "none"},
            "`freeze_epochs` must be 0, but got 2",
        ),
        ({"batch_sampler": "pk"}, "`batch_sampler` must be random for loss=triplet"),
        ({"batch_sampler": "pk", "loss": "semihard", "images_per_class": 5}, "`images_per_class` must divide"),
        ({"batch_sampler": "pk", "loss": "semihard", "accum_steps": 32}, "`images_per_class` must divide"),
        (
            {"batch_sampler": "pk", "loss": "semihard", "images_per_class": 64},
            "a neighbourhood holds two classes or more",
        ),
        ({"loss": "nt_xent", "accum_steps": 64}, "each neighbourhood would hold 1"),
        ({"batch_sampler": "pk", "loss": "mined", "accum_steps": 16}, "a neighbourhood holds two classes or more"),
        ({"koleo": True, "koleo_weight": 0.1, "loss": "arcface", "accum_steps": 64}, "neighbourhoods of 1"),
        ({"koleo": True, "koleo_weight": 0.1, "koleo_top_k": 2, "koleo_group_size": 2}, "neighbourhoods of 2"),
        ({"unfrozen_lr": 1e-4}, "`unfrozen_lr` needs epochs before and after the unfreezing"),
        ({"warmup_epochs": 2, "freeze_epochs": 2}, "`warmup_epochs` must leave one of the first 2 epochs"),
        ({"warmup_epochs": 2, "schedule": "one_cycle"}, "`warmup_epochs` must be 0 with one_cycle"),
        ({"probes": 1}, "`probes` must be 0 or at least 2"),
        ({"unseen_classes": 1}, "`unseen_classes` must be 0 or at least 2"),
        ({"dropout": 1.0}, "`dropout` must be in [0, 1)"),
        ({"weights": "imagenet"}, "`weights` must be none or a file for small_cnn"),
        ({"distance": "cosin"}, "Did you mean `cosine`?"),
        ({"accum_mode": "cache"}, "Did you mean `cached`?"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    (fault,) = faults(values)
    assert message in fault


@pytest.mark.parametrize("other", [{"head": "study3"}, {"head": "mlp"}, {"loss": "softmax"}, {"freeze_epochs": 0}])
def test_a_frozen_backbone_and_last_layer_are_no_fault_where_something_else_is_trained(other: dict[str, Any]) -> None:
    TrainConfig(**{"train_last_layer": False, "freeze_epochs": 1, **other})


def test_an_int_is_a_float_but_nothing_else_is_converted() -> None:
    config = TrainConfig.from_flat({"lr": 1, "koleo": True, "koleo_weight": 2})
    assert (type(config.lr), config.lr) == (float, 1.0)
    assert (type(config.koleo_weight), config.koleo_weight) == (float, 2.0)
    assert config.sha256 == TrainConfig(lr=1.0, koleo=True, koleo_weight=2.0).sha256


def test_flat_and_back() -> None:
    config = TrainConfig(koleo=True, koleo_weight=0.1, subset=50)
    assert TrainConfig.from_flat(config.to_flat()) == config
    assert TrainConfig.from_flat({**json.loads(config.to_json()), "data_root": None}) == config


@pytest.mark.parametrize("field", OTHER)
def test_the_hash_ignores_where_the_data_lie_and_nothing_else(field: str) -> None:
    together = TOGETHER.get(field, {})
    changed = TrainConfig(**{**together, field: OTHER[field]})
    # The same run but for the field, as far as there is one: `koleo` alone, say, is no run.
    kept = {} if field in ("koleo", "backbone") else together
    base = {**kept, "koleo_weight": 0.1} if field == "koleo_weight" else kept
    same = changed.sha256 == TrainConfig(**base).sha256
    assert same == (field == "data_root")


def test_the_hash_is_the_same_in_another_process() -> None:
    config = TrainConfig(lr=3e-4, koleo=True, koleo_weight=0.1)
    program = (
        "from embedding_core.config.train_config import TrainConfig\n"
        "import sys\n"
        "print(TrainConfig(koleo_weight=0.1, lr=3e-4, koleo=True, data_root='/x').sha256, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "99"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == [config.sha256, "False"]


@given(st.data())
def test_every_value_survives_the_command_line(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(field_types(TrainConfig)) - FILLED_IN)))
    value = data.draw(st.sampled_from([OTHER[name], getattr(TrainConfig(), name)]))
    assert parse_value(name, str(value)) == value


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0  # type: ignore[misc]


def test_faults_cross_processes_as_they_were_raised() -> None:
    faults = Faults(["first.", "second."])
    again = pickle.loads(pickle.dumps(faults))
    assert (again.faults, str(again)) == (faults.faults, str(faults))
