"""Orders of an epoch: the laws of P classes by k images, checked batch by batch and class by class."""

import re
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import batch_faults, epoch_order
from embedding_core.errors import Faults


def order(labels: Tensor, *, batch_size: int, k: int, sampler: str = "pk", seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return epoch_order(labels, sampler=sampler, batch_size=batch_size, images_per_class=k, generator=draws)


def shuffled(sizes: list[int], seed: int = 0) -> Tensor:
    """Labels with so many examples per class, mixed; labels need not be consecutive."""
    labels = torch.repeat_interleave(10 * torch.arange(len(sizes)) + 3, torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def test_a_batch_that_is_too_large_names_one_that_fits(digits: DeviceData) -> None:
    config = TrainConfig(batch_size=2048, accum_steps=4, loss="softmax")
    (fault,) = batch_faults(config, digits.split(config))
    assert fault.endswith("training images, but got 2048: batch_size=512 fits.")
    fitting = replace(config, batch_size=512)
    assert batch_faults(fitting, digits.split(fitting)) == []


def test_micro_batches_that_never_hold_a_pair_are_refused_unless_koleo_learns_from_them(digits: DeviceData) -> None:
    alone = TrainConfig(loss="semihard", batch_size=64, accum_steps=32)
    (fault,) = batch_faults(alone, digits.split(alone))
    assert re.search(r"of the \d+ micro-batches of 2 images .* none holds that", fault)
    assert fault.endswith(": take batch_size=128 or more, or fewer accum_steps.")
    for learns in ({"accum_mode": "cached"}, {"koleo": True, "koleo_weight": 0.1}, {"accum_steps": 2}):
        other = replace(alone, **learns)
        assert batch_faults(other, digits.split(other)) == []


@pytest.mark.parametrize(("batch_size", "learns"), [(2, False), (32, True)])
def test_batches_that_never_hold_a_pair_are_refused(digits: DeviceData, batch_size: int, learns: bool) -> None:
    """Two images at a time are a pair of one class or of two, and never both."""
    config = TrainConfig(loss="semihard", batch_size=batch_size)
    faults = batch_faults(config, digits.split(config))
    assert (faults == []) is learns
    assert all("batches of 2 images in the first epoch none holds that" in fault for fault in faults)


def test_random_is_the_permutation_of_the_generator() -> None:
    labels = shuffled([20, 30])
    for seed in range(3):
        expected = torch.randperm(50, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(order(labels, batch_size=8, k=4, sampler="random", seed=seed), expected)


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    k=st.integers(1, 5),
    classes=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_every_batch_holds_p_classes_with_k_images_each_side_by_side(
    sizes: list[int], k: int, classes: int, seed: int
) -> None:
    labels = shuffled(sizes, seed)
    enough = sum(size >= k for size in sizes)
    if enough < classes:
        with pytest.raises(Faults, match=rf"needs {classes} classes, but only {enough} of"):
            order(labels, batch_size=classes * k, k=k, seed=seed)
        return
    out = order(labels, batch_size=classes * k, k=k, seed=seed)
    assert len(out) == len(labels) // k * k
    for batch in out.split(classes * k):
        assert len(batch.unique()) == len(batch)
        groups = labels[batch].view(-1, k)
        assert bool((groups == groups[:, :1]).all())
        assert len(groups[:, 0].unique()) == len(groups)


@given(sizes=st.lists(st.integers(1, 11), min_size=4, max_size=8), k=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_a_class_hands_out_all_its_images_before_one_recurs(sizes: list[int], k: int, seed: int) -> None:
    sizes = [*sizes, 60 + k]  # enough examples for many batches, so that small classes run out again and again
    labels = shuffled(sizes, seed)
    out = order(labels, batch_size=k, k=k, seed=seed)
    assert all(len(batch.unique()) == k for batch in out.view(-1, k))  # also where one turn ends and the next begins
    for name in labels[out].unique():
        members = (labels == name).nonzero()[:, 0]
        handed = out[labels[out] == name]
        for turn in handed.split(len(members)):
            assert len(turn.unique()) == len(turn)
            assert bool(torch.isin(turn, members).all())


def test_classes_too_small_are_never_drawn_and_the_others_equally_often() -> None:
    labels = shuffled([3, 40, 200, 8, 900, 3, 10, 30])
    counts = Counter(labels[torch.cat([order(labels, batch_size=8, k=4, seed=s) for s in range(20)])].tolist())
    assert set(counts) == {13, 23, 33, 43, 63, 73}
    assert sum(counts.values()) == 20 * (1194 // 4 * 4)
    assert chisquare([count // 4 for count in counts.values()]).pvalue > 1e-3


@pytest.mark.slow
def test_images_of_a_class_are_drawn_uniformly() -> None:
    labels = shuffled([7, 7, 7])
    firsts = [int(order(labels, batch_size=6, k=3, seed=s)[0]) for s in range(2000)]
    assert chisquare(list(Counter(firsts).values())).pvalue > 1e-3
    assert len(set(firsts)) == 21


def test_the_generator_alone_decides() -> None:
    labels = shuffled([20] * 6)
    first = order(labels, batch_size=12, k=4, seed=1)
    torch.rand(3)  # the global stream has no say
    assert torch.equal(first, order(labels, batch_size=12, k=4, seed=1))
    assert not torch.equal(first, order(labels, batch_size=12, k=4, seed=2))


def test_just_enough_examples_make_one_batch() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert sorted(order(labels, batch_size=4, k=2).tolist()) == [0, 1, 2, 3]
    with pytest.raises(Faults, match="needs 3 classes, but only 2 of 2"):
        order(labels, batch_size=6, k=2)


@pytest.mark.parametrize("k", [3, 0, -2])
def test_k_divides_the_batch(k: int) -> None:
    with pytest.raises(Faults, match=rf"multiple of `images_per_class` >= 1, but got 8 and {k}"):
        order(shuffled([9, 9, 9]), batch_size=8, k=k)


def test_an_unknown_sampler_is_named_beside_the_known_ones() -> None:
    with pytest.raises(Faults, match=r"Unknown sampler `pkk`\. Did you mean `pk`\? Known: pk, random\."):
        order(shuffled([9]), batch_size=3, k=3, sampler="pkk")


def test_an_epoch_of_fifty_thousand_is_ordered_in_a_moment() -> None:
    labels = shuffled([500] * 100)
    seconds = []
    for seed in range(3):
        started = time.process_time()
        order(labels, batch_size=128, k=4, seed=seed)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.2
