"""Which image is used for what: seeded splits disjoint by image, and training examples. Everything is an index."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.image_sets import tensors_sha256
from embedding_core.errors import Faults
from embedding_core.seeding import generator

TEST_SHARE = 0.2
"""Share of each class carved out where a set brings no test file."""

TEST_SEED = 0
"""The test split is fixed per data set: no block, master seed or flag moves it."""

STUDY_SEED = 42
"""Seed of study 1's fixed triplets."""


CLASS_SEED = 0
"""Which classes are unseen is fixed per data set, like the test split."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the training file, and into itself or the test file for `test`."""

    train: Int64[Tensor, " n"]
    val: Int64[Tensor, " v"]
    test: Int64[Tensor, " t"]
    test_in_own_file: bool
    """Whether `test` counts rows of the test file, whose labels nobody has read yet."""
    unseen: Int64[Tensor, " u"]
    """Images of the unseen classes, of the training file alone."""
    classes: Int64[Tensor, " c"]
    """Labels trained on, ascending; the test split is cut to them."""
    train_examples: Int64[Tensor, "a views"]
    """Images of each example: a triplet, one image twice (its two views), or one image."""
    example_labels: Int64[Tensor, " a"]
    """Class of each example's first image."""
    val_triplets: Int64[Tensor, "b 3"]
    protocol: str
    """`disjoint` or `study`: how the triplets were made."""
    examples_available: int
    """Training examples before `subset`."""
    largest_class: int
    """Images to train on and validate with of the class that has most, before `max_images_per_class`."""

    @property
    def sha256(self) -> str:
        """Hash of the index lists and classes."""
        return tensors_sha256(self.train, self.val, self.test, self.unseen, self.classes)

    @property
    def pairs_sha256(self) -> str:
        """Hash of the validation triplets."""
        return tensors_sha256(self.val_triplets)

    def leak(self) -> dict[str, float]:
        """Share of validation images (by role) and of whole validation triplets that training also uses or does not."""
        seen = torch.isin(self.val_triplets, self.train_examples)
        return {
            "anchors_and_positives_seen": seen[:, :2].double().mean().item(),
            "negatives_seen": seen[:, 2].double().mean().item(),
            "triplets_wholly_unseen": (~seen).all(dim=1).double().mean().item(),
        }


def split(config: TrainConfig, labels: Int64[Tensor, " n"], *, test_file_size: int | None) -> Split:
    """Split the images with `labels` for the block `config.seed`.

    Args:
        config: `loss`, `triplets`, `seen_classes`, `unseen_classes`, `val_share`, `max_images_per_class`, `subset` and
            `seed` are read.
        labels: class per image of the training file; -1 where an image has none.
        test_file_size: images in the set's own test file; None: a fixed share is carved out here.

    Raises:
        Faults: fewer than two classes with a pair, too few classes or examples for what is asked, images without a
            label where the loss needs them.
    """
    if test_file_size is None:
        rest, test = carve_test(labels)
    else:
        rest, test = torch.arange(len(labels)), torch.arange(test_file_size)
    classes, unseen_classes = choose_classes(labels, seen=config.seen_classes, unseen=config.unseen_classes)
    unlabelled = rest[labels[rest] < 0]
    if len(unlabelled) and config.loss != "nt_xent":
        raise Faults([f"loss={config.loss} needs labels, but {len(unlabelled)} training images have none."])
    rest = rest[torch.isin(labels[rest], classes)]
    if test_file_size is None:
        test = test[torch.isin(labels[test], classes)]
    if config.triplets == "study":
        train_examples, val_triplets = _study_triplets(labels, rest, config.val_share)
        train, val = train_examples.unique(), val_triplets.unique()
        largest_class = largest(labels, torch.cat([train, val]))
    else:
        largest_class = largest(labels, rest)
        # Validation images come out of the few: a rate that many labelled images chose is not few-shot.
        rest = _at_most(config.max_images_per_class, labels, rest, generator(config.seed, "images of a class"))
        train, val = _stratified(labels, rest, config.val_share, generator(config.seed, "split"))
        train = torch.cat([train, unlabelled])  # of no class, so none too many
        train_examples = _examples(config, labels, train)
        fields = "`val_share`" if config.max_images_per_class is None else "`val_share`, `max_images_per_class`"
        val_triplets = fixed_triplets(
            labels, val, generator(config.seed, "val triplets"), what=f"Validation triplets ({fields})"
        )
    available = len(train_examples)
    if config.subset is not None and config.subset > available:
        kind = "triplets" if config.loss == "triplet" else "images"
        raise Faults([f"`subset` must be at most the {available} {kind}, but got {config.subset}."])
    train_examples = train_examples[: config.subset]  # they come in random order, so a prefix is a draw
    return Split(
        train=train,
        val=val,
        test=test,
        test_in_own_file=test_file_size is not None,
        unseen=torch.isin(labels, unseen_classes).nonzero()[:, 0],
        classes=classes,
        train_examples=train_examples,
        example_labels=labels[train_examples[:, 0]],
        val_triplets=val_triplets,
        protocol=config.triplets,
        examples_available=available,
        largest_class=largest_class,
    )


