"""Losses against naive loops, published goldens and invariances."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from embedding_core.losses.functional import koleo, koleo_terms, triplet_hinge, triplet_margin
from embedding_core.metrics import neighbours
from embedding_core.metrics.distances import paired_distance
from embedding_core.metrics.neighbours import nearest_neighbours

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda x, y: 1 - torch.dot(x, y) / (x.norm() * y.norm()),
    "l2": lambda x, y: (x - y).square().sum().sqrt(),
    "sql2": lambda x, y: (x - y).square().sum(),
    "angular": lambda x, y: torch.acos(torch.dot(x, y) / (x.norm() * y.norm())),
}


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_koleo(z: Tensor, *, top_k: int = 1, allowed: Callable[[int, int], bool] = lambda i, j: True) -> float:
    """The definition: for each row, distances to every other row, the k smallest, minus the mean log."""
    unit = z / z.norm(dim=1, keepdim=True)
    logs = []
    for i in range(len(z)):
        distances = sorted((unit[i] - unit[j]).norm().item() for j in range(len(z)) if j != i and allowed(i, j))
        logs += [math.log(distance + 1e-8) for distance in distances[:top_k]]
    return -sum(logs) / len(logs)


# KoLeo: closed forms


def test_koleo_of_antipodes_is_minus_log_two() -> None:
    assert koleo(torch.tensor([[0.0, 1.0], [0.0, -1.0]])).item() == pytest.approx(-math.log(2), abs=1e-7)


def test_koleo_of_orthogonal_pair() -> None:
    assert koleo(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).item() == pytest.approx(-math.log(math.sqrt(2)), abs=1e-7)


def test_koleo_of_six_directions() -> None:
    z = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [-1.0, -1.0]])
    assert koleo(z).item() == pytest.approx(0.2674, rel=1e-4)


def test_koleo_of_a_regular_polygon() -> None:
    angle = torch.arange(7, dtype=torch.float64) * 2 * math.pi / 7
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert koleo(z).item() == pytest.approx(-math.log(2 * math.sin(math.pi / 7)), abs=1e-7)


def test_koleo_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`top_k` other rows in its group, but got n=1"):
        koleo(torch.ones(1, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_koleo_of_duplicates_is_finite_and_so_is_its_gradient(dtype: torch.dtype) -> None:
    z = rows(6, 16).to(dtype)
    z[3:] = z[:3]
    z.requires_grad_()
    loss = koleo(z)
    loss.backward()
    assert loss.dtype == (dtype if dtype == torch.float64 else torch.float32)
    # A duplicate is at distance 0 in exact arithmetic, and at most some rounding away after normalisation.
    assert loss.item() == pytest.approx(-math.log(1e-8), rel=1e-3)
    assert z.grad is not None
    assert z.grad.isfinite().all()


# KoLeo: against the definition


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_koleo_is_the_naive_loop(top_k: int) -> None:
    z = rows(33, 5)  # above 25 rows torch.cdist would take its inexact path
    assert koleo(z, top_k=top_k).item() == pytest.approx(naive_koleo(z, top_k=top_k), rel=1e-12)


@pytest.mark.parametrize("group_size", [3, 8, 10, 30])
def test_koleo_in_groups_is_the_naive_loop(group_size: int) -> None:
    z = rows(30, 4)
    expected = naive_koleo(z, allowed=lambda i, j: i // group_size == j // group_size)
    assert koleo(z, group_size=group_size).item() == pytest.approx(expected, rel=1e-12)


def test_koleo_groups_are_micro_batches() -> None:
    """Naive accumulation over micro-batches of m rows is the full batch with `group_size=m`, gradient included."""
    z = rows(24, 6).requires_grad_()
    grouped = koleo(z, group_size=8)
    (expected,) = torch.autograd.grad(grouped, z)
    accumulated = torch.stack([koleo(part) / 3 for part in z.split(8)]).sum()
    (gradient,) = torch.autograd.grad(accumulated, z)
    assert accumulated.item() == pytest.approx(grouped.item(), rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)


def test_koleo_other_classes_only_is_the_naive_loop() -> None:
    z, labels = rows(20, 4), torch.arange(20) % 3
    expected = naive_koleo(z, allowed=lambda i, j: labels[i].item() != labels[j].item())
    loss = koleo(z, labels=labels, exclude_same_class=True)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert loss.item() != koleo(z).item()


@pytest.mark.parametrize("group_size", [None, 10])
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_koleo_leaves_out_rows_with_too_few_of_another_class(top_k: int, group_size: int | None) -> None:
    z, labels = rows(24, 4), torch.zeros(24, dtype=torch.int64)
    labels[[3, 11]] = 1  # one stranger in each group of ten; none in the last
    group = group_size or 24

    def allowed(i: int, j: int) -> bool:
        return labels[i].item() != labels[j].item() and i // group == j // group

    counts = torch.tensor([sum(allowed(i, j) for j in range(24)) for i in range(24)]) >= top_k
    terms = koleo_terms(z.requires_grad_(), labels=labels, exclude_same_class=True, top_k=top_k, group_size=group_size)
    assert terms.valid.tolist() == counts.tolist()
    assert counts.any()
    left_out = (~counts).nonzero()
    assert (terms.neighbours[~counts] == left_out).all()
    assert (terms.distances[~counts] == 0).all()
    used = {int(i) for i in counts.nonzero()}
    expected = naive_koleo(z.detach(), top_k=top_k, allowed=lambda i, j: i in used and allowed(i, j))
    assert terms.loss.item() == pytest.approx(expected, rel=1e-12)


def test_koleo_of_one_class_without_its_own_is_zero_and_can_be_trained_on() -> None:
    z = rows(5, 3).requires_grad_()
    terms = koleo_terms(z, labels=torch.ones(5, dtype=torch.int64), exclude_same_class=True)
    (gradient,) = torch.autograd.grad(terms.loss, z)
    assert terms.loss.item() == 0
    assert not terms.valid.any()
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_koleo_without_labels_cannot_exclude_a_class() -> None:
    with pytest.raises(ValueError, match="needs `labels`"):
        koleo(rows(4, 3), exclude_same_class=True)


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("group_size", [None, 7, 12])
def test_koleo_searches_some_rows_at_a_time(
    group_size: int | None, exclude: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, labels = rows(40, 5), torch.arange(40) % 3
    expected = koleo(z, top_k=2, group_size=group_size, labels=labels, exclude_same_class=exclude)
    monkeypatch.setattr(neighbours, "SEARCH_ROWS", 7)
    assert koleo(z, top_k=2, group_size=group_size, labels=labels, exclude_same_class=exclude).equal(expected)


@pytest.mark.parametrize(
    ("n", "top_k", "group_size"),
    [(4, 4, None), (4, 0, None), (8, 2, 2), (9, 1, 4), (6, 1, 1), (6, 1, 0), (1, 1, 4), (0, 1, None)],
)
def test_koleo_with_too_few_neighbours_is_refused(n: int, top_k: int, group_size: int | None) -> None:
    with pytest.raises(ValueError, match=f"top_k={top_k}"):
        koleo(rows(n, 3), top_k=top_k, group_size=group_size)


def test_koleo_gradient_reaches_both_ends() -> None:
    """Row 2 is nobody's anchor choice except through its own nearest neighbour, yet rows 0 and 1 move it."""
    z = rows(7, 5)
    assert torch.autograd.gradcheck(koleo, z.requires_grad_())
    terms = koleo_terms(z)
    unit = F.normalize(z, dim=1)
    detached = -((unit - unit[terms.neighbours[:, 0]].detach()).norm(dim=1) + 1e-8).log().mean()
    (both,) = torch.autograd.grad(terms.loss, z)
    (one,) = torch.autograd.grad(detached, z)
    assert F.cosine_similarity(both.flatten(), one.flatten(), dim=0) < 0.999


