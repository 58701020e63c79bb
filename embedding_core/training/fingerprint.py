"""The configuration that ran, read off the live objects after the first step.

A study published its arms swapped because only the configuration asked for was recorded. Here the two must be equal,
and the analysis refuses a run in which they are not.
"""

import math
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import order_of
from embedding_core.data.splits import Split, largest_class_size
from embedding_core.losses.objective import Objective
from embedding_core.models.heads import last_linear
from embedding_core.models.inputs import Inputs
from embedding_core.models.network import EmbeddingNetwork, describe
from embedding_core.plugins.builtin import BACKBONES
from embedding_core.training.accumulation import StepReport
from embedding_core.training.optimizers import OPTIMIZERS, group_lr
from embedding_core.training.precision import pick_precision, precision_seen
from embedding_core.training.schedules import schedule_of

UNKNOWN_SEED = 2**63 - 1
"""Recorded when the data came in another order than the seed's."""


def observed_config(
    config: TrainConfig,
    *,
    data: DeviceData,
    split: Split,
    network: EmbeddingNetwork,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    order: Int64[Tensor, " m"],
    epoch: int,
    step: StepReport,
    inputs: Inputs,
) -> TrainConfig:
    """`config` with every field that a live object can tell replaced by what it tells; `step` is the epoch's first.

    No object tells how the split was drawn (`split_seed`, `val_share`, `seen_classes`, `unseen_classes`: rows carry its
    hash), the augmentation, or what only comes later (`epochs`, `eval_test`); these are taken from `config`.
    """
    examples = len(split.train_examples)
    of_class = largest_class_size(data.labels.cpu(), torch.cat([split.train, split.val, split.unused]))
    observed: dict[str, Any] = {
        "dataset": data.name,
        "image_size": data.image_size,
        "subset": config.subset if config.subset is None and examples == split.examples_available else examples,
        "max_images_per_class": (
            config.max_images_per_class
            if of_class == min(config.max_images_per_class or split.largest_class, split.largest_class)
            else of_class
        ),
        "triplets": split.protocol,
        "val_by": _validated_by(data, split),
        "val_images": _most_validation_images(config, split),
        **_network_settings(config, network),
        **_loss_settings(network, objective),
        "train_last_layer": _last_layer_trained(network, optimizer),
        **({"feature_views": inputs.feature_views} if config.frozen_throughout else {}),
        "batch_size": len(step.embeddings),
        "accum_steps": step.passes,
        "accum_mode": step.mode,
        "precision": _precision(config, network, step.embeddings.device),
        **_optimizer_settings(config, optimizer, epoch, len(order)),
        "seed": config.seed if torch.equal(order.cpu(), order_of(config, split, epoch)) else UNKNOWN_SEED,
    }
    return TrainConfig.observed(config.to_flat() | observed)


def _validated_by(data: DeviceData, split: Split) -> str:
    """`class` where no validation image is of a class that training images are of."""
    labels = data.labels.cpu()
    return "image" if torch.isin(labels[split.val], labels[split.train]).any() else "class"


def _most_validation_images(config: TrainConfig, split: Split) -> int:
    """What was asked for, unless more validate, or fewer than could; study 1's triplets have images of their own."""
    few_enough = len(split.val) == min(config.val_images, len(split.val) + len(split.unused))
    return config.val_images if few_enough or split.protocol == "study" else len(split.val)


def _precision(config: TrainConfig, network: EmbeddingNetwork, device: torch.device) -> str:
    """`auto` if it is what that picks here."""
    seen = precision_seen(network.precision, device)
    return config.precision if config.precision == "auto" and seen == pick_precision("auto", device) else seen


def _network_settings(config: TrainConfig, network: EmbeddingNetwork) -> dict[str, Any]:
    """A hidden width that was left to the backbone is observed as the backbone's; other heads have none."""
    observed = describe(network)
    backbone_width = observed.pop("backbone_width")
    if BACKBONES[config.backbone].sha256 is not None:  # nothing here knows the layers of a plug-in's network
        observed |= {name: getattr(config, name) for name in ("backbone", "norm_kind", "input_scaling")}
        backbone_width = observed["head_width"]
    if observed["head"] != "mlp":
        del observed["head_layers"], observed["head_width"]
    elif config.head_width is None and observed["head_width"] == backbone_width:
        observed["head_width"] = None
    return observed


def _loss_settings(network: EmbeddingNetwork, objective: Objective) -> dict[str, Any]:
    """Of unit embeddings the dot product is the cosine, and no loss but NT-Xent by `dot` is meant for others."""
    observed = objective.settings()
    if not network.unit:
        return {"similarity": "dot"} | observed
    return observed | ({"similarity": "cosine"} if "similarity" in observed else {})


def _last_layer_trained(network: EmbeddingNetwork, optimizer: torch.optim.Optimizer) -> bool:
    """It needs both: a gradient, and an optimiser that knows of it (study 3's did not)."""
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return all(p.requires_grad and id(p) in known for p in last_linear(network.head).parameters())


def _optimizer_settings(
    config: TrainConfig, optimizer: torch.optim.Optimizer, epoch: int, examples: int
) -> dict[str, float | str]:
    """The rate is the one asked for if the group has what the schedule makes of it."""
    updates_per_epoch = math.ceil(examples / config.batch_size)
    group = optimizer.param_groups[0]
    asked = schedule_of(config, updates_per_epoch)(epoch * updates_per_epoch)
    expected = group_lr(group["name"], asked, backbone_lr_ratio=config.backbone_lr_ratio)
    observed = {
        "optimizer": {kind: name for name, kind in OPTIMIZERS.items()}[type(optimizer)],
        "lr": config.lr if group["lr"] == expected else group["lr"],
        "weight_decay": float(max(group["weight_decay"] for group in optimizer.param_groups)),  # adamw: of the weights
    }
    if config.optimizer in ("sgd", "lars"):
        observed["momentum"] = group["momentum"]
    if "betas" in group:
        observed["beta2"] = float(group["betas"][1])
    return observed
