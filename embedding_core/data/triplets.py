"""Fixed triplets of images: disjoint by image, or study 1's, which are not."""

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.errors import Faults
from embedding_core.seeding import generator
from embedding_core.wording import plural

STUDY_SEED = 42
"""Seed of study 1's fixed triplets."""


def fixed_triplets(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], draw: torch.Generator, *, what: str = "Triplets"
) -> Int64[Tensor, "t 3"]:
    """Triplets of images in `index`, each image at most once anchor or positive, in random order.

    Per class the images are paired at random (an odd one is left over); the negative is uniform over the other classes.

    Raises:
        Faults: fewer than two classes, or no class with two images; `what` begins the sentence.
    """
    groups = by_class(labels, index[torch.randperm(len(index), generator=draw)])
    rows, sizes, member = groups.rows, groups.sizes, groups.member
    first = ((groups.place % 2 == 0) & (groups.place + 1 < sizes[member])).nonzero()[:, 0]
    if len(sizes) < 2 or not len(first):
        has = f"{plural(len(sizes), 'class')} {'has' if len(sizes) == 1 else 'have'} {plural(len(first), 'pair')}"
        raise Faults([f"{what} need two classes and a class with two images, but {has}."])
    which, starts = member[first], sizes.cumsum(0) - sizes
    others = len(rows) - sizes[which]
    # Uniform over the others: draw a position among them, then step over the anchor's own class.
    position = (torch.rand(len(which), generator=draw, dtype=torch.float64) * others).long()
    position += torch.where(position >= starts[which], sizes[which], 0)
    triplets = torch.stack([rows[first], rows[first + 1], rows[position]], dim=1)
    return triplets[torch.randperm(len(triplets), generator=draw)]


def study_triplets(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], val_share: float
) -> tuple[Int64[Tensor, "a 3"], Int64[Tensor, "b 3"]]:
    """Training and validation triplets of images in `index` by study 1's protocol, which leaks; always the same.

    Pairs in file order, negatives without replacement per class, and a split by *triplet*: an image may be a negative
    on one side and anything on the other.
    """
    draw = generator(STUDY_SEED, "study triplets")
    triplets = []
    for places in by_class(labels[index], torch.arange(len(index))).each():
        pairs = index[places[: len(places) // 2 * 2]].view(-1, 2)
        drawn = torch.randperm(len(index) - len(places), generator=draw)[: len(pairs)]
        # The others keep their order: step over each image of the class that stands before the one drawn.
        own_before = torch.searchsorted(places - torch.arange(len(places)), drawn, right=True)
        negatives = index[drawn + own_before]
        triplets.append(torch.cat([pairs[: len(negatives)], negatives[:, None]], dim=1))
    pooled = torch.cat(triplets)
    pooled = pooled[torch.randperm(len(pooled), generator=draw)]
    n_val = round(len(pooled) * val_share)
    return pooled[n_val:], pooled[:n_val]