def test_koleo_terms_name_the_neighbours() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-0.2, 1.0]])
    terms = koleo_terms(z)
    assert terms.neighbours[:, 0].tolist() == [1, 0, 3, 2]
    assert not terms.distances.requires_grad
    assert terms.loss.item() == pytest.approx(-terms.distances.log().mean().item(), rel=1e-6)


def test_a_row_is_not_its_own_neighbour_even_among_duplicates() -> None:
    unit = F.normalize(torch.ones(40, 3), dim=1)
    found = nearest_neighbours(unit, top_k=2)
    assert not (found == torch.arange(40)[:, None]).any()


@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(2, 8))
def test_koleo_depends_on_neither_rotation_nor_order_nor_length(seed: int, n: int, d: int) -> None:
    z = rows(n, d, seed)
    rotation = torch.linalg.qr(rows(d, d, seed + 1)).Q
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    lengths = rows(n, 1, seed + 2).exp()
    changed = (z @ rotation)[order] * lengths
    assert koleo(changed).item() == pytest.approx(koleo(z).item(), rel=1e-6, abs=1e-9)


# Triplets


@pytest.mark.parametrize("distance", ["cosine", "l2", "sql2"])
@pytest.mark.parametrize("margin", [0.05, 0.4, 3.0])
def test_triplet_margin_is_the_naive_loop(distance: str, margin: float) -> None:
    anchor, positive, negative = (rows(17, 6, seed) for seed in range(3))
    d = DISTANCES[distance]
    hinges = [max(0.0, (d(a, p) - d(a, n)).item() + margin) for a, p, n in zip(anchor, positive, negative, strict=True)]
    hinge = triplet_hinge(anchor, positive, negative, margin=margin, distance=distance)
    assert hinge.tolist() == pytest.approx(hinges, rel=1e-12, abs=1e-12)
    loss = triplet_margin(anchor, positive, negative, margin=margin, distance=distance)
    assert loss.item() == pytest.approx(sum(hinges) / 17, rel=1e-12)


