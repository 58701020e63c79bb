"""How the classes of the test images relate to those that a run trains on, in numbers and in a sentence."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from embedding_core.wording import plural


class ClassOverlap(NamedTuple):
    """Images and classes of a test set."""

    images: int
    """That are tested."""
    classes: int
    new_images: int
    """Of those, images of classes that are not trained on."""
    new_classes: int
    left_images: int
    """Images of the test file that are passed over."""
    left_classes: int
    trained_classes: int

    @property
    def disjoint(self) -> bool:
        """Whether no tested class is trained on."""
        return self.new_images == self.images

    def sentence(self) -> str:
        """What is to be known of it; empty where all test images are of classes trained on."""
        parts = []
        tested = f"{plural(self.images, 'test image')} of {plural(self.classes, 'class')}"
        trained, new = plural(self.trained_classes, "class"), plural(self.new_classes, "class")
        if self.disjoint:
            parts.append(
                f"class-disjoint: {tested} of their own, none of the {trained} trained on, so that no trained head and "
                "no classifier fitted to training images is asked about them"
            )
        elif self.new_images:
            parts.append(
                f"{tested}, {self.new_images:,} of them of {new} held out for validation, which no trained head or "
                "classifier fitted to training images is asked about"
            )
        if self.left_images:
            those = "class that is" if self.left_classes == 1 else "classes that are"
            parts.append(
                f"{'' if parts else f'{tested} are tested; '}{self.left_images:,} of {self.left_classes:,} {those} not "
                f"trained on {'is' if self.left_images == 1 else 'are'} passed over"
            )
        return "; ".join(parts)


def kept_for_test(
    labels: Int64[Tensor, " t"], training_labels: Int64[Tensor, " n"], seen: Int64[Tensor, " s"]
) -> Bool[Tensor, " t"]:
    """Which images of a test file are tested: those of the classes in `seen`; of a file that shares no class with the
    training file, all that have a label.

    Args:
        labels: class per image of the test file; -1 where it has none.
        training_labels: class per image of the training file likewise.
        seen: labels trained on or validated with.
    """
    labelled = labels >= 0
    shared = torch.isin(labels[labelled], training_labels[training_labels >= 0].unique()).any()
    return torch.isin(labels, seen) if shared else labelled


def overlap(labels: Int64[Tensor, " t"], kept: Bool[Tensor, " t"], classes: Int64[Tensor, " c"]) -> ClassOverlap:
    """Counts of a test file.

    Args:
        labels: class per image; -1 where it has none, which counts as no class.
        kept: which images are tested.
        classes: labels trained on.
    """
    ours, others = labels[kept], labels[~kept]
    new = ours[~torch.isin(ours, classes)]
    return ClassOverlap(
        images=len(ours),
        classes=len(ours.unique()),
        new_images=len(new),
        new_classes=len(new.unique()),
        left_images=len(others),
        left_classes=len(others[others >= 0].unique()),
        trained_classes=len(classes),
    )
