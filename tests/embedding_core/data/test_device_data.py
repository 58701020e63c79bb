"""A data set on the device: nothing of the test split reaches training, and a test file that does not fit is told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet
from embedding_core.data.splits import Split
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


def test_images_that_the_device_has_no_room_for_are_told_with_what_would_fit(colour_set: Path) -> None:
    """80 images of 3 x 8 x 8 bytes."""
    config = TrainConfig(dataset="mine", data_root=str(colour_set))
    there, cpu = 80 * 3 * 8 * 8, torch.device("cpu")
    assert len(DeviceData.load(config, cpu, free_bytes=there).images) == 80
    with pytest.raises(Faults) as caught:
        DeviceData.load(config, cpu, free_bytes=there - 1)
    (sentence,) = caught.value.faults
    assert "80 of 8x8 take 0.00 GiB and cpu has 0.00 GiB free" in sentence
    assert "`image_size` 7 or less; a data set of 79 images" in sentence
    smaller = replace(config, image_size=7)
    assert DeviceData.load(smaller, cpu, free_bytes=there - 1).shape == (3, 7, 7)
    frozen = replace(config, freeze_epochs=config.epochs)
    assert DeviceData.load(frozen, cpu, free_bytes=0).shape == (3, 8, 8)
    with pytest.raises(Faults, match="would fit, with nothing left for the network: fewer images; a data set of 0 "):
        DeviceData.load(config, cpu, free_bytes=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_says_what_it_has_room_for(colour_set: Path) -> None:
    config, gpu = TrainConfig(dataset="mine", data_root=str(colour_set)), torch.device("cuda", 0)
    assert DeviceData.load(config, gpu).images.is_cuda
    share = torch.cuda.get_per_process_memory_fraction(gpu)
    held = torch.cuda.memory_allocated(gpu)
    torch.cuda.set_per_process_memory_fraction(held / torch.cuda.mem_get_info(gpu)[1], gpu)
    try:
        with pytest.raises(Faults, match="must fit there, but 80 of 8x8"):
            DeviceData.load(config, gpu)
    finally:
        torch.cuda.set_per_process_memory_fraction(share, gpu)


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


def pair(write_set: Callable[..., Path], train: list[int], test: list[int]) -> None:
    """The set `mine` with these labels."""
    draws = np.random.default_rng(1)
    for split, labels in (("train", train), ("test", test)):
        write_set([draws.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in labels], labels, split=split)


def loaded(tmp_path: Path, **settings: Any) -> tuple[DeviceData, Split]:
    config = TrainConfig(dataset="mine", data_root=str(tmp_path), loss="softmax", **settings)
    data = DeviceData.load(config, torch.device("cpu"))
    return data, data.split(config)


def test_a_test_file_of_other_classes_is_tested_whole(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    pair(write_set, [0, 1, 2, 3, 4] * 8, [5, 6, 7] * 4)
    for settings in ({}, {"unseen_classes": 2}, {"val_by": "class"}):
        data, indices = loaded(tmp_path, **settings)
        assert data.test(indices).labels.tolist() == [5, 6, 7] * 4
        found = data.overlap(indices)
        assert found.disjoint
        assert (found.images, found.classes, found.left_images) == (12, 3, 0)
        assert found.trained_classes == len(indices.classes)


def test_partly_shared_test_classes_are_counted(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    pair(write_set, [0, 1, 2, 3, 4] * 8, [3, 4, 5, 6] * 4)
    data, indices = loaded(tmp_path)
    found = data.overlap(indices)  # reads the file by itself
    assert data.test(indices).labels.tolist() == [3, 4] * 4
    assert (found.images, found.classes, found.left_images, found.left_classes) == (8, 2, 8, 2)


def test_classes_that_validate_are_in_the_test_split_so_that_no_draw_moves_it(
    tmp_path: Path, write_set: Callable[..., Path]
) -> None:
    pair(write_set, [0, 1, 2, 3, 4] * 8, [0, 1, 2, 3, 4, 5] * 4)
    hashes, drawn = set(), set()
    for seed in range(4):
        data, indices = loaded(tmp_path, val_by="class", split_seed=seed)
        hashes.add(data.test(indices).sha256)
        drawn.add(tuple(indices.val_classes.tolist()))
        found = data.overlap(indices)
        assert (found.new_images, found.new_classes, found.left_images) == (8, 2, 4)
    assert (len(hashes), len(drawn) > 1) == (1, True)


@pytest.mark.parametrize(
    ("test", "counts"),
    [
        ([7, 7, 7], r"1 class has at most 3 images \(3 in all\)"),
        ([5, 6, 7, 8], r"4 classes have at most 1 image \(4 in all\)"),
        ([3, 3, 5, 6], r"1 class has at most 2 images \(2 in all; 2 images of 2 other classes are passed over\)"),
        ([5], r"1 class has at most 1 image \(1 in all\)"),
    ],
)
def test_test_sets_that_nothing_can_be_measured_on_are_told_with_their_counts(
    tmp_path: Path, write_set: Callable[..., Path], test: list[int], counts: str
) -> None:
    pair(write_set, [0, 1, 2, 3, 4] * 8, test)
    data, indices = loaded(tmp_path)
    with pytest.raises(Faults, match=f"test split of `mine` must have two classes and two images of one, but {counts}"):
        data.test(indices)


def test_a_test_file_without_rows_is_told(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    pair(write_set, [0, 1] * 8, [])
    data, indices = loaded(tmp_path)
    with pytest.raises(Faults, match=r"test\.parquet has no rows"):
        data.test(indices)


def test_classes_are_told_apart_by_name_where_both_files_list_names(
    tmp_path: Path, write_set: Callable[..., Path]
) -> None:
    draws = np.random.default_rng(1)
    for split, names in (("train", ["ant", "bee"]), ("test", ["cat", "dog"])):
        images = [draws.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(20)]
        write_set(images, [0, 1] * 10, split=split, metadata={"class_names": json.dumps(names)})
    data, indices = loaded(tmp_path)
    test = data.test(indices)
    assert data.overlap(indices).disjoint
    assert [test.name_of(label) for label in test.labels.unique().tolist()] == ["cat", "dog"]


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
    with pytest.raises(Faults, match=r"training images are 8x8 and the test images 9x9: take .*--set image_size=8"):
        data.test(data.split(config))


def test_grey_training_images_beside_test_images_in_colour_have_their_remedy(
    write_set: Callable[..., Path], tmp_path: Path
) -> None:
    grey = [np.full((8, 8), value, dtype=np.uint8) for value in range(40)]
    write_set(grey, [0, 1] * 20)
    write_set([np.zeros((8, 8, 3), dtype=np.uint8)] * 4, [0, 0, 1, 1], split="test")
    config = TrainConfig(dataset="mine", data_root=str(tmp_path), batch_size=8)
    data = DeviceData.load(config, torch.device("cpu"))
    with pytest.raises(Faults, match=r"all grey and some test images in colour: save .* one training image in colour"):
        data.test(data.split(config))
    write_set([*grey[1:], np.zeros((8, 8, 3), dtype=np.uint8)], [0, 1] * 20)
    data = DeviceData.load(config, torch.device("cpu"))
    assert len(data.test(data.split(config)).labels) == 4


def test_a_split_counts_the_test_images_that_are_left(write_set: Callable[..., Path], tmp_path: Path) -> None:
    grey = [np.full((8, 8), value, dtype=np.uint8) for value in range(40)]
    write_set(grey, [0, 1] * 20)
    file = write_set([*grey[:3], b"broken", grey[3]], [0, 0, 1, 0, 1], split="test")
    config = TrainConfig(dataset="mine", data_root=str(tmp_path), batch_size=8, skip_broken=True)
    data = DeviceData.load(config, torch.device("cpu"))
    split = data.split(config)
    assert len(split.test) == len(data.test(split).labels) == 4
    assert data.broken_told(test=True) == (f"1 test image cannot be decoded and is left out: {file.name}: row 3")
    assert not data.broken_told(test=False)
    assert not data.serves(replace(config, skip_broken=False), torch.device("cpu"))
    assert replace(config, skip_broken=False).sha256 != config.sha256
