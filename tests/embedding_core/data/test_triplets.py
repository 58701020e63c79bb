"""Fixed triplets: valid, each image once, negatives uniform."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.data.triplets import fixed_triplets
from embedding_core.errors import Faults
from embedding_core.seeding import generator

UNBALANCED = torch.tensor([3] * 50 + [1] * 30 + [8] * 21)[torch.randperm(101, generator=generator(0, "labels"))]


def assert_valid(triplets: Tensor, labels: Tensor) -> None:
    anchor, positive, negative = labels[triplets].T
    assert (anchor == positive).all()
    assert (anchor != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    assert len(triplets[:, :2].unique()) == triplets[:, :2].numel()


@given(st.lists(st.integers(2, 9), min_size=2, max_size=6), st.integers(0, 1000))
def test_triplets_are_valid_and_pair_every_image_once(sizes: list[int], seed: int) -> None:
    labels = torch.cat([torch.full((size,), 3 * c) for c, size in enumerate(sizes)])
    triplets = fixed_triplets(labels, torch.arange(len(labels)), generator(seed, "test"))
    assert_valid(triplets, labels)
    assert len(triplets) == sum(size // 2 for size in sizes)


def test_triplets_stay_inside_the_index_they_are_given() -> None:
    index = torch.tensor([2, 5, 7, 11, 30, 44, 61, 99])
    labels = UNBALANCED.clone()
    labels[index] = torch.tensor([1, 1, 3, 3, 1, 3, 1, 3])
    triplets = fixed_triplets(labels, index, generator(0, "test"))
    assert_valid(triplets, labels)
    assert torch.isin(triplets, index).all()


def test_negatives_are_uniform_over_the_other_classes() -> None:
    labels = torch.tensor([0] * 2000 + [1] * 20 + [2] * 60)
    triplets = fixed_triplets(labels, torch.arange(len(labels)), generator(0, "test"))
    negatives = triplets[labels[triplets[:, 0]] == 0, 2].bincount(minlength=len(labels))[2000:]
    # 1,000 draws over 80 images: 12.5 each, Poisson deviation 3.5; none beyond five of them.
    assert negatives.sum() == 1000
    assert negatives.max() <= 31
    # By class: 250 expected in class 1, binomial deviation 13.7.
    assert abs(negatives[:20].sum().item() - 250) < 5 * 13.7


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 1, 1, 1], "1 class has 2 pairs"), ([0, 1, 2, 3], "4 classes have 0 pairs")],
)
def test_sets_without_triplets_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(Faults, match=message):
        fixed_triplets(torch.tensor(labels), torch.arange(4), generator(0, "test"))
