"""Images whose pixels are those of another one: found once per data set, told of every split, left out on request.

A test image that is trained on as well says what a network remembers. Sets that were scraped, or whose test file was
cut from the training file, have many. Only exact copies are found, after decoding: one that was encoded again is none.
"""

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from embedding_core.data.image_sets import ImageSet
from embedding_core.data.splits import Split
from embedding_core.storage.local_cache import remembered
from embedding_core.wording import plural

MOST_SHARED: Final = 0.001
"""Share of test or of validation images that may be trained on as well where nobody has said what to do with them."""

NAMED: Final = 5
"""Classes that a sentence names at most."""


class SharedImages(NamedTuple):
    """Copies across the parts of a split."""

    tested: int
    """Test images."""
    test: int
    """Of those, images that are trained on or validated with as well."""
    validated: int
    """Validation images."""
    val: int
    """Of those, images that are trained on as well."""
    relabelled: int
    """Images of `test` whose copy has another label."""
    by_class: dict[str, int]
    """Class -> its images of `test`, the most first."""

    @property
    def many(self) -> bool:
        """Whether they are more than `MOST_SHARED`."""
        return self.test > MOST_SHARED * self.tested or self.val > MOST_SHARED * self.validated

    def sentence(self) -> str:
        """What there is, in numbers; empty where there is none."""
        parts = []
        if self.test:
            classes = [f"{name} {n:,}" for name, n in list(self.by_class.items())[:NAMED]]
            more = f" and {plural(len(self.by_class) - NAMED, 'more class')}" if len(self.by_class) > NAMED else ""
            other = f", {self.relabelled:,} of them under another label" if self.relabelled else ""
            copies = "is a training or validation image" if self.test == 1 else "are training or validation images"
            parts.append(
                f"{self.test:,} of {plural(self.tested, 'test image')} {copies} too, pixel by pixel "
                f"({', '.join(classes)}{more}{other})"
            )
        if self.val:
            copies = "is a training image" if self.val == 1 else "are training images"
            parts.append(f"{self.val:,} of {plural(self.validated, 'validation image')} {copies} too")
        return "; ".join(parts)


def first_copies(images: UInt8[Tensor, "n c h w"], *, sha256: str) -> Int64[Tensor, " n"]:
    """For each image the place of the first that has the same pixels; by way of this machine's cache.

    Args:
        images: on the CPU.
        sha256: of these images, in order.
    """
    found = remembered(f"copies within {sha256}", lambda: _within(images))
    first = torch.arange(len(images))
    for places in found:
        first[torch.tensor(places)] = places[0]
    return first


def copies_in(
    images: UInt8[Tensor, "n c h w"], test: UInt8[Tensor, "t c h w"], *, sha256: str, test_sha256: str
) -> Int64[Tensor, " t"]:
    """For each image of a test file the place of the first training image that has the same pixels; -1: there is none.

    Args:
        images: of the training file, on the CPU.
        test: of the test file, on the CPU.
        sha256: of the training images, in order.
        test_sha256: of the test images.
    """

    def across() -> list[tuple[int, int]]:
        first: dict[bytes, int] = {}
        for place, digest in enumerate(_digests(images)):
            first.setdefault(digest, place)
        return [(place, first[digest]) for place, digest in enumerate(_digests(test)) if digest in first]

    found = torch.full((len(test),), -1)
    for place, first in remembered(f"copies of {test_sha256} in {sha256}", across):
        found[place] = first
    return found


def shared_across(
    split: Split,
    labels: Int64[Tensor, " n"],
    first: Int64[Tensor, " n"],
    name_of: Callable[[int], str],
    *,
    in_training: Int64[Tensor, " t"] | None = None,
    test_labels: Int64[Tensor, " t"] | None = None,
) -> SharedImages:
    """Copies across the parts of a split.

    Args:
        split: of the training file.
        labels: class per image of the training file.
        first: see `first_copies`.
        name_of: label -> name of the class.
        in_training: see `copies_in`; None: the test images are of the training file.
        test_labels: class per image of the test file, where there is one.
    """
    if in_training is None or test_labels is None:
        in_training, test_labels = first[split.test], labels[split.test]
    used = _marked(first[torch.cat([split.train, split.val])], len(labels))
    hit = (in_training >= 0) & used[in_training.clamp(min=0)]
    classes, sizes = test_labels[hit].unique(return_counts=True)
    order = sizes.argsort(descending=True, stable=True)
    trained = _marked(first[split.train], len(labels))
    return SharedImages(
        tested=len(in_training),
        test=int(hit.sum()),
        validated=len(split.val),
        val=0 if split.protocol == "study" else int(trained[first[split.val]].sum()),  # that one leaks on purpose
        relabelled=int((labels[in_training[hit]] != test_labels[hit]).sum()),
        by_class={name_of(label): n for label, n in zip(classes[order].tolist(), sizes[order].tolist(), strict=True)},
    )


def shared_images(train: ImageSet, test: ImageSet) -> int:
    """Images of `test` whose pixels are those of an image of `train`."""
    found = copies_in(train.images, test.images, sha256=train.sha256, test_sha256=test.sha256)
    return int((found >= 0).sum())


def _marked(places: Tensor, n: int) -> Bool[Tensor, " n"]:
    marks = torch.zeros(n, dtype=torch.bool)
    marks[places] = True
    return marks


def _digests(images: Tensor) -> list[bytes]:
    # Row by row: a view of the file that the cache maps, of which no copy is made.
    return [hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=16).digest() for one in images.numpy()]


def _within(images: Tensor) -> list[list[int]]:
    """Places of images that are there several times, ascending."""
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(_digests(images)):
        places.setdefault(digest, []).append(place)
    return [same for same in places.values() if len(same) > 1]
