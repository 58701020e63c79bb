"""What the classes of a test file are called among those of the training file."""

import torch
from jaxtyping import Int64
from torch import Tensor

from embedding_core.data.readers.similar_names import folded
from embedding_core.errors import Faults


def in_training_labels(
    name: str,
    train_labels: Int64[Tensor, " n"],
    train_names: tuple[str, ...],
    test_labels: Int64[Tensor, " t"],
    test_names: tuple[str, ...],
) -> tuple[Int64[Tensor, " t"], tuple[str, ...]]:
    """Labels and class names of the test images, numbered as in the training file.

    Where the two files list the same names, or a file lists none, equal labels are one class. Where both list names and
    these differ, classes are told apart by name, and no class may have images in both files: a name that the training
    file does not list gets a label beyond its own.

    Args:
        name: of the data set, for errors.
        train_labels: class per training image; -1 where it has none.
        train_names: name per label of the training file; the labels as text where it lists none.
        test_labels: class per test image; -1 where it has none.
        test_names: name per label of the test file likewise.

    Raises:
        Faults: the lists differ, and a class has images in both files, or the training file lists no names.
    """
    listed, like = set(train_names), {folded(each): each for each in train_names}
    strange = sorted(_with_images(test_labels, test_names) - listed)
    if near := [each for each in strange if folded(each) in like]:
        a, b = ascii(like[folded(near[0])]), ascii(near[0])
        raise Faults([f"Training and test classes of `{name}` must have the same names, but {a} stands against {b}."])
    differing = [pair for pair in zip(train_names, test_names, strict=False) if pair[0] != pair[1]]
    if test_names == _numbers(test_names) or not differing:
        return test_labels, test_names
    shared = _with_images(train_labels, train_names) & _with_images(test_labels, test_names)
    if shared or train_names == _numbers(train_names):
        a, b = differing[0]
        raise Faults([f"Training and test classes of `{name}` must be the same, but `{a}` stands against `{b}`."])
    names = (*train_names, *(each for each in dict.fromkeys(test_names) if each not in listed))
    label_of = {each: label for label, each in reversed([*enumerate(names)])}  # of a name that is there twice the first
    among = torch.tensor([label_of[each] for each in test_names])
    return torch.where(test_labels < 0, test_labels, among[test_labels]), names


def _numbers(names: tuple[str, ...]) -> tuple[str, ...]:
    """What a file without names gives."""
    return tuple(str(label) for label in range(len(names)))


def _with_images(labels: Tensor, names: tuple[str, ...]) -> set[str]:
    return {names[label] for label in labels.unique().tolist() if label >= 0}
