"""The configuration that ran, read off live objects: equal to the one asked for, unless the objects are another's."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import order_of
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.models.inputs import inputs_of
from embedding_core.models.network import build_network, set_frozen
from embedding_core.training.accumulation import StepReport, accumulated_step
from embedding_core.training.fingerprint import UNKNOWN_SEED, observe
from embedding_core.training.optimizers import build_optimizer
from embedding_core.training.schedules import schedule_of, set_lr
from embedding_core.transforms.recipe import Recipe

BASE = TrainConfig(subset=70, batch_size=32, accum_steps=2, koleo=True, koleo_weight=0.1)


def objects_of(config: TrainConfig, digits: DeviceData, epoch: int = 0) -> dict[str, Any]:
    """What `train` holds after its first step of `epoch`."""
    split = digits.split(config)
    mean, std = digits.scaling(split)
    network = build_network(config, shape=digits.shape, mean=mean, std=std, precision="float32")
    set_frozen(network, config.frozen_throughout)
    objective = Objective.of(config, classes=split.classes)
    optimizer = build_optimizer(
        network, objective.parameters(), optimizer=config.optimizer, lr=config.lr, weight_decay=config.weight_decay,
        momentum=config.momentum, beta2=config.beta2, backbone_lr_ratio=config.backbone_lr_ratio,
    )  # fmt: skip
    set_frozen(network, epoch < config.freeze_epochs)
    order = order_of(config, split, epoch)
    index = split.train_examples[order[: config.batch_size]]
    meter = Meter()
    step = accumulated_step(
        network,
        digits.images[index],
        lambda z, part: objective(z, digits.labels[index][part], meter, torch.empty(0, z[..., 0].numel()).double()),
        accum_steps=config.accum_steps,
        mode=config.accum_mode,
    )
    updates_per_epoch = math.ceil(len(order) / config.batch_size)
    lr = schedule_of(config, updates_per_epoch)(epoch * updates_per_epoch)
    set_lr(optimizer, lr, backbone_lr_ratio=config.backbone_lr_ratio)
    return {
        "data": digits, "split": split, "network": network, "optimizer": optimizer, "objective": objective,
        "order": order, "epoch": epoch, "step": step,
        "inputs": inputs_of(
            digits, config=config, network=network, recipe=Recipe.of(config, side=8, flips=False), kept={}
        ),
    }  # fmt: skip


def told_by(config: TrainConfig, **objects: Any) -> TrainConfig:
    """What is seen where `config` was asked for, all of which fields tell."""
    found = observe(config, **objects)
    assert not found.network
    assert found.sha256 == found.config.sha256
    assert (found.differences is None) == (found.config == config)
    return found.config


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"optimizer": "rmsprop"}, {"norm_kind": "batch"}, {"norm_kind": "none"}, {"accum_mode": "cached"},
        {"accum_steps": 1}, {"accum_steps": 1, "accum_mode": "cached"}, {"accum_steps": 32}, {"subset": None},
        {"subset": 32}, {"koleo": False, "koleo_weight": None}, {"distance": "l2", "margin": 0.25}, {"seed": 5},
        {"embedding_dim": 16}, {"triplets": "study"}, {"batch_size": 64, "accum_steps": 4}, {"lr": 0.01},
        {"beta2": 0.99}, {"beta2": 0.9, "optimizer": "adamw"}, {"split_seed": 3}, {"val_images": 50},
        {"val_by": "class"}, {"val_by": "class", "loss": "softmax", "val_images": 50, "max_images_per_class": 20},
        {"val_images": 50, "max_images_per_class": 20}, {"val_images": 50, "triplets": "study"},
        {"loss": "semihard", "batch_sampler": "pk"}, {"loss": "arcface", "scale": 30.0}, {"loss": "softmax"},
        {"loss": "mined", "mining": "curriculum"}, {"loss": "nt_xent", "temperature": 0.1, "similarity": "dot"},
        {"optimizer": "lars", "momentum": 0.5, "weight_decay": 0.1}, {"schedule": "cosine", "warmup_epochs": 1},
        {"schedule": "anneal", "freeze_epochs": 2, "unfrozen_lr": 1e-4}, {"backbone_lr_ratio": 0.1},
        {"head": "mlp"}, {"head": "mlp", "head_layers": 3, "head_width": 20}, {"dropout": 0.2}, {"head": "study3"},
        {"input_scaling": "imagenet"}, {"koleo_top_k": 2, "koleo_group_size": 12, "koleo_exclude_same_class": True},
        {"max_images_per_class": 20}, {"max_images_per_class": 5000}, {"loss": "nt_xent", "max_images_per_class": 20},
        {"loss": "semihard", "batch_sampler": "pk", "max_images_per_class": 12, "unseen_classes": 2},
        {"loss": "semihard", "fallback": "nearest"}, {"fallback": "nearest"}, {"similarity": "dot"},
        {"train_last_layer": False}, {"train_last_layer": False, "backbone_lr_ratio": 0.1, "schedule": "one_cycle"},
        {"train_last_layer": False, "head": "study3", "optimizer": "adamw", "weight_decay": 0.1, "dropout": 0.2},
        {"train_last_layer": False, "head": "mlp", "loss": "arcface"},
        {"freeze_epochs": 5}, {"freeze_epochs": 5, "feature_views": 4}, {"freeze_epochs": 5, "feature_views": 0},
    ],
)  # fmt: skip
@pytest.mark.parametrize("epoch", [0, 3])
def test_objects_of_the_config_tell_the_config(digits: DeviceData, settings: dict[str, Any], epoch: int) -> None:
    config = replace(BASE, **settings)
    assert told_by(config, **objects_of(config, digits, epoch)) == config


@pytest.mark.parametrize(
    "stale",
    [
        {"lr": 0.01}, {"margin": 0.2}, {"distance": "l2"}, {"koleo_weight": 0.2},
        {"koleo": False, "koleo_weight": None}, {"optimizer": "rmsprop"}, {"accum_steps": 4}, {"accum_steps": 1},
        {"accum_mode": "cached"}, {"batch_size": 64}, {"embedding_dim": 16}, {"subset": 64},
        {"norm_kind": "batch"}, {"norm_kind": "none"}, {"triplets": "study"}, {"head": "mlp", "dropout": 0.1},
        {"koleo_top_k": 3}, {"koleo_group_size": 12}, {"weight_decay": 0.1}, {"input_scaling": "imagenet"},
        {"max_images_per_class": 20}, {"train_last_layer": False}, {"beta2": 0.99}, {"val_images": 50},
        {"val_by": "class"},
    ],
)  # fmt: skip
def test_objects_of_another_config_tell_that_one(digits: DeviceData, stale: dict[str, Any]) -> None:
    """A stale actor: asked for BASE, still holding the objects of the trial before."""
    observed = told_by(BASE, **objects_of(replace(BASE, **stale), digits))
    assert observed == replace(BASE, **stale)
    assert observed.sha256 != BASE.sha256


def test_a_stale_subset_shows_where_none_was_asked_for_and_the_other_way_round(digits: DeviceData) -> None:
    whole = replace(BASE, subset=None)
    assert told_by(whole, **objects_of(BASE, digits)) == BASE
    # All triplets, by their number: a subset was asked for, so one is recorded.
    assert told_by(BASE, **objects_of(whole, digits)).subset == digits.split(whole).examples_available == 573


def test_a_stale_number_of_validation_images_shows_under_any_other(digits: DeviceData) -> None:
    few = replace(BASE, val_images=50)
    assert told_by(replace(BASE, val_images=60), **objects_of(few, digits)) == few
    assert told_by(few, **objects_of(BASE, digits)).val_images == len(digits.split(BASE).val) == 287
    # All there are is what was asked for, too many or not.
    assert told_by(replace(BASE, val_images=9999), **objects_of(BASE, digits)).val_images == 9999


def test_a_stale_cap_shows_under_another_and_under_none(digits: DeviceData) -> None:
    capped = replace(BASE, max_images_per_class=20)
    assert told_by(replace(capped, max_images_per_class=30), **objects_of(capped, digits)) == capped
    everything = told_by(capped, **objects_of(BASE, digits)).max_images_per_class
    whole = digits.split(BASE)
    assert everything == digits.labels[torch.cat([whole.train, whole.val])].bincount().max()


def test_a_last_layer_that_the_optimiser_does_not_know_is_not_trained(digits: DeviceData) -> None:
    """Study 3's probable defect: the layer has gradients, the optimiser was built without it."""
    objects = objects_of(BASE, digits)
    last = {id(p) for p in objects["network"].head.parameters()}
    for group in objects["optimizer"].param_groups:
        group["params"] = [p for p in group["params"] if id(p) not in last]
    assert told_by(BASE, **objects) == replace(BASE, train_last_layer=False)


