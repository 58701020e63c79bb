"""Real photographs, digits and plankton, as they come."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from embedding_core.data.image_sets import ImageSet, load, size_of_test_file

pytestmark = [pytest.mark.data, pytest.mark.slow]

RealRoot = Callable[[str], Path]

SHAPES = {
    # name: shape of an image, training images, test images, classes
    "cifar10": ((3, 32, 32), 50_000, 10_000, 10),
    "mnist": ((1, 28, 28), 60_000, 10_000, 10),
    "plankton": ((3, 64, 64), 24_265, 6_071, 121),
    "caltech101": ((3, 64, 64), 1_283, 643, 16),
}


@pytest.fixture(scope="module", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the module, decoded by it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", SHAPES)
def test_both_splits_load(real_root: RealRoot, name: str) -> None:
    root = real_root(name)
    shape, train_size, test_size, classes = SHAPES[name]
    train, test = load(name, root), load(name, root, split="test")
    assert train.images.shape == (train_size, *shape)
    assert test.images.shape == (test_size, *shape)
    assert size_of_test_file(name, root) == test_size
    assert train.class_names == test.class_names
    assert len(train.class_names) == classes
    assert train.labels.unique().tolist() == list(range(classes))
    assert (train.images.flatten(1).amax(dim=1) > 0).all()  # no image is blank by mistake


def digests(images: ImageSet) -> list[bytes]:
    return [hashlib.sha256(image).digest() for image in images.images.contiguous().numpy()]


def test_few_test_images_are_training_images_too(real_root: RealRoot) -> None:
    for name in SHAPES:
        train, test = load(name, real_root(name)), load(name, real_root(name), split="test")
        known = set(digests(train))
        assert sum(digest in known for digest in digests(test)) < 0.01 * len(test.labels), name


def test_cifar10_is_balanced(real_root: RealRoot) -> None:
    assert load("cifar10", real_root("cifar10")).labels.bincount().tolist() == [5_000] * 10


def test_a_second_load_decodes_nothing(real_root: RealRoot) -> None:
    cache = Path(os.environ["EMBED_CACHE_DIR"])
    first = load("caltech101", real_root("caltech101"))
    written = {file: file.stat().st_mtime_ns for file in cache.rglob("*.npy")}
    second = load("caltech101", real_root("caltech101"))
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.npy")} == written
    assert torch.equal(first.images, second.images)


def test_photographs_at_another_size(real_root: RealRoot) -> None:
    small = load("caltech101", real_root("caltech101"), image_size=32).images.double()
    usual = load("caltech101", real_root("caltech101")).images.double()
    assert small.shape == (1_283, 3, 32, 32)
    means = torch.stack([small.mean(dim=(1, 2, 3)), usual.mean(dim=(1, 2, 3))])
    assert torch.corrcoef(means)[0, 1] > 0.99
