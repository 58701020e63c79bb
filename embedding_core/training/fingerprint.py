"""The configuration that ran, read off the live objects after the first step.

A study published its arms swapped because only the configuration asked for was recorded. Here the two must be equal,
and the analysis refuses a run in which they are not.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import order_of
from embedding_core.data.splits import Split, largest_class_size
from embedding_core.errors import Faults
from embedding_core.losses.objective import Objective
from embedding_core.models.heads import last_linear
from embedding_core.models.inputs import Inputs
from embedding_core.models.network import EmbeddingNetwork, describe
from embedding_core.models.pretrained import published_scaling
from embedding_core.training.accumulation import StepReport
from embedding_core.training.network_fingerprint import network_differences
from embedding_core.training.optimizers import OPTIMIZERS, group_lr
from embedding_core.training.precision import pick_precision, precision_seen
from embedding_core.training.schedules import schedule_of

UNKNOWN_SEED = 2**63 - 1
"""Recorded when the data came in another order than the seed's."""


NAMED = 8
"""Differences that are written out; the others are counted."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the live objects tell of a run."""

    asked: TrainConfig
    config: TrainConfig
    """`asked` with every field that a live object can tell replaced by what it tells."""
    network: tuple[str, ...]
    """In what the network is not that of `config`: no field says it. A clause each, with both values."""

    @property
    def sha256(self) -> str:
        """That of the configuration asked for if, and only if, nothing differs."""
        if not self.network:
            return self.config.sha256
        return hashlib.sha256("\n".join([self.config.to_json(), *self.network]).encode()).hexdigest()

    @property
    def differences(self) -> str | None:
        """What differs, with what was seen and what was asked for; None: nothing."""
        asked = self.asked.to_flat()
        fields = [f"`{k}` is {v}, not {asked[k]}" for k, v in self.config.to_flat().items() if v != asked[k]]
        found = [*fields, *self.network]
        rest = [f"{len(found) - NAMED} more"] if len(found) > NAMED else []
        return "; ".join([*found[:NAMED], *rest]) or None


def observe(
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
    weights: Sequence[str] = (),
) -> Observation:
    """What ran, where `config` was asked for.

    No object tells how the split was drawn (`split_seed`, `val_share`, `seen_classes`, `unseen_classes`: rows carry its
    hash), the augmentation, or what only comes later (`epochs`, `eval_test`); these are taken from `config`.

    Args:
        config: what was asked for.
        data: what is trained on.
        split: of `data`.
        network: after the step.
        optimizer: of the network and the objective.
        objective: with the settings of the loss.
        order: positions of the epoch's examples, batch after batch.
        epoch: counted from 0.
        step: the epoch's first.
        inputs: what the network was given.
        weights: what `weights_differences` found before the step.
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
        **_loss_settings(network, objective),
        **({"feature_views": inputs.feature_views} if config.frozen_throughout else {}),
        "batch_size": len(step.embeddings),
        "accum_steps": step.passes,
        "accum_mode": step.mode,
        "precision": _precision(config, network, step.embeddings.device),
        **_optimizer_settings(config, optimizer, epoch, len(order)),
        "seed": config.seed if torch.equal(order.cpu(), order_of(config, split, epoch)) else UNKNOWN_SEED,
    }
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    settings, differing = _network_told(config, network, frozen=epoch < config.freeze_epochs, optimized=optimized)
    seen = TrainConfig.observed(config.to_flat() | observed | settings)
    return Observation(config, seen, (*differing, *_scaling_differences(seen, network, data, split), *weights))


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


def _network_told(
    config: TrainConfig, network: EmbeddingNetwork, *, frozen: bool, optimized: set[int]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields that the layers tell, and in what the network differs from that of these fields.

    The kind of norm layers is told by them only where something differs: a backbone may have norms of its own choice.
    """
    fields = _head_settings(config, network, optimized)
    norm_kind = fields.pop("norm_kind")
    found = []
    for told in (fields, fields | {"norm_kind": norm_kind}):
        seen = TrainConfig.observed(config.to_flat() | told)
        try:
            found.append((told, network_differences(seen, network, frozen=frozen, optimized=optimized)))
        except Faults as error:  # no such network can be
            found.append((told, error.faults))
        if not found[-1][1]:
            break
    return min(found, key=lambda one: len(one[1]))


def _head_settings(config: TrainConfig, network: EmbeddingNetwork, optimized: set[int]) -> dict[str, Any]:
    """A hidden width that was left to the backbone is observed as the backbone's; other heads have none."""
    observed = describe(network, backbone=config.backbone)
    if observed["head"] != "mlp":
        del observed["head_layers"], observed["head_width"]
    elif config.head_width is None and observed["head_width"] == network.feature_shape[0]:
        observed["head_width"] = None
    # It needs both: a gradient, and an optimiser that knows of it (study 3's did not).
    last = last_linear(network.head).parameters()
    return observed | {"train_last_layer": any(p.requires_grad and id(p) in optimized for p in last)}


def _scaling_differences(
    seen: TrainConfig, network: EmbeddingNetwork, data: DeviceData, split: Split
) -> tuple[str, ...]:
    """Where pixels are not scaled as the settings that were seen would have it."""
    published = seen.input_scaling == "imagenet"
    asked = published_scaling(seen.backbone) if published else data.scaling(split)
    found = []
    for name, live, there in zip(("mean", "std"), (network.mean, network.std), asked, strict=True):
        here = live.flatten().float().cpu()
        # Another machine may have summed in another order.
        if not torch.allclose(here, there.expand_as(here), rtol=1e-5, atol=0):
            found.append(f"`{name}` of pixels is {here.tolist()}, not {there.tolist()}")
    return tuple(found)


def _loss_settings(network: EmbeddingNetwork, objective: Objective) -> dict[str, Any]:
    """Of unit embeddings the dot product is the cosine, and no loss but NT-Xent by `dot` is meant for others."""
    observed = objective.settings()
    if not network.unit:
        return {"similarity": "dot"} | observed
    return observed | ({"similarity": "cosine"} if "similarity" in observed else {})


def _optimizer_settings(
    config: TrainConfig, optimizer: torch.optim.Optimizer, epoch: int, examples: int
) -> dict[str, float | str]:
    """The rate is the one asked for if the group has what the schedule makes of it."""
    updates_per_epoch = math.ceil(examples / config.batch_size)
    group = optimizer.param_groups[0]
    asked = schedule_of(config, updates_per_epoch)(epoch * updates_per_epoch)
    expected = group_lr(group["name"], asked, backbone_lr_ratio=config.backbone_lr_ratio)
    observed = {
        "optimizer": {kind: name for name, kind in OPTIMIZERS.items()}.get(type(optimizer), type(optimizer).__name__),
        "lr": config.lr if group["lr"] == expected else group["lr"],
        "weight_decay": float(max(group["weight_decay"] for group in optimizer.param_groups)),  # adamw: of the weights
    }
    if config.optimizer in ("sgd", "lars"):
        observed["momentum"] = group["momentum"]
    if "betas" in group:
        observed["beta2"] = float(group["betas"][1])
    return observed
