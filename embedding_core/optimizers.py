"""Optimisers by name."""

from collections.abc import Iterable

import torch
from torch import nn

from embedding_core.config import TrainConfig

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser `config` asks for, torch's defaults otherwise."""
    return OPTIMIZERS[config.optimizer](parameters, lr=config.lr)  # type: ignore[call-arg]
