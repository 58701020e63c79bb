"""The configuration that ran, read off the live objects after the first step.

A study published its arms swapped because only the configuration asked for was recorded. Here the two must be equal,
and the analysis refuses a run in which they are not.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from embedding_core.accumulate import StepReport
from embedding_core.config import TrainConfig
from embedding_core.device_data import DeviceData
from embedding_core.models import EmbeddingNetwork
from embedding_core.objective import TripletObjective
from embedding_core.optimizers import OPTIMIZERS
from embedding_core.seeding import generator
from embedding_core.splits import Split

UNKNOWN_SEED = 2**63 - 1
"""Recorded when the data came in another order than the seed's."""


def config_seen(
    config: TrainConfig,
    *,
    data: DeviceData,
    split: Split,
    network: EmbeddingNetwork,
    optimizer: torch.optim.Optimizer,
    objective: TripletObjective,
    order: Tensor,
    epoch: int,
    step: StepReport,
) -> TrainConfig:
    """`config` with every field that a live object can tell replaced by what it tells."""
    names = {kind: name for name, kind in OPTIMIZERS.items()}
    examples = len(order)
    batch_size = len(step.embeddings)
    return replace(
        config,
        dataset=data.name,
        subset=config.subset if config.subset is None and examples == split.triplets_available else examples,
        triplets=_protocol(split),
        backbone=_backbone(network),
        norm_kind=_norm_kind(network),
        embedding_dim=step.embeddings.shape[-1],
        margin=objective.margin,
        distance=objective.distance,
        koleo=objective.koleo_weight is not None,
        koleo_weight=objective.koleo_weight,
        batch_size=batch_size,
        accum_steps=step.passes,
        accum_mode=step.mode,
        optimizer=names[type(optimizer)],
        lr=optimizer.param_groups[0]["lr"],
        seed=config.seed if _is_order_of(config.seed, epoch, order) else UNKNOWN_SEED,
    )


def _protocol(split: Split) -> str:
    """What the splits are, not what they were called."""
    shared = torch.isin(split.val_triplets, split.train_triplets).any()
    return "study" if shared else "disjoint"


def _is_order_of(seed: int, epoch: int, order: Tensor) -> bool:
    expected = torch.randperm(len(order), generator=generator(seed, "order", epoch))
    return torch.equal(order.cpu(), expected)


def _backbone(network: EmbeddingNetwork) -> str:
    return "vgg11" if network.head.in_features == 512 else "small_cnn"


def _norm_kind(network: EmbeddingNetwork) -> str:
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            return "group"
        if isinstance(module, nn.BatchNorm2d):
            return "batch"
    return "none"
