"""Learning rates as a pure function of the update: nothing to save, so a resumed run has the rates of a whole one."""

import math
from collections.abc import Callable
from functools import partial

import torch

from embedding_core.config.train_config import CHOICES, TrainConfig
from embedding_core.errors import unknown
from embedding_core.training.optimizers import group_lr

ONE_CYCLE_RISE = 0.3
"""Share of the updates until the peak (`pct_start` of torch's OneCycleLR)."""

ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4
"""The peak over the first rate, and the first over the last (`div_factor`, `final_div_factor`)."""


def lr_at(
    update: int,
    *,
    schedule: str,
    lr: float,
    updates: int,
    warmup_updates: int = 0,
    frozen_updates: int = 0,
    unfrozen_lr: float | None = None,
) -> float:
    """Rate of the head in an update.

    A run has one phase, or two where the backbone is frozen first; the second has the rate `unfrozen_lr` (None: `lr`)
    and starts the schedule anew. `warmup_updates` of linear warm-up come before the first phase's schedule: update u of
    U has (u + 1) / U of the rate. With p the share of the phase (after warm-up) that is done:

    * `constant`: lr
    * `cosine`: lr (1 + cos(pi p)) / 2
    * `anneal`: lr (1 + 10 p)^-0.75
    * `one_cycle`: torch's OneCycleLR with its defaults, but momentum stays as it is.

    Args:
        update: optimiser steps before this one, in [0, updates).
        schedule: one of these names.
        lr: > 0.
        updates: optimiser steps of the whole run, >= 1.
        warmup_updates: of the first phase; fewer than it has.
        frozen_updates: length of the first phase where there are two; 0: there is one.
        unfrozen_lr: > 0.

    Raises:
        ValueError: no such update, or unknown schedule.

    Source: Ganin & Lempitsky 2015, arXiv 1409.7495 (`anneal`); Smith & Topin 2017, arXiv 1708.07120 (`one_cycle`).
    """
    if not 0 <= update < updates:
        raise ValueError(f"`update` must be in [0, {updates}), but got {update}.")
    if update < frozen_updates:
        return _phase(schedule, lr, update, frozen_updates, warmup=warmup_updates)
    rate = lr if unfrozen_lr is None else unfrozen_lr
    warmup = 0 if frozen_updates else warmup_updates
    return _phase(schedule, rate, update - frozen_updates, updates - frozen_updates, warmup=warmup)


def schedule_of(config: TrainConfig, updates_per_epoch: int) -> Callable[[int], float]:
    """`lr_at` of a run by `config`, as a function of the update alone."""
    return partial(
        lr_at,
        schedule=config.schedule,
        lr=config.lr,
        updates=config.epochs * updates_per_epoch,
        warmup_updates=config.warmup_epochs * updates_per_epoch,
        frozen_updates=min(config.freeze_epochs, config.epochs) * updates_per_epoch,
        unfrozen_lr=config.unfrozen_lr,
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float, *, backbone_lr_ratio: float) -> None:
    """Give the groups of `build_optimizer` their rates when the head's is `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = group_lr(group["name"], lr, backbone_lr_ratio=backbone_lr_ratio)


def _phase(schedule: str, lr: float, update: int, updates: int, *, warmup: int) -> float:
    if update < warmup:
        return lr * (update + 1) / warmup
    done = (update - warmup) / (updates - warmup)
    match schedule:
        case "constant":
            return lr
        case "cosine":
            return _cosine(lr, 0.0, done)
        case "anneal":
            annealed: float = lr * (1 + 10 * done) ** -0.75
            return annealed
        case "one_cycle":
            return _one_cycle(lr, update, updates)
    raise ValueError(unknown("schedule", schedule, CHOICES["schedule"]))


def _one_cycle(lr: float, update: int, updates: int) -> float:
    first = lr / ONE_CYCLE_START
    peak, last = ONE_CYCLE_RISE * updates - 1, updates - 1
    if update <= peak:
        return _cosine(first, lr, update / peak)
    return _cosine(lr, first / ONE_CYCLE_END, (update - peak) / (last - peak))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