@pytest.mark.parametrize("distance", ["cosine", "l2", "sql2"])
def test_triplet_margin_is_torchs_own(distance: str) -> None:
    def between(x: Tensor, y: Tensor) -> Tensor:
        return paired_distance(x, y, distance=distance)

    views = [rows(17, 6, seed).requires_grad_() for seed in range(3)]
    theirs = nn.TripletMarginWithDistanceLoss(distance_function=between, margin=0.4)(*views)
    ours = triplet_margin(*views, margin=0.4, distance=distance)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-14)
    for mine, reference in zip(torch.autograd.grad(ours, views), torch.autograd.grad(theirs, views), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-15)


def test_identical_embeddings_cost_exactly_the_margin() -> None:
    z = torch.ones(5, 4)
    assert triplet_margin(z, z, z, margin=0.25, distance="sql2").item() == 0.25


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    views = [rows(8, 4, seed).to(dtype) for seed in range(3)]
    loss = triplet_margin(*views, margin=0.4, distance="cosine")
    assert loss.dtype == torch.float32
    expected = triplet_margin(*(view.float() for view in views), margin=0.4, distance="cosine")
    assert torch.equal(loss, expected)


@given(st.integers(0, 10**6), st.sampled_from(["cosine", "l2", "sql2"]))
def test_triplet_margin_depends_on_neither_rotation_nor_order(seed: int, distance: str) -> None:
    views = [rows(11, 5, seed + view) for view in range(3)]
    rotation = torch.linalg.qr(rows(5, 5, seed + 3)).Q
    order = torch.randperm(11, generator=torch.Generator().manual_seed(seed))
    loss = triplet_margin(*views, margin=0.4, distance=distance)
    moved = triplet_margin(*((view @ rotation)[order] for view in views), margin=0.4, distance=distance)
    assert moved.item() == pytest.approx(loss.item(), rel=1e-10, abs=1e-12)


def test_no_triplets_cost_nothing_and_can_be_trained_on() -> None:
    z = rows(4, 3).requires_grad_()
    none = torch.empty(0, dtype=torch.int64)
    loss = triplet_margin(z[none], z[none], z[none], margin=1.0, distance="sql2")
    (gradient,) = torch.autograd.grad(loss, z)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_images_without_a_label_are_of_no_class() -> None:
    """-1 beside -1 is not a class mate: excluding class mates leaves them neighbours."""
    z = rows(12, 4)
    without = torch.full((12,), -1)
    assert koleo(z, labels=without, exclude_same_class=True).item() == koleo(z).item()
