"""Learning rates as a pure function of the update: nothing to save, so a resumed run has the rates of a whole one."""

import math

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.training.optimizers import group_lr

ONE_CYCLE_RISE = 0.3
"""Share of the updates until the peak (`pct_start` of torch's OneCycleLR)."""

ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4
"""The peak over the first rate, and the first over the last (`div_factor`, `final_div_factor`)."""


def lr_at(config: TrainConfig, update: int, updates_per_epoch: int) -> float:
    """Rate of the head in an update.

    A run has one phase, or two where the backbone is frozen first; the second has the rate `unfrozen_lr` (None: `lr`)
    and starts the schedule anew. `warmup_epochs` of linear warm-up come before the first phase's schedule: update u of
    U has (u + 1) / U of the rate. With p the share of the phase (after warm-up) that is done:

    * `constant`: lr
    * `cosine`: lr (1 + cos(pi p)) / 2
    * `anneal`: lr (1 + 10 p)^-0.75
    * `one_cycle`: torch's OneCycleLR with its defaults, but momentum stays as it is.

    Args:
        config: `lr`, `schedule`, `warmup_epochs`, `freeze_epochs`, `unfrozen_lr` and `epochs` are read.
        update: optimiser steps before this one, in [0, epochs * updates_per_epoch).
        updates_per_epoch: >= 1.

    Raises:
        ValueError: no such update.

    Source: Ganin & Lempitsky 2015, arXiv 1409.7495 (`anneal`); Smith & Topin 2017, arXiv 1708.07120 (`one_cycle`).
    """
    unfreezing, end = config.freeze_epochs * updates_per_epoch, config.epochs * updates_per_epoch
    if not 0 <= update < end:
        raise ValueError(f"`update` must be in [0, {end}), but got {update}.")
    if update < unfreezing:
        return _phase(config, config.lr, update, unfreezing, warmup=config.warmup_epochs * updates_per_epoch)
    lr = config.lr if config.unfrozen_lr is None else config.unfrozen_lr
    warmup = 0 if unfreezing else config.warmup_epochs * updates_per_epoch
    return _phase(config, lr, update - unfreezing, end - unfreezing, warmup=warmup)


def set_lr(optimizer: torch.optim.Optimizer, config: TrainConfig, lr: float) -> None:
    """Give the groups of `build_optimizer` their rates when the head's is `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = group_lr(group["name"], config, lr)


def _phase(config: TrainConfig, lr: float, update: int, updates: int, *, warmup: int) -> float:
    if update < warmup:
        return lr * (update + 1) / warmup
    done = (update - warmup) / (updates - warmup)
    match config.schedule:
        case "cosine":
            return _cosine(lr, 0.0, done)
        case "anneal":
            annealed: float = lr * (1 + 10 * done) ** -0.75
            return annealed
        case "one_cycle":
            return _one_cycle(lr, update, updates)
    return lr


def _one_cycle(lr: float, update: int, updates: int) -> float:
    first = lr / ONE_CYCLE_START
    peak, last = ONE_CYCLE_RISE * updates - 1, updates - 1
    if update <= peak:
        return _cosine(first, lr, update / peak)
    return _cosine(lr, first / ONE_CYCLE_END, (update - peak) / (last - peak))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
