"""What nobody typed, a batch size above all, made to fit a data set that is too small for what is declared."""

import math
from collections.abc import Iterator
from dataclasses import replace

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import batch_faults, batch_told
from sweeps.cli.plan_checks import config_faults, distinct
from sweeps.design.design import Settings
from sweeps.design.plan import Plan

DRAW_FIELDS = ("loss", "subset", "max_images_per_class", "val_by", "duplicates")
"""What decides how many training examples there are."""

BATCH_FIELDS = (*DRAW_FIELDS, "batch_size", "accum_steps", "batch_sampler", "images_per_class", "norm_kind",
                "accum_mode", "koleo")  # fmt: skip
"""What decides whether batches can be made of them."""


def fitted(plan: Plan, data: DeviceData) -> Plan:
    """The same plan where every batch can be made and learnt from; else with what nobody typed made to fit the data.

    That is the batch size, see `_smaller_batches`; or the loss, where no batch can teach the preset's anything but the
    design declares another. The plan stays as it is where neither would do: `preflight` says what is wrong with it.

    Raises:
        Faults: no examples can be drawn.
    """
    smaller = _smaller_batches(plan, data)
    ours, loss = plan.base.get("loss"), plan.design.fixed.get("loss")
    if smaller is not plan or "loss" in plan.what or not ours or not loss or loss == ours:
        return smaller
    if not (faults := plan_batch_faults(plan, data)):
        return plan
    other = _smaller_batches(_with(plan, {"loss": loss}), data)
    if config_faults(other) or plan_batch_faults(other, data):
        return plan
    # In batches that do fit, the preset's loss has another fault than that they were too large.
    same = _with(plan, {"batch_size": other.base["batch_size"]}) if other.guessed else plan
    why = next(iter(plan_batch_faults(same, data)), faults[0])
    told = f"{loss} instead of {ours}: a guess, as no loss was given. {why}"
    return replace(other, guessed={**other.guessed, "loss": told})


def _smaller_batches(plan: Plan, data: DeviceData) -> Plan:
    """The same plan where its batches fit, where a batch size was typed, or where none would do; else with the largest
    that does: of those that it declares, or the largest power of two (times what a batch is cut into) that the training
    examples fill twice.
    """
    configs = distinct(plan, *BATCH_FIELDS)
    if "batch_size" in plan.what or not configs:
        return plan
    draws = {tuple(getattr(config, name) for name in DRAW_FIELDS): config for config in configs}.values()
    examples, fewest = min(((len(data.split(c).train_examples), c) for c in draws), key=lambda pair: pair[0])
    declared = max(config.batch_size for config in configs)
    if declared <= examples:
        return plan
    for size in _candidates(configs, examples):
        smaller = _with(plan, {"batch_size": size})
        if not config_faults(smaller) and not plan_batch_faults(smaller, data):
            return replace(smaller, guessed={"batch_size": batch_told(fewest, size, declared, examples)})
    return plan


def _with(plan: Plan, settings: Settings) -> Plan:
    """The plan as if these had been asked for."""
    # The plan's design lacks only factors that are fixed, so that planning it again changes nothing else.
    return replace(Plan.of(plan.design, {**plan.what, **settings}), design_sha256=plan.design_sha256)


def plan_batch_faults(plan: Plan, data: DeviceData) -> list[str]:
    """Batches that cannot be made of the examples of some reachable configuration, in some replicate."""
    faults = []
    for config in distinct(plan, *BATCH_FIELDS):
        # What a replicate draws decides the classes of a P x k batch, and how many images whole validation classes
        # leave; other batches depend on a number that is always the same.
        drawn_apart = config.batch_sampler == "pk" or config.val_by == "class"
        for number in range(1, (plan.replicates if drawn_apart else 1) + 1):
            drawn = replace(config, split_seed=plan.of_replicate(number).run_base["split_seed"])
            faults += batch_faults(drawn, data.split(drawn))
    return faults


def _candidates(configs: list[TrainConfig], examples: int) -> Iterator[int]:
    """Batch sizes to try, the best first."""
    yield from sorted({config.batch_size for config in configs if config.batch_size <= examples}, reverse=True)
    step = math.lcm(*(c.accum_steps * (c.images_per_class if c.batch_sampler == "pk" else 1) for c in configs))
    doublings = max(0, (max(step, examples // 2) // step).bit_length() - 1)
    yield from (step << i for i in range(doublings, -1, -1))