def largest(labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"]) -> int:
    """Images in `index` of the class that has most there; those without a label (-1) are of none."""
    of_class = labels[index]
    return int(of_class[of_class >= 0].bincount(minlength=1).max())


def _examples(config: TrainConfig, labels: Tensor, train: Tensor) -> Int64[Tensor, "a views"]:
    """Training examples in random order."""
    if config.loss == "triplet":
        return fixed_triplets(labels, train, generator(config.seed, "train triplets"), what="Training triplets")
    shuffled = train[torch.randperm(len(train), generator=generator(config.seed, "train images"))]
    return shuffled[:, None].repeat(1, config.views_per_example)


def choose_classes(
    labels: Int64[Tensor, " n"], *, seen: int | None, unseen: int
) -> tuple[Int64[Tensor, " s"], Int64[Tensor, " u"]]:
    """Labels to train on and labels to keep out, both ascending; images without a label (-1) count for neither.

    With `seen` given, the `seen + unseen` classes with the most images are used (ties: the lower label); which of them
    are unseen is a draw that no block, master seed or flag moves.

    Raises:
        Faults: fewer classes than asked for, or fewer than two left to train on.
    """
    present, sizes = labels[labels >= 0].unique(return_counts=True)
    wanted = len(present) if seen is None else seen + unseen
    if wanted > len(present) or wanted - unseen < 2:
        asked = f"{'all others' if seen is None else seen} seen and {unseen} unseen"
        raise Faults([f"Two classes at least must be trained on, but of {len(present)} classes {asked} are asked for."])
    used = present[sizes.argsort(descending=True, stable=True)[:wanted]].sort().values
    shuffled = used[torch.randperm(wanted, generator=generator(CLASS_SEED, "unseen classes"))]
    return shuffled[unseen:].sort().values, shuffled[:unseen].sort().values


def carve_test(labels: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " r"], Int64[Tensor, " t"]]:
    """The other images and the test split of a set without a test file: `TEST_SHARE` of each class, always the same."""
    labelled = (labels >= 0).nonzero()[:, 0]
    rest, test = _stratified(labels, labelled, TEST_SHARE, generator(TEST_SEED, "test"))
    return torch.cat([rest, (labels < 0).nonzero()[:, 0]]).sort().values, test


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


def _at_most(most: int | None, labels: Tensor, index: Tensor, draw: torch.Generator) -> Int64[Tensor, " m"]:
    """So many images of each class in `index` (None: all), drawn at random; ascending."""
    shuffled = index[torch.randperm(len(index), generator=draw)]
    return torch.cat([shuffled[labels[shuffled] == c][:most] for c in labels[index].unique()]).sort().values


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
