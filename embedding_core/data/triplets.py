"""Fixed triplets of images: disjoint by image, or study 1's, which are not."""

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.errors import Faults
from embedding_core.seeding import generator

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
    shuffled = index[torch.randperm(len(index), generator=draw)]
    of_class = [shuffled[labels[shuffled] == c] for c in labels[index].unique()]
    pairs = torch.cat([index[:0].view(0, 2), *(c[: len(c) // 2 * 2].view(-1, 2) for c in of_class)])
    if len(of_class) < 2 or not len(pairs):
        raise Faults(
            [
                f"{what} need two classes and a class with two images, but {len(of_class)} classes have "
                f"{len(pairs)} pairs."
            ]
        )
    by_class = torch.cat(of_class)
    sizes = torch.tensor([len(c) for c in of_class])
    starts = sizes.cumsum(0) - sizes
    which = torch.cat([torch.full((len(c) // 2,), i) for i, c in enumerate(of_class)])
    others = len(by_class) - sizes[which]
    # Uniform over the others: draw a position among them, then step over the anchor's own class.
    position = (torch.rand(len(which), generator=draw, dtype=torch.float64) * others).long()
    position += torch.where(position >= starts[which], sizes[which], 0)
    triplets = torch.cat([pairs, by_class[position][:, None]], dim=1)
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
    for c in labels[index].unique():
        own, others = index[labels[index] == c], index[labels[index] != c]
        pairs = own[: len(own) // 2 * 2].view(-1, 2)
        negatives = others[torch.randperm(len(others), generator=draw)[: len(pairs)]]
        triplets.append(torch.cat([pairs[: len(negatives)], negatives[:, None]], dim=1))
    pooled = torch.cat(triplets)
    pooled = pooled[torch.randperm(len(pooled), generator=draw)]
    n_val = round(len(pooled) * val_share)
    return pooled[n_val:], pooled[:n_val]
