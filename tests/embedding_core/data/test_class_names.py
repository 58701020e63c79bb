"""Classes of a test file among those of the training file, by label or by name."""

import pytest
import torch

from embedding_core.data.class_names import in_training_labels
from embedding_core.errors import Faults


def joined(
    train: tuple[list[int], tuple[str, ...]], test: tuple[list[int], tuple[str, ...]]
) -> tuple[list[int], tuple[str, ...]]:
    labels, names = in_training_labels("mine", torch.tensor(train[0]), train[1], torch.tensor(test[0]), test[1])
    return labels.tolist(), names


def test_of_one_list_labels_stay_whatever_classes_have_images() -> None:
    names = ("ant", "bee", "cat", "dog")
    assert joined(([0, 1], names), ([2, 3, 3], names)) == ([2, 3, 3], names)
    assert joined(([0, 1], names[:2]), ([2, 3], names)) == ([2, 3], names)


def test_a_file_without_names_goes_by_labels() -> None:
    assert joined(([0, 1], ("ant", "bee")), ([1, 2], ("0", "1", "2"))) == ([1, 2], ("0", "1", "2"))
    assert joined(([0, 1], ("0", "1")), ([2, 3], ("0", "1", "2", "3")))[0] == [2, 3]


def test_lists_of_other_names_are_told_apart_by_name() -> None:
    found = joined(([0, 1, 1], ("ant", "bee")), ([0, 1, -1, 1], ("cat", "dog")))
    assert found == ([2, 3, -1, 3], ("ant", "bee", "cat", "dog"))


def test_a_class_that_the_training_file_lists_without_an_image_keeps_its_label_there() -> None:
    found = joined(([0, 1], ("ant", "bee", "cat")), ([1, 0], ("dog", "cat")))
    assert found == ([2, 3], ("ant", "bee", "cat", "dog"))


def test_a_name_that_is_there_twice_is_one_class() -> None:
    found = joined(([0, 1, 2], ("ant", "ant", "bee")), ([0, 1, 2], ("cat", "dog", "cat")))
    assert found == ([3, 4, 3], ("ant", "ant", "bee", "cat", "dog"))


@pytest.mark.parametrize(
    ("train", "test", "stands"),
    [
        (([0, 1], ("ant", "bee")), ([0, 1], ("ant", "cat")), "`bee` stands against `cat`"),
        (([0, 1], ("ant", "bee")), ([0, 1], ("bee", "ant")), "`ant` stands against `bee`"),
        (([0, 1], ("0", "1")), ([0, 1], ("ant", "bee")), "`0` stands against `ant`"),
    ],
)
def test_lists_that_differ_and_share_a_class_are_refused(
    train: tuple[list[int], tuple[str, ...]], test: tuple[list[int], tuple[str, ...]], stands: str
) -> None:
    with pytest.raises(Faults, match=f"Training and test classes of `mine` must be the same, but {stands}"):
        joined(train, test)
