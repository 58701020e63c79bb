"""Which images of each class are used for what: draws that keep the shares of the classes."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.seeding import generator

TEST_SHARE = 0.2
"""Share of each class carved out where a set brings no test file."""

TEST_SEED = 0
"""The test split is fixed per data set: no block, master seed or flag moves it."""


def carve_test(labels: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " r"], Int64[Tensor, " t"]]:
    """The other images and the test split of a set without a test file: `TEST_SHARE` of each class, always the same."""
    labelled = (labels >= 0).nonzero()[:, 0]
    rest, test = stratified(labels, labelled, TEST_SHARE, generator(TEST_SEED, "test"))
    return torch.cat([rest, (labels < 0).nonzero()[:, 0]]).sort().values, test


def without_copies(
    rest: Int64[Tensor, " m"], first: Int64[Tensor, " n"], tested: Int64[Tensor, " t"]
) -> Int64[Tensor, " k"]:
    """`rest` without images that are tested, and with one of each that is there several times; in the same order.

    Args:
        rest: places of images to train on and to validate with.
        first: for each image of the training file the place of the first that has the same pixels.
        tested: places of training images that have the pixels of a test image.
    """
    rest = rest[~torch.isin(first[rest], first[tested])]
    kept = torch.from_numpy(np.unique(first[rest].numpy(), return_index=True)[1])
    return rest[kept.sort().values]


def stratified(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], share: float, draw: torch.Generator
) -> tuple[Int64[Tensor, " a"], Int64[Tensor, " b"]]:
    """Split `index` in two, the second with `share` of each class (rounded, halves to even); both ascending."""
    groups = by_class(labels, index[torch.randperm(len(index), generator=draw)])
    second = groups.place < (groups.sizes.double() * share).round()[groups.member]
    return groups.rows[~second].sort().values, groups.rows[second].sort().values


def few(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], most: int | None, draw: torch.Generator
) -> tuple[Int64[Tensor, " a"], Int64[Tensor, " b"]]:
    """At most so many of `index`, and the others; both ascending.

    Each class keeps its share, within a pair of images. Pairs stay together, since of many small classes single images
    could be compared with none of their class.
    """
    if most is None or len(index) <= most:
        return index, index[:0]
    groups = by_class(labels, index[torch.randperm(len(index), generator=draw)])
    pair = torch.div(groups.place, 2, rounding_mode="floor")
    depth = (pair.double() + 0.5) / groups.sizes[groups.member]  # how far into its class a pair stands
    turn = torch.randperm(len(groups.sizes), generator=draw)[groups.member]  # of classes at the same depth
    order = turn.argsort(stable=True)
    order = order[depth[order].argsort(stable=True)]
    chosen, others = groups.rows[order[:most]], groups.rows[order[most:]]
    return chosen.sort().values, others.sort().values


def at_most(
    most: int | None, labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], draw: torch.Generator
) -> Int64[Tensor, " k"]:
    """So many images of each class in `index` (None: all), drawn at random; ascending."""
    if most is None:
        return index.sort().values
    groups = by_class(labels, index[torch.randperm(len(index), generator=draw)])
    return groups.rows[groups.place < most].sort().values
