"""Which image is used for what: seeded splits disjoint by image, and training examples. Everything is an index."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.config.train_config import CHOICES, views_per_example
from embedding_core.data.class_draws import choose_classes, validation_classes
from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.image_draws import at_most, carve_test, few, stratified, without_copies
from embedding_core.data.triplets import fixed_triplets, study_triplets
from embedding_core.errors import Faults, unknown
from embedding_core.seeding import generator


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
    """Labels trained on, ascending."""
    val_classes: Int64[Tensor, " k"]
    """Labels held out for validation alone, ascending; none unless whole classes validate."""
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
    def seen(self) -> Int64[Tensor, " s"]:
        """Labels trained on or validated with, ascending: what test images of the same classes are cut to, so that no
        draw moves the test split."""
        return torch.cat([self.classes, self.val_classes]).sort().values

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


class Copies(NamedTuple):
    """Images of a training file whose pixels are there twice."""

    first: Int64[Tensor, " n"]
    """For each image the place of the first that has the same pixels."""
    tested: Int64[Tensor, " t"]
    """Places of images that are in the test file too."""


def split(
    labels: Int64[Tensor, " n"],
    *,
    test_file_size: int | None,
    loss: str,
    seed: int,
    val_share: float,
    val_by: str = "image",
    val_images: int | None = None,
    triplets: str = "disjoint",
    seen_classes: int | None = None,
    unseen_classes: int = 0,
    max_images_per_class: int | None = None,
    subset: int | None = None,
    copies: Copies | None = None,
) -> Split:
    """Split the images with `labels` by `seed`; O(n log n) time and O(n) memory however many classes there are.

    Args:
        labels: class per image of the training file; -1 where an image has none.
        test_file_size: images in the set's own test file; None: a fixed share is carved out here.
        loss: what the training examples are for: triplets, two views of an image, or single images.
        seed: of all draws, >= 0.
        val_share: share of each class's images, or of the classes, that is held out for validation, in (0, .5].
        val_by: `image`, or `class`: whole classes are held out. Of `disjoint` triplets alone.
        val_images: most of these that are used, >= 3; None: all. Of `disjoint` triplets alone.
        triplets: `disjoint`, or `study` for study 1's, which leak.
        seen_classes: number of classes trained on and validated with; None: all that are not unseen.
        unseen_classes: number of classes kept out.
        max_images_per_class: of training and validation together, >= 2; None: all.
        subset: number of training examples; None: all.
        copies: leave images out of training and validation that are tested as well, or there before; None: keep all.

    Raises:
        Faults: fewer than two classes with a pair, too few classes or examples for what is asked, images without a
            label where the loss needs them, an unknown kind of triplets or of validation.
    """
    asked = {"triplets": triplets, "val_by": val_by}
    if faults := [unknown(name, value, CHOICES[name]) for name, value in asked.items() if value not in CHOICES[name]]:
        raise Faults(faults)
    seen, kept_out = choose_classes(labels, seen=seen_classes, unseen=unseen_classes)
    rest, unlabelled, test = _shared_out(labels, seen, test_file_size, copies)
    if len(unlabelled) and views_per_example(loss) != 2:
        raise Faults([f"loss={loss} needs labels, but {len(unlabelled)} training images have none."])
    if triplets == "study":
        parts = _of_study(labels, rest, val_share)
    else:
        parts = _disjoint(
            labels, rest, unlabelled, loss=loss, seed=seed, val_share=val_share, val_by=val_by, val_images=val_images,
            most=max_images_per_class,
        )  # fmt: skip
    available = len(parts.train_examples)
    if subset is not None and subset > available:
        kind = "triplets" if views_per_example(loss) == 3 else "images"
        raise Faults([f"`subset` must be at most the {available} {kind}, but got {subset}."])
    train_examples = parts.train_examples[:subset]  # they come in random order, so a prefix is a draw
    return Split(
        train=parts.train,
        val=parts.val,
        unused=parts.unused,
        test=test,
        test_in_own_file=test_file_size is not None,
        unseen=torch.isin(labels, kept_out).nonzero()[:, 0],
        classes=seen[~torch.isin(seen, parts.val_classes)],
        val_classes=parts.val_classes,
        train_examples=train_examples,
        example_labels=labels[train_examples[:, 0]],
        val_triplets=parts.val_triplets,
        protocol=triplets,
        examples_available=available,
        largest_class=parts.largest_class,
    )


def _shared_out(
    labels: Int64[Tensor, " n"], seen: Int64[Tensor, " s"], test_file_size: int | None, copies: Copies | None
) -> tuple[Int64[Tensor, " m"], Int64[Tensor, " w"], Int64[Tensor, " t"]]:
    """Images of the classes `seen` to train on and validate with, those without a label, and those to test."""
    if test_file_size is None:
        rest, test = carve_test(labels)
    else:
        rest, test = torch.arange(len(labels)), torch.arange(test_file_size)
    of_seen, unlabelled = rest[torch.isin(labels[rest], seen)], rest[labels[rest] < 0]
    if copies is not None:
        tested = test if test_file_size is None else copies.tested
        of_seen, unlabelled = (without_copies(each, copies.first, tested) for each in (of_seen, unlabelled))
    return of_seen, unlabelled, test[torch.isin(labels[test], seen)] if test_file_size is None else test


class _Parts(NamedTuple):
    """What training and validation share out among themselves."""

    train: Int64[Tensor, " n"]
    val: Int64[Tensor, " v"]
    unused: Int64[Tensor, " w"]
    val_classes: Int64[Tensor, " k"]
    train_examples: Int64[Tensor, "a views"]
    val_triplets: Int64[Tensor, "b 3"]
    largest_class: int


def _of_study(labels: Tensor, rest: Int64[Tensor, " m"], val_share: float) -> _Parts:
    train_examples, val_triplets = study_triplets(labels, rest, val_share)
    train, val = train_examples.unique(), val_triplets.unique()
    none = val[:0]
    return _Parts(
        train, val, none, none, train_examples, val_triplets, largest_class_size(labels, torch.cat([train, val]))
    )


def _disjoint(
    labels: Tensor,
    rest: Int64[Tensor, " m"],
    unlabelled: Int64[Tensor, " w"],
    *,
    loss: str,
    seed: int,
    val_share: float,
    val_by: str,
    val_images: int | None,
    most: int | None,
) -> _Parts:
    """`rest` in two, by image or by class; images without a label are for training alone."""
    largest_class = largest_class_size(labels, rest)
    # Validation images come out of the few: a rate that many labelled images chose is not few-shot.
    rest = at_most(most, labels, rest, generator(seed, "images of a class"))
    val_classes = labels[:0]
    if val_by == "class":
        val_classes = validation_classes(labels, rest, val_share, generator(seed, "validation classes"))
        held = torch.isin(labels[rest], val_classes)
        train, held_out = rest[~held], rest[held]
    else:
        train, held_out = stratified(labels, rest, val_share, generator(seed, "split"))
    val, unused = few(labels, held_out, val_images, generator(seed, "validation images"))
    train = torch.cat([train, unlabelled])  # of no class, so none too many
    fields = "`val_share`, `val_images`" if len(unused) else "`val_share`"
    fields += ", `max_images_per_class`" if most is not None else ""
    fields += ", `val_by`" if val_by != "image" else ""
    draw = generator(seed, "val triplets")
    train_examples = _examples(labels, train, loss, seed)
    try:
        val_triplets = fixed_triplets(labels, val, draw, what=f"Validation triplets ({fields})")
    except Faults as error:
        raise Faults([f"{error}{_remedy(labels, rest, val_by, val_share)}"]) from None
    return _Parts(train, val, unused, val_classes, train_examples, val_triplets, largest_class)


def _remedy(labels: Tensor, rest: Int64[Tensor, " m"], val_by: str, val_share: float) -> str:
    """Where a share of each class is less than a pair, whole classes may still do."""
    if val_by != "image":
        return ""
    try:
        wanted = len(validation_classes(labels, rest, val_share, generator(0, "validation classes")))
    except Faults:
        return ""
    return (
        f" `val_by=image` holds out {val_share} of the images of each class; take val_by=class, which would hold out "
        f"{wanted} whole classes."
    )


def largest_class_size(labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"]) -> int:
    """Images in `index` of the class that has most there; those without a label (-1) are of none."""
    of_class = labels[index]
    return int(of_class[of_class >= 0].bincount(minlength=1).max())


def _examples(labels: Tensor, train: Tensor, loss: str, seed: int) -> Int64[Tensor, "a views"]:
    """Training examples in random order."""
    if views_per_example(loss) == 3:
        return fixed_triplets(labels, train, generator(seed, "train triplets"), what="Training triplets")
    shuffled = train[torch.randperm(len(train), generator=generator(seed, "train images"))]
    return shuffled[:, None].repeat(1, views_per_example(loss))
