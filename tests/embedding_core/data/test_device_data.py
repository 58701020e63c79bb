"""A data set on the device: nothing of the test split reaches training, and a test file that does not fit is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet
from embedding_core.errors import Faults


def test_scaling_is_that_of_the_images_outside_the_test_split(digits: DeviceData) -> None:
    data = digits
    split = data.split(TrainConfig())
    others = data.images[torch.cat([split.train, split.val])].double() / 255
    mean, std = data.scaling(split)
    torch.testing.assert_close(mean, others.mean(dim=(0, 2, 3)).float())
    torch.testing.assert_close(std, others.std(dim=(0, 2, 3), correction=0).float())


def test_scaling_does_not_see_the_test_split(digits: DeviceData) -> None:
    data = digits
    blanked = data.images.clone()
    split = data.split(TrainConfig())
    blanked[split.test] = 255
    other = replace(data, images=blanked, _scalings={})
    assert torch.equal(other.scaling(split)[0], data.scaling(split)[0])


def test_scaling_does_not_see_unseen_classes_and_is_kept_by_classes(digits: DeviceData) -> None:
    split = digits.split(TrainConfig(unseen_classes=3))
    blanked = digits.images.clone()
    blanked[split.unseen] = 255
    other = replace(digits, images=blanked, _scalings={})
    assert torch.equal(other.scaling(split)[0], digits.scaling(split)[0])
    assert not torch.equal(digits.scaling(split)[0], digits.scaling(digits.split(TrainConfig()))[0])


def test_the_test_split_is_cut_to_the_classes_trained_on(
    colour_set: Path, write_set: Callable[..., Path], digits: DeviceData
) -> None:
    found = digits.test(digits.split(TrainConfig(unseen_classes=3)))
    assert len(found.labels.unique()) == 7
    draws = np.random.default_rng(1)
    for split, labels in (("train", [0, 1, 2, 3] * 10), ("test", [0, 1, 2, 3] * 2)):
        write_set([draws.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in labels], labels, split=split)
    config = TrainConfig(dataset="mine", data_root=str(colour_set), unseen_classes=2)
    data = DeviceData.load(config, torch.device("cpu"))
    indices = data.split(config)
    found = data.test(indices)
    assert found.labels.tolist() == [c for c in [0, 1, 2, 3] * 2 if c in indices.classes]


def test_the_test_split_is_the_carved_images(digits: DeviceData) -> None:
    data = digits
    split = data.split(TrainConfig(seed=3))
    test = data.test(split)
    assert isinstance(test, ImageSet)
    assert torch.equal(test.images, data.images[split.test])
    assert torch.equal(test.labels, data.labels[split.test])


def test_test_images_of_another_shape_are_told(colour_set: Path, write_set: Callable[..., Path]) -> None:
    write_set([np.zeros((9, 9, 3), dtype=np.uint8)] * 4, [0, 0, 1, 1], split="test")
    config = TrainConfig(dataset="mine", data_root=str(colour_set))
    data = DeviceData.load(config, torch.device("cpu"))
    with pytest.raises(Faults, match=r"one shape, but have \(3, 9, 9\) and \(3, 8, 8\)"):
        data.test(data.split(config))
