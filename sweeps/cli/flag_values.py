"""What the flags' values may be: everything that is wrong with them, and what they spell."""

import argparse
import re
from pathlib import Path

from embedding_core.config.train_config import CHOICES
from embedding_core.errors import unknown
from embedding_core.plugins.builtin import LOSSES
from sweeps.cli.flags import EACH_EPOCH, NEVER, flag_of
from sweeps.design.plan import CONFIRM, TUNERS
from sweeps.design.plan_file import EXTENDABLE
from sweeps.design.tuning import SEARCHERS
from sweeps.results.endings import RETRIABLE
from sweeps.results.latest import NAME as LATEST

MAX_SEED = 10**12
"""Seeds of blocks are derived from it and must fit 64 bits."""

_LEAST = {
    "samples": 1,
    "replicates": 1,
    "points": 1,
    "epochs": 1,
    "blocks": 1,
    "seed": 0,
    "eta": 2,
    "subset": 1,
    "max_concurrent": 1,
    "gpus_per_trial": 0,
}
"""Smallest value of each number; `--cpus-per-trial` and `--memory-per-trial` must be above 0."""


def value_faults(arguments: argparse.Namespace) -> list[str]:
    """Every value that cannot be."""
    faults = _number_faults(arguments)
    for name, known in (
        ("confirm", tuple(CONFIRM)),
        ("tuner", TUNERS),
        ("searcher", SEARCHERS),
        ("loss", LOSSES),
        ("duplicates", CHOICES["duplicates"]),
    ):
        value = getattr(arguments, name)
        if value is not None and value not in known:
            faults.append(unknown(name, value, known))
    faults += [*_extend_faults(arguments.extend), *_retry_faults(arguments.retry)]
    if arguments.time_budget is not None and seconds_of(arguments.time_budget) is None:
        faults.append(
            f"`--time-budget` must be a time such as 45s, 90m, 2h or 1h30m, but got `{arguments.time_budget}`."
        )
    for name, word in (("epoch_deadline", NEVER), ("room_deadline", NEVER), ("save_every", EACH_EPOCH)):
        value = getattr(arguments, name)
        if value != word and seconds_of(value) is None:
            faults.append(f"`{flag_of(name)}` must be a time such as 45s or 90m, or {word}, but got `{value}`.")
    if arguments.sd_from is not None and not arguments.plan:
        faults.append("`--sd-from` is for the power that `--plan` tells: add `--plan`.")
    if arguments.local and arguments.address:
        faults.append(f"`--local` and `--address` exclude each other, but got both ({arguments.address}).")
    if arguments.name is not None and (
        Path(arguments.name).name != arguments.name or arguments.name in ("", ".", "..")
    ):
        faults.append(f"`--name` must be a plain folder name, but got `{arguments.name}`.")
    if arguments.name == LATEST and not (arguments.resume or arguments.extend or arguments.retry):
        faults.append(f"`--name {LATEST}` is the link to the sweep that was started last: give another name.")
    return faults


def _number_faults(arguments: argparse.Namespace) -> list[str]:
    faults = []
    for name in (*_LEAST, "cpus_per_trial", "memory_per_trial", "exempt", "grace"):
        value = getattr(arguments, name)
        if name == "gpus_per_trial" and value == "auto":
            continue
        flag = flag_of(name)
        if isinstance(value, str):
            faults.append(f"`{flag}` must be a number, but got `{value}`.")
        elif name in _LEAST and value is not None and not value >= _LEAST[name]:
            faults.append(f"`{flag}` must be at least {_LEAST[name]}, but got {value:g}.")
        elif name == "seed" and value is not None and value > MAX_SEED:
            faults.append(f"`{flag}` must be at most {MAX_SEED}, but got {value}.")
        elif name == "exempt" and value is not None and not 0 <= value < 1:
            faults.append(f"`{flag}` must be in [0, 1), but got {value:g}.")
        elif name == "grace" and value is not None and not 0 < value <= 1:
            faults.append(f"`{flag}` must be above 0 and at most 1, but got {value:g}.")
        elif name in ("cpus_per_trial", "memory_per_trial") and value is not None and not value > 0:
            faults.append(f"`{flag}` must be above 0, but got {value:g}.")
        elif name == "gpus_per_trial" and value is not None and value > 1:
            faults.append(f"`{flag}` must be at most 1, as a trial trains on one GPU, but got {value:g}.")
    return faults


def seconds_of(text: str) -> float | None:
    """Seconds of `1h30m`, `90m` or `45s`; None for anything else, and for no time at all."""
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.strip())
    try:
        parts = [float(part) if part else 0.0 for part in match.groups()] if match else []
    except ValueError:
        return None
    return sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False)) or None


def _extend_faults(text: str | None) -> list[str]:
    if text is None:
        return []
    stage, _, number = text.rpartition("=")
    faults = []
    if stage and stage not in EXTENDABLE:
        faults.append(unknown("thing to extend", stage, EXTENDABLE))
    if not number.isdecimal() or int(number) < 1:
        faults.append(f"`--extend` must be a number of at least 1, or WHAT=N, but got `{text}`.")
    return faults


def _retry_faults(text: str | None) -> list[str]:
    return [unknown("ending to retry", kind, RETRIABLE) for kind in kinds(text) if kind not in RETRIABLE]


def kinds(text: str | None) -> tuple[str, ...]:
    """The endings in `error,oom`."""
    return tuple(text.split(",")) if text is not None else ()
