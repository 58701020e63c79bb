"""Which test images are tested, and what is said of their classes."""

import torch
from torch import Tensor

from embedding_core.data.class_overlap import ClassOverlap, kept_for_test, overlap


def found(test: list[int], training: list[int], seen: list[int], trained: list[int]) -> tuple[list[int], ClassOverlap]:
    labels = torch.tensor(test)
    kept = kept_for_test(labels, torch.tensor(training), torch.tensor(seen))
    return labels[kept].tolist(), overlap(labels, kept, torch.tensor(trained))


def test_of_the_same_classes_nothing_is_said() -> None:
    images, counts = found([0, 1, 2, 2], [0, 0, 1, 2], [0, 1, 2], [0, 1, 2])
    assert images == [0, 1, 2, 2]
    assert (counts.images, counts.classes, counts.disjoint, counts.sentence()) == (4, 3, False, "")


def test_a_file_of_other_classes_is_tested_whole_but_for_images_without_a_label() -> None:
    images, counts = found([7, 5, -1, 5], [0, 1, 2, -1], [0, 1], [0, 1])
    assert images == [7, 5, 5]
    assert counts == ClassOverlap(
        images=3, classes=2, new_images=3, new_classes=2, left_images=1, left_classes=0, trained_classes=2
    )
    assert counts.disjoint
    assert counts.sentence().startswith(
        "class-disjoint: 3 test images of 2 classes of their own, none of the 2 classes trained on"
    )


def test_of_partly_shared_classes_those_trained_on_are_tested_and_the_others_counted() -> None:
    images, counts = found([0, 1, 8, 9, 9, 2], [0, 1, 2, 3], [0, 1], [0, 1])
    assert images == [0, 1]
    assert not counts.disjoint
    assert (counts.left_images, counts.left_classes) == (4, 3)  # one that a training image is of, too
    assert counts.sentence() == (
        "2 test images of 2 classes are tested; 4 of 3 classes that are not trained on are passed over"
    )


def test_classes_that_validate_are_tested_and_told() -> None:
    images, counts = found([0, 1, 2, 2], [0, 1, 2, 2], [0, 1, 2], [0, 1])
    assert images == [0, 1, 2, 2]
    assert counts.sentence().startswith(
        "4 test images of 3 classes, 2 of them of 1 class held out for validation, which no trained head"
    )


def test_a_training_file_whose_shared_classes_are_all_unseen_is_no_class_disjoint_one() -> None:
    images, counts = found([3, 3, 4], [0, 1, 3, 4], [0, 1], [0, 1])
    assert images == []
    assert (counts.left_images, counts.left_classes) == (3, 2)


def test_an_empty_file_has_no_images_to_test() -> None:
    none = torch.tensor([], dtype=torch.int64)
    kept: Tensor = kept_for_test(none, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert overlap(none, kept, torch.tensor([0, 1])).images == 0
