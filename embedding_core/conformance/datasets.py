"""What a data set must be."""

from collections.abc import Mapping
from typing import Any

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.conformance.properties import TRAVELS, Property, check, elsewhere
from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet

CPU = torch.device("cpu")


def check_dataset(name: str, **settings: Any) -> None:
    """Try every property of a data set, built in or of a plug-in in use.

    Args:
        name: of `TrainConfig.dataset`.
        settings: fields of the configuration; those with a dot as `**{"dataset.noise": 0.1}`.

    Raises:
        NotConforming: with every property that does not hold.
    """
    check(f"data set {name}", dataset_properties(name, settings))


def dataset_properties(name: str, settings: Mapping[str, Any]) -> dict[str, Property]:
    """By name."""
    config = TrainConfig.from_flat({"dataset": name, "loss": "softmax", **settings})
    return {
        "splits into training, validation and test images": lambda: _splits(config),
        "no test image is trained on": lambda: _apart(config),
        TRAVELS: lambda: _travels(config),
    }


def _splits(config: TrainConfig) -> str:
    data = DeviceData.load(config, CPU)
    split = data.split(config)
    data.test(split)
    return "" if len(split.train_examples) else "there is no training image"


def _apart(config: TrainConfig) -> str:
    data = DeviceData.load(config, CPU)
    split = data.split(config)
    trained, test = data.train(split), data.test(split)
    known = set(_hashes(trained.images(torch.arange(len(trained.labels))), trained.labels))
    shared = sum(each in known for each in _hashes(test.images, test.labels))
    return f"{shared} of {len(test.labels)} test images are training images, too" if shared else ""


def _hashes(images: torch.Tensor, labels: torch.Tensor) -> list[str]:
    return [tensors_sha256(image, label) for image, label in zip(images, labels, strict=True)]


def _travels(config: TrainConfig) -> str:
    here = DeviceData.load(config, CPU)
    with elsewhere(config) as sent:
        there = DeviceData.load(sent, CPU)
    same = ImageSet(here.images, here.labels, ()).sha256 == ImageSet(there.images, there.labels, ()).sha256
    return "" if same else "the same configuration reads other images or labels there"
