"""Features of backbones that are never trained: computed once per machine, by the driver if the trials run there."""

import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.progress import track

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation.feature_sets import FeatureSet, missing_features
from embedding_core.models.frozen_features import FEATURE_BATCH
from embedding_core.train import pick_device
from embedding_core.training.precision import pick_precision
from sweeps.cli.plan_checks import distinct
from sweeps.design.plan import Plan

FEATURE_FIELDS = ("backbone", "weights", "norm_kind", "input_scaling", "head", "precision", "feature_views",
                  "augmentation", "augmentation_strength", "crop_padding", "flip", "loss", "eval_test")  # fmt: skip
"""What decides which features a run trains on and is judged by."""

TIMED_BATCHES = 32
"""The first is not counted."""


def missing(
    plan: Plan, data: DeviceData, config_of: Callable[[TrainConfig], TrainConfig] = lambda config: config
) -> list[FeatureSet]:
    """What the sweep will compute of frozen backbones before anything is trained, as this machine has it not yet.

    Weights that are drawn are left out: they are others in every block, and the trials compute them as they come. So is
    what trials have on a GPU, where it takes seconds.

    Args:
        plan: whose.
        data: its images.
        config_of: what to take in the place of a configuration, if its weights are not here.
    """
    found: dict[str, FeatureSet] = {}
    for config in map(config_of, distinct(plan, *FEATURE_FIELDS)):
        device = pick_device(config.device)
        if config.weights == "none" or device.type != "cpu":
            continue
        precision = pick_precision(config.precision, device)
        for each in missing_features(config, data, precision=precision):
            found.setdefault(each.key, each)
    return list(found.values())


def compute(plan: Plan, data: DeviceData, console: Console) -> None:
    """Compute what is missing, under a progress bar."""
    for each in missing(plan, data):
        each.compute(lambda batches, what: track(batches, f"{what.capitalize()}, once", console=console))


@torch.no_grad()
def seconds_to_compute(wanted: list[FeatureSet]) -> float:
    """What computing them will take this process, from a few batches of the first set."""
    if not wanted:
        return 0.0
    network, size = wanted[0].inputs.network, FEATURE_BATCH["cpu"]
    warm_up, *batches = wanted[0].inputs.source.images[: TIMED_BATCHES * size].split(size)
    network.pooled(warm_up)
    started = time.perf_counter()
    for batch in batches:
        network.pooled(batch)
    per_image = (time.perf_counter() - started) / max(1, sum(map(len, batches)))
    return per_image * sum(each.images for each in wanted)
