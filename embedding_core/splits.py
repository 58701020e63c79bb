"""Which image is used for what: seeded splits disjoint by image, and fixed triplets. Everything is an index."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config import TrainConfig
from embedding_core.data import tensors_sha256
from embedding_core.faults import Faults
from embedding_core.seeding import generator

TEST_SHARE = 0.2
"""Share of each class carved out where a set brings no test file."""

TEST_SEED = 0
"""The test split is fixed per data set: no block, master seed or flag moves it."""

STUDY_SEED = 42
"""Seed of study 1's fixed triplets."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the training file, and into itself or the test file for `test`."""

    train: Int64[Tensor, " n"]
    val: Int64[Tensor, " v"]
    test: Int64[Tensor, " t"]
    test_in_own_file: bool
    train_triplets: Int64[Tensor, "a 3"]
    val_triplets: Int64[Tensor, "b 3"]
    triplets_available: int
    """Training triplets before `subset`."""

    @property
    def sha256(self) -> str:
        """Hash of the three index lists."""
        return tensors_sha256(self.train, self.val, self.test)

    @property
    def pairs_sha256(self) -> str:
        """Hash of the validation triplets."""
        return tensors_sha256(self.val_triplets)

    def leak(self) -> dict[str, float]:
        """Share of validation images (by role) and of whole validation triplets that training also uses or does not."""
        seen = torch.isin(self.val_triplets, self.train_triplets)
        return {
            "anchors_and_positives_seen": seen[:, :2].double().mean().item(),
            "negatives_seen": seen[:, 2].double().mean().item(),
            "triplets_wholly_unseen": (~seen).all(dim=1).double().mean().item(),
        }


def split(config: TrainConfig, labels: Int64[Tensor, " n"], *, test_file_size: int | None) -> Split:
    """Split the images with `labels` for the block `config.seed`.

    Args:
        config: `triplets`, `val_share`, `subset` and `seed` are read.
        labels: class per image of the training file.
        test_file_size: images in the set's own test file; None: a fixed share is carved out here.

    Raises:
        Faults: fewer than two classes with a pair, or fewer triplets than asked for.
    """
    if test_file_size is None:
        rest, test = carve_test(labels)
    else:
        rest, test = torch.arange(len(labels)), torch.arange(test_file_size)
    if config.triplets == "study":
        train_triplets, val_triplets = _study_triplets(labels, rest, config.val_share)
        train, val = train_triplets.unique(), val_triplets.unique()
    else:
        train, val = _stratified(labels, rest, config.val_share, generator(config.seed, "split"))
        train_triplets = fixed_triplets(labels, train, generator(config.seed, "train triplets"))
        val_triplets = fixed_triplets(labels, val, generator(config.seed, "val triplets"))
    available = len(train_triplets)
    if config.subset is not None:
        if config.subset > available:
            raise Faults([f"`subset` must be at most the {available} triplets, but got {config.subset}."])
        # Triplets come in random order, so a prefix is a draw.
        train_triplets = train_triplets[: config.subset]
    return Split(train, val, test, test_file_size is not None, train_triplets, val_triplets, available)


def carve_test(labels: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " r"], Int64[Tensor, " t"]]:
    """The other images and the test split of a set without a test file: `TEST_SHARE` of each class, always the same."""
    return _stratified(labels, torch.arange(len(labels)), TEST_SHARE, generator(TEST_SEED, "test"))


def fixed_triplets(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], draw: torch.Generator
) -> Int64[Tensor, "t 3"]:
    """Triplets of images in `index`, each image at most once anchor or positive, in random order.

    Per class the images are paired at random (an odd one is left over); the negative is uniform over the other classes.

    Raises:
        Faults: fewer than two classes, or no class with two images.
    """
    shuffled = index[torch.randperm(len(index), generator=draw)]
    of_class = [shuffled[labels[shuffled] == c] for c in labels[index].unique()]
    pairs = torch.cat([c[: len(c) // 2 * 2].view(-1, 2) for c in of_class])
    if len(of_class) < 2 or not len(pairs):
        raise Faults(
            [
                "Triplets need two classes and a class with two images, but "
                f"{len(of_class)} classes have {len(pairs)} pairs."
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


def _stratified(
    labels: Tensor, index: Tensor, share: float, draw: torch.Generator
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]]:
    """Split `index` in two, the second with `share` of each class (rounded); both ascending."""
    shuffled = index[torch.randperm(len(index), generator=draw)]
    second = []
    for c in labels[index].unique():
        of_class = shuffled[labels[shuffled] == c]
        second.append(of_class[: round(len(of_class) * share)])
    held_out = torch.cat(second)
    return index[~torch.isin(index, held_out)].sort().values, held_out.sort().values


def _study_triplets(labels: Tensor, index: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Study 1's protocol: pairs in file order, negatives without replacement per class, split by *triplet*."""
    draw = generator(STUDY_SEED, "study triplets")
    triplets = []
    for c in labels[index].unique():
        own, others = index[labels[index] == c], index[labels[index] != c]
        pairs = own[: len(own) // 2 * 2].view(-1, 2)
        negatives = others[torch.randperm(len(others), generator=draw)[: len(pairs)]]
        triplets.append(torch.cat([pairs[: len(negatives)], negatives[:, None]], dim=1))
    pooled = torch.cat(triplets)
    pooled = pooled[torch.randperm(len(pooled), generator=draw)]
    held_out = round(len(pooled) * share)
    return pooled[held_out:], pooled[:held_out]
