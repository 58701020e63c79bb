"""Images by class, and everything drawn class by class, against a look at all images for each class."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.data.image_draws import at_most, few, stratified
from embedding_core.data.samplers import epoch_order
from embedding_core.data.triplets import STUDY_SEED, fixed_triplets, study_triplets
from embedding_core.seeding import generator

LABELS = st.lists(st.integers(-1, 7), min_size=1, max_size=60)


def in_turn(labels: Tensor, index: Tensor) -> list[Tensor]:
    """The images of each class by a mask over all."""
    return [index[labels[index] == c] for c in labels[index].unique()]


def some_of(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: n - n // 4]


@given(LABELS, st.integers(0, 99))
def test_images_stand_class_after_class_in_the_order_given(values: list[int], seed: int) -> None:
    labels = torch.tensor(values)
    index = some_of(len(labels), seed)
    expected = in_turn(labels, index)
    found = by_class(labels, index)
    assert [own.tolist() for own in found.each()] == [own.tolist() for own in expected]
    assert found.labels.tolist() == labels[index].unique().tolist()
    assert found.sizes.tolist() == [len(own) for own in expected]
    assert found.place.tolist() == [place for own in expected for place in range(len(own))]
    assert torch.equal(found.labels[found.member], labels[found.rows])


def test_of_no_images_there_are_no_classes() -> None:
    found = by_class(torch.tensor([3, 4]), torch.tensor([], dtype=torch.int64))
    assert (len(found.rows), len(found.labels), found.each()) == (0, 0, ())


@given(LABELS, st.integers(0, 99), st.sampled_from([0.05, 0.2, 0.25, 0.5]))
def test_every_class_gives_the_share_that_a_look_at_each_gives(values: list[int], seed: int, share: float) -> None:
    labels = torch.tensor(values)
    index = some_of(len(labels), seed).sort().values
    shuffled = index[torch.randperm(len(index), generator=generator(seed, "test"))]
    second = torch.cat([own[: round(len(own) * share)] for own in in_turn(labels, shuffled)]).sort().values
    found = stratified(labels, index, share, generator(seed, "test"))
    assert found[1].tolist() == second.tolist()
    assert found[0].tolist() == index[~torch.isin(index, second)].tolist()


@given(LABELS, st.integers(0, 99), st.sampled_from([1, 2, 5]))
def test_at_most_so_many_of_each_class(values: list[int], seed: int, most: int) -> None:
    labels = torch.tensor(values)
    index = some_of(len(labels), seed)
    shuffled = index[torch.randperm(len(index), generator=generator(seed, "test"))]
    expected = torch.cat([own[:most] for own in in_turn(labels, shuffled)]).sort().values
    assert at_most(most, labels, index, generator(seed, "test")).tolist() == expected.tolist()
    assert at_most(None, labels, index, generator(seed, "test")).tolist() == sorted(index.tolist())


@given(LABELS, st.integers(0, 99))
def test_few_of_many_keep_pairs_and_lose_nothing(values: list[int], seed: int) -> None:
    labels = torch.tensor(values)
    index = torch.arange(len(labels))
    chosen, others = few(labels, index, 6, generator(seed, "test"))
    assert torch.cat([chosen, others]).sort().values.tolist() == index.tolist()
    assert len(chosen) == min(6, len(index))
    left = {c: int((labels[others] == c).sum()) for c in set(values)}
    odd = [c for c in set(values) if int((labels[chosen] == c).sum()) % 2 and left[c]]
    assert len(odd) <= 1  # the pair that the last place cut in two


@given(LABELS, st.integers(0, 99))
def test_triplets_are_those_of_a_look_at_each_class(values: list[int], seed: int) -> None:
    labels = torch.tensor(values)
    index = some_of(len(labels), seed)
    draw = generator(seed, "test")
    shuffled = index[torch.randperm(len(index), generator=draw)]
    of_class = in_turn(labels, shuffled)
    pairs = [pair for own in of_class for pair in own[: len(own) // 2 * 2].view(-1, 2).tolist()]
    if len(of_class) < 2 or not pairs:
        return
    drawn = torch.rand(len(pairs), generator=draw, dtype=torch.float64).tolist()
    triplets = []
    for pair, u in zip(pairs, drawn, strict=True):
        others = [image for own in of_class for image in own.tolist() if labels[image] != labels[pair[0]]]
        triplets.append([*pair, others[int(u * len(others))]])
    order = torch.randperm(len(pairs), generator=draw)
    found = fixed_triplets(labels, index, generator(seed, "test"))
    assert found.tolist() == torch.tensor(triplets)[order].tolist()


@given(LABELS, st.integers(0, 99))
def test_study_triplets_are_those_of_a_look_at_each_class(values: list[int], seed: int) -> None:
    labels = torch.tensor(values)
    index = some_of(len(labels), seed)
    draw = generator(STUDY_SEED, "study triplets")
    triplets = []
    for c in labels[index].unique():
        own, others = index[labels[index] == c], index[labels[index] != c]
        negatives = others[torch.randperm(len(others), generator=draw)[: len(own) // 2]].tolist()
        triplets += [[*pair, n] for pair, n in zip(own[: len(own) // 2 * 2].view(-1, 2).tolist(), negatives)]  # noqa: B905
    if not triplets:
        return
    pooled = torch.tensor(triplets)[torch.randperm(len(triplets), generator=draw)].tolist()
    train, val = study_triplets(labels, index, 0.3)
    assert val.tolist() + train.tolist() == pooled


def test_a_class_hands_out_all_its_images_before_one_comes_again() -> None:
    labels = torch.arange(200).repeat_interleave(4)[torch.randperm(800, generator=generator(0, "labels"))]
    order = epoch_order(labels, sampler="pk", batch_size=40, images_per_class=2, generator=generator(1, "order"))
    assert len(order) == 800
    for c in range(200):
        drawn = order[labels[order] == c].tolist()
        rounds = [drawn[start : start + 4] for start in range(0, len(drawn), 4)]
        assert all(len(set(one)) == len(one) for one in rounds)
