"""Images sorted by class, so that what is done class by class takes one sort and not a look at all images for each."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor


class ByClass(NamedTuple):
    """Images class after class, by ascending label; within a class in the order in which they were given."""

    rows: Int64[Tensor, " m"]
    """The images."""
    labels: Int64[Tensor, " c"]
    """Of the classes."""
    sizes: Int64[Tensor, " c"]
    """Images of each class."""
    member: Int64[Tensor, " m"]
    """Number of the class of each image, 0 to c - 1."""
    place: Int64[Tensor, " m"]
    """Place of each image within its class, from 0."""

    def each(self) -> tuple[Int64[Tensor, " k"], ...]:
        """The images of each class."""
        return tuple(self.rows.split(self.sizes.tolist()))


def by_class(labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"]) -> ByClass:
    """The images in `index`, sorted by their label; O(m log m) time and O(m) memory however many classes there are.

    Args:
        labels: class per image; -1, of images without one, counts as a class.
        index: places in `labels`.
    """
    of_image = labels[index]
    order = of_image.argsort(stable=True)
    classes, sizes = of_image[order].unique_consecutive(return_counts=True)
    member = torch.arange(len(classes)).repeat_interleave(sizes)
    place = torch.arange(len(index)) - (sizes.cumsum(0) - sizes)[member]
    return ByClass(index[order], classes, sizes, member, place)
