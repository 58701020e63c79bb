"""Whether ASHA's rungs are the same for all trials that it compares: they lie at numbers of images."""

from collections.abc import Iterable, Iterator
from typing import Final

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.wording import plural
from sweeps.cli.plan_checks import alike, searched, tuned
from sweeps.design.design import spelled
from sweeps.design.plan import Plan

EPOCH_FIELDS: Final = ("epochs", "loss", "batch_sampler", "images_per_class", "subset", "max_images_per_class",
                       "triplets", "val_by", "val_share", "seen_classes", "unseen_classes")  # fmt: skip
"""What decides how many images an epoch forwards, and how many epochs there are."""


def rung_faults(plan: Plan, data: DeviceData) -> Iterator[str]:
    """Of each study whose trials ASHA stops, every two of which must be at the same rungs at the ends of epochs."""
    if "search" in plan.stages:
        yield from _faults("the search", alike(searched(plan), *EPOCH_FIELDS), data)
    if "tune" in plan.stages and plan.tuner == "optuna":
        for cell_id, settings in tuned(plan).items():
            yield from _faults(f"the tuning of {cell_id}", alike(settings, *EPOCH_FIELDS), data)


def _faults(study: str, configs: Iterable[TrainConfig], data: DeviceData) -> Iterator[str]:
    first, *others = [(config, images_per_epoch(config, data.split(config)), config.epochs) for config in configs]
    for config, images, epochs in others:
        if (images, epochs) == first[1:]:
            continue
        differing = [name for name in EPOCH_FIELDS if getattr(config, name) != getattr(first[0], name)]
        one, other = (", ".join(f"{n}={spelled(getattr(c, n))}" for n in differing) for c in (first[0], config))
        yield (
            f"ASHA compares the trials of {study} after equal numbers of images at the ends of epochs, but runs have "
            f"{plural(first[2], 'epoch')} of {first[1]:,} images with {one} and {epochs} of {images:,} with {other}: "
            f"fix {' and '.join(f'`{name}`' for name in differing)}, or make cells of its levels and tune each of them."
        )
        return
