"""The semi-hard triplet loss against the definition, pair by pair."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.losses.functional import triplet_semihard

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda x, y: 1 - torch.dot(x, y) / (x.norm() * y.norm()),
    "l2": lambda x, y: (x - y).square().sum().sqrt(),
    "sql2": lambda x, y: (x - y).square().sum(),
    "angular": lambda x, y: torch.acos(torch.dot(x, y) / (x.norm() * y.norm())),
}


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_semihard(z: Tensor, labels: Tensor, *, margin: float, distance: str, fallback: str = "farthest") -> Tensor:
    """The definition, pair by pair, differentiable."""
    d = DISTANCES[distance]
    hinges = []
    for i in range(len(z)):
        strangers = [d(z[i], z[k]) for k in range(len(z)) if labels[k] != labels[i]]
        for j in range(len(z)):
            if j == i or labels[j] != labels[i]:
                continue
            to_positive = d(z[i], z[j])
            beyond = [x for x in strangers if x > to_positive]
            otherwise = (max if fallback == "farthest" else min)(strangers, default=torch.zeros(()))
            hinges.append((margin + to_positive - min(beyond, default=otherwise)).clamp(min=0))
    return torch.stack(hinges).mean() if hinges else z.sum() * 0


POINTS = torch.arange(9.0)[:, None]
POINT_LABELS = torch.tensor([0, 0, 1, 1, 0, 2, 1, 1, 1])


@pytest.mark.parametrize(
    ("distance", "margin", "expected"),
    [("l2", 1.0, 16 / 26), ("l2", 0.2, 0.4), ("sql2", 1.0, 3.0769231), ("sql2", 0.2, 2.8615385)],
)
def test_semihard_of_points_on_a_line(distance: str, margin: float, expected: float) -> None:
    loss = triplet_semihard(POINTS, POINT_LABELS, margin=margin, distance=distance)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_semihard_without_negatives_is_margin_plus_distance() -> None:
    z = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert triplet_semihard(z, torch.zeros(2, dtype=torch.int64), distance="l2").item() == pytest.approx(2.4142137)


@pytest.mark.parametrize("labels", [[3], [0, 1, 2]])
def test_semihard_without_positives_is_zero_and_can_be_trained_on(labels: list[int]) -> None:
    z = rows(len(labels), 3).requires_grad_()
    loss = triplet_semihard(z, torch.tensor(labels, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, z)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("fallback", ["farthest", "nearest"])
@pytest.mark.parametrize("distance", DISTANCES)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 11),
    classes=st.integers(1, 5),
    margin=st.floats(0, 3),
)
def test_semihard_is_the_naive_loop(
    distance: str, fallback: str, seed: int, n: int, classes: int, margin: float
) -> None:
    z = rows(n, 3, seed).requires_grad_()
    labels = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    expected = naive_semihard(z, labels, margin=margin, distance=distance, fallback=fallback)
    loss = triplet_semihard(z, labels, margin=margin, distance=distance, fallback=fallback)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)
    (gradient,), (reference,) = torch.autograd.grad(loss, z), torch.autograd.grad(expected, z)
    torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("distance", ["l2", "sql2"])
@given(
    grid=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=14),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_semihard_with_ties_and_duplicates_is_the_naive_loop(
    distance: str, grid: list[tuple[int, int, int]], dtype: torch.dtype
) -> None:
    z, labels = torch.tensor(grid)[:, :2].to(dtype), torch.tensor(grid)[:, 2]
    expected = naive_semihard(z, labels, margin=0.5, distance=distance)
    loss = triplet_semihard(z, labels, margin=0.5, distance=distance)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("distance", ["l2", "sql2", "cosine", "angular"])
def test_semihard_of_collapsed_embeddings_is_exactly_the_margin(distance: str) -> None:
    z = rows(1, 8).float().expand(30, 8)
    assert triplet_semihard(z, torch.arange(30) % 3, margin=0.5, distance=distance).item() == 0.5


@pytest.mark.parametrize("distance", ["l2", "sql2", "cosine", "angular"])
def test_semihard_gradient(distance: str) -> None:
    labels = torch.arange(8) % 3
    assert torch.autograd.gradcheck(
        lambda z: triplet_semihard(z, labels, distance=distance), rows(8, 3).requires_grad_()
    )


def test_semihard_with_an_unknown_fallback_or_distance_is_refused() -> None:
    labels = torch.tensor([0, 0])
    with pytest.raises(ValueError, match="Did you mean `nearest`"):
        triplet_semihard(rows(2, 2), labels, fallback="nearst")
    with pytest.raises(ValueError, match="Did you mean `sql2`"):
        triplet_semihard(rows(2, 2), labels, distance="sql")
