"""Which image is used for what: seeded splits disjoint by image, and training examples. Everything is an index."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import CHOICES, views_per_example
from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.triplets import fixed_triplets, study_triplets
from embedding_core.errors import Faults, unknown
from embedding_core.seeding import generator

TEST_SHARE = 0.2
"""Share of each class carved out where a set brings no test file."""

TEST_SEED = 0
"""The test split is fixed per data set: no block, master seed or flag moves it."""

CLASS_SEED = 0
"""Which classes are unseen is fixed per data set, like the test split."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the training file, and into itself or the test file for `test`."""

    train: Int64[Tensor, " n"]
    val: Int64[Tensor, " v"]
    """Ascending."""
    unused: Int64[Tensor, " w"]
    """Images held out of training that are too many to validate with."""
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


def split(
    labels: Int64[Tensor, " n"],
    *,
    test_file_size: int | None,
    loss: str,
    seed: int,
    val_share: float,
    val_images: int | None = None,
    triplets: str = "disjoint",
    seen_classes: int | None = None,
    unseen_classes: int = 0,
    max_images_per_class: int | None = None,
    subset: int | None = None,
) -> Split:
    """Split the images with `labels` by `seed`.

    Args:
        labels: class per image of the training file; -1 where an image has none.
        test_file_size: images in the set's own test file; None: a fixed share is carved out here.
        loss: what the training examples are for: triplets for `triplet`, two views for `nt_xent`, else single images.
        seed: of all draws, >= 0.
        val_share: share of each class's images that is held out for validation, in (0, .5].
        val_images: most of these that are used, >= 3; None: all. Of `disjoint` triplets alone.
        triplets: `disjoint`, or `study` for study 1's, which leak.
        seen_classes: number of classes trained on; None: all that are not unseen.
        unseen_classes: number of classes kept out.
        max_images_per_class: of training and validation together, >= 2; None: all.
        subset: number of training examples; None: all.

    Raises:
        Faults: fewer than two classes with a pair, too few classes or examples for what is asked, images without a
            label where the loss needs them, an unknown kind of triplets.
    """
    if triplets not in CHOICES["triplets"]:
        raise Faults([unknown("triplets", triplets, CHOICES["triplets"])])
    if test_file_size is None:
        rest, test = carve_test(labels)
    else:
        rest, test = torch.arange(len(labels)), torch.arange(test_file_size)
    classes, kept_out = choose_classes(labels, seen=seen_classes, unseen=unseen_classes)
    unlabelled = rest[labels[rest] < 0]
    if len(unlabelled) and loss != "nt_xent":
        raise Faults([f"loss={loss} needs labels, but {len(unlabelled)} training images have none."])
    rest = rest[torch.isin(labels[rest], classes)]
    if test_file_size is None:
        test = test[torch.isin(labels[test], classes)]
    if triplets == "study":
        train_examples, val_triplets = study_triplets(labels, rest, val_share)
        train, val = train_examples.unique(), val_triplets.unique()
        unused = val[:0]
        largest_class = largest_class_size(labels, torch.cat([train, val]))
    else:
        largest_class = largest_class_size(labels, rest)
        # Validation images come out of the few: a rate that many labelled images chose is not few-shot.
        rest = _at_most(max_images_per_class, labels, rest, generator(seed, "images of a class"))
        train, held_out = _stratified(labels, rest, val_share, generator(seed, "split"))
        val, unused = _few(labels, held_out, val_images, generator(seed, "validation images"))
        train = torch.cat([train, unlabelled])  # of no class, so none too many
        train_examples = _examples(labels, train, loss, seed)
        fields = "`val_share`, `val_images`" if len(unused) else "`val_share`"
        fields += ", `max_images_per_class`" if max_images_per_class is not None else ""
        val_triplets = fixed_triplets(
            labels, val, generator(seed, "val triplets"), what=f"Validation triplets ({fields})"
        )
    available = len(train_examples)
    if subset is not None and subset > available:
        kind = "triplets" if loss == "triplet" else "images"
        raise Faults([f"`subset` must be at most the {available} {kind}, but got {subset}."])
    train_examples = train_examples[:subset]  # they come in random order, so a prefix is a draw
    return Split(
        train=train,
        val=val,
        unused=unused,
        test=test,
        test_in_own_file=test_file_size is not None,
        unseen=torch.isin(labels, kept_out).nonzero()[:, 0],
        classes=classes,
        train_examples=train_examples,
        example_labels=labels[train_examples[:, 0]],
        val_triplets=val_triplets,
        protocol=triplets,
        examples_available=available,
        largest_class=largest_class,
    )


def largest_class_size(labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"]) -> int:
    """Images in `index` of the class that has most there; those without a label (-1) are of none."""
    of_class = labels[index]
    return int(of_class[of_class >= 0].bincount(minlength=1).max())


def _examples(labels: Tensor, train: Tensor, loss: str, seed: int) -> Int64[Tensor, "a views"]:
    """Training examples in random order."""
    if loss == "triplet":
        return fixed_triplets(labels, train, generator(seed, "train triplets"), what="Training triplets")
    shuffled = train[torch.randperm(len(train), generator=generator(seed, "train images"))]
    return shuffled[:, None].repeat(1, views_per_example(loss))


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


def _stratified(
    labels: Tensor, index: Tensor, share: float, draw: torch.Generator
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]]:
    """Split `index` in two, the second with `share` of each class (rounded); both ascending."""
    shuffled = index[torch.randperm(len(index), generator=draw)]
    shares = []
    for c in labels[index].unique():
        of_class = shuffled[labels[shuffled] == c]
        shares.append(of_class[: round(len(of_class) * share)])
    second = torch.cat(shares)
    return index[~torch.isin(index, second)].sort().values, second.sort().values


def _few(
    labels: Tensor, index: Tensor, most: int | None, draw: torch.Generator
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]]:
    """At most so many of `index`, and the others; both ascending.

    Each class keeps its share, within a pair of images. Pairs stay together, since of many small classes single images
    could be compared with none of their class.
    """
    if most is None or len(index) <= most:
        return index, index[:0]
    shuffled = index[torch.randperm(len(index), generator=draw)]
    _, member, sizes = labels[shuffled].unique(return_inverse=True, return_counts=True)
    by_class = member.argsort(stable=True)
    place = torch.arange(len(index)) - (sizes.cumsum(0) - sizes)[member[by_class]]
    pair = torch.div(place, 2, rounding_mode="floor")
    depth = (pair.double() + 0.5) / sizes[member[by_class]]  # how far into its class a pair stands
    turn = torch.randperm(len(sizes), generator=draw)[member[by_class]]  # of classes at the same depth
    order = turn.argsort(stable=True)
    order = order[depth[order].argsort(stable=True)]
    chosen = shuffled[by_class][order[:most]]
    return chosen.sort().values, index[~torch.isin(index, chosen)]


def _at_most(most: int | None, labels: Tensor, index: Tensor, draw: torch.Generator) -> Int64[Tensor, " m"]:
    """So many images of each class in `index` (None: all), drawn at random; ascending."""
    shuffled = index[torch.randperm(len(index), generator=draw)]
    return torch.cat([shuffled[labels[shuffled] == c][:most] for c in labels[index].unique()]).sort().values
