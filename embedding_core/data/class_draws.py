"""Which classes are used for what: trained on, validated with, or kept out."""

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.errors import Faults
from embedding_core.seeding import generator

CLASS_SEED = 0
"""Which classes are unseen is fixed per data set, like the test split."""

FEWEST_CLASSES = 2
"""To train on or to validate with: one class cannot be told from another."""


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
    if wanted > len(present) or wanted - unseen < FEWEST_CLASSES:
        asked = f"of {len(present)} classes {'all others' if seen is None else seen} seen and {unseen} unseen"
        found = "all images are of one class" if len(present) == 1 else f"{asked} are asked for"
        raise Faults([f"Two classes at least must be trained on, but {found}."])
    used = present[sizes.argsort(descending=True, stable=True)[:wanted]].sort().values
    shuffled = used[torch.randperm(wanted, generator=generator(CLASS_SEED, "unseen classes"))]
    return shuffled[unseen:].sort().values, shuffled[:unseen].sort().values


def validation_classes(
    labels: Int64[Tensor, " n"], index: Int64[Tensor, " m"], share: float, draw: torch.Generator
) -> Int64[Tensor, " v"]:
    """Labels of which every image in `index` is held out for validation, ascending.

    `share` of the classes, rounded, but two at least; a draw without replacement. Two of them have two images each: the
    first two such classes of the drawn order are taken first, or of many classes of one image some draws would leave
    nothing to measure.

    Args:
        labels: class per image.
        index: images to train on and to validate with, all with a label.
        share: of the classes, in (0, .5].
        draw: on the CPU.

    Raises:
        Faults: fewer than two classes with two images, or fewer than two left to train on.
    """
    groups = by_class(labels, index)
    classes, paired = len(groups.labels), int((groups.sizes > 1).sum())
    wanted = max(FEWEST_CLASSES, round(classes * share))
    if paired < FEWEST_CLASSES or classes - wanted < FEWEST_CLASSES:
        raise Faults([f"`val_by=class` needs two classes with two images each to validate with, and two others to "
                      f"train on; but of {classes} classes {paired} have two images, and with `val_share` {share} "
                      f"{wanted} would validate."])  # fmt: skip
    order = torch.randperm(classes, generator=draw)
    first = order[groups.sizes[order] > 1][:FEWEST_CLASSES]
    order = torch.cat([first, order[~torch.isin(order, first)]])
    return groups.labels[order[:wanted]].sort().values