def test_dot_needs_a_loss_that_takes_lengths_and_a_network_that_leaves_them(digits: DeviceData) -> None:
    base = replace(BASE, loss="nt_xent")
    dot = replace(base, similarity="dot")
    assert told_by(dot, **objects_of(base, digits)) == base
    objects = objects_of(dot, digits)
    assert told_by(base, **objects) == dot
    objects["network"].unit = True
    assert told_by(dot, **objects) == base  # of unit vectors the two are one
    triplets = objects_of(BASE, digits)
    triplets["network"].unit = False
    assert told_by(BASE, **triplets) == replace(BASE, similarity="dot")


def test_a_stale_precision_shows_and_auto_is_what_it_picks(digits: DeviceData) -> None:
    objects = objects_of(BASE, digits)
    assert told_by(replace(BASE, precision="float32"), **objects).precision == "float32"
    assert told_by(BASE, **objects).precision == "auto"
    objects["network"].precision = "bf16"
    for asked in ("auto", "float32"):
        assert told_by(replace(BASE, precision=asked), **objects) == replace(BASE, precision="bf16")


def test_another_seeds_order_is_recorded_as_unknown(digits: DeviceData) -> None:
    observed = told_by(BASE, **objects_of(replace(BASE, seed=1), digits))
    assert observed.seed == UNKNOWN_SEED


def test_another_epochs_order_is_not_this_one(digits: DeviceData) -> None:
    objects = objects_of(BASE, digits, epoch=2)
    assert told_by(BASE, **{**objects, "epoch": 1}).seed == UNKNOWN_SEED


def test_arms_swapped_as_in_the_published_study(digits: DeviceData) -> None:
    """K=4 labelled K=1 and the other way round."""
    one, four = replace(BASE, accum_steps=1), replace(BASE, accum_steps=4)
    assert told_by(one, **objects_of(four, digits)).sha256 == four.sha256
    assert told_by(four, **objects_of(one, digits)).sha256 == one.sha256


def test_the_number_of_passes_is_counted_not_believed(digits: DeviceData) -> None:
    objects = objects_of(BASE, digits)
    step: StepReport = objects["step"]
    assert told_by(BASE, **{**objects, "step": step._replace(passes=1)}).accum_steps == 1
