"""Features of backbones that are never trained: computed once per machine, by the driver if the trials run there."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import track

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation.feature_sets import FeatureSet, missing_features
from embedding_core.models.frozen_features import FEATURE_BATCH, computed
from embedding_core.train import pick_device
from embedding_core.training.precision import pick_precision
from sweeps.cli.plan_checks import distinct
from sweeps.design.plan import Plan

FEATURE_FIELDS = ("backbone", "weights", "freeze_epochs", "epochs", "norm_kind", "input_scaling", "head", "precision",
                  "feature_views", "augmentation", "augmentation_strength", "crop_padding", "flip", "loss",
                  "eval_test")  # fmt: skip
"""What decides which features a run trains on and is judged by."""

TIMED_IMAGES = 128
"""Whose features are computed to see how long all will take."""


def missing(
    plan: Plan, data: DeviceData, config_of: Callable[[TrainConfig], TrainConfig] = lambda config: config
) -> list[FeatureSet]:
    """What the sweep will compute of frozen backbones before anything is trained, that this machine does not have yet.

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
        each.compute(lambda batches, what: track(batches, f"{what[:1].upper()}{what[1:]}, once", console=console))


def seconds_and_bytes(wanted: list[FeatureSet]) -> tuple[float, int]:
    """What computing and keeping them will take this machine, from some images of the first set."""
    if not wanted:
        return 0.0, 0
    inputs, size = wanted[0].inputs, FEATURE_BATCH["cpu"]
    batches = inputs.source.images[:TIMED_IMAGES].split(size)
    bytes_of_one = sum(block.nbytes for block in computed(inputs.network, batches[:1], wanted[0].changed)) // size
    started = time.perf_counter()
    timed = sum(len(block) for block in computed(inputs.network, batches, wanted[0].changed))
    images = sum(each.images for each in wanted)
    return (time.perf_counter() - started) / timed * images, bytes_of_one * images
