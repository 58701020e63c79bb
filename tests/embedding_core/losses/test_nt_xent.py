"""NT-Xent against the definition, its floor and its chance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.losses.functional import nt_xent, nt_xent_chance, nt_xent_floor


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_nt_xent(z1: Tensor, z2: Tensor, *, temperature: float, similarity: str) -> float:
    """The definition, view by view: minus the log of the partner's share."""
    views = [*z1, *z2]
    n = len(z1)
    losses = []
    for i, view in enumerate(views):
        lengths = [1.0 if similarity == "dot" else (view.norm() * other.norm()).item() for other in views]
        logits = [torch.dot(view, o).item() / length / temperature for o, length in zip(views, lengths, strict=True)]
        total = sum(math.exp(logit) for k, logit in enumerate(logits) if k != i)
        losses.append(math.log(total) - logits[(i + n) % (2 * n)])
    return sum(losses) / len(losses)


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.1, 0.5, 2.0]), st.sampled_from(["cosine", "dot"]))
def test_nt_xent_is_the_naive_loop(seed: int, n: int, temperature: float, similarity: str) -> None:
    z1, z2 = rows(n, 4, seed), rows(n, 4, seed + 1)
    expected = naive_nt_xent(z1, z2, temperature=temperature, similarity=similarity)
    loss = nt_xent(z1, z2, temperature=temperature, similarity=similarity)
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_nt_xent_of_equal_rows_is_chance(n: int) -> None:
    z = torch.ones(n, 5)
    assert nt_xent(z, z).item() == pytest.approx(math.log(2 * n - 1), rel=1e-6)
    assert nt_xent_chance(n) == math.log(2 * n - 1)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_of_orthogonal_pairs_is_the_floor(temperature: float) -> None:
    z = torch.eye(20, dtype=torch.float64)
    assert nt_xent(z, 3 * z, temperature=temperature).item() == pytest.approx(nt_xent_floor(20, temperature), rel=1e-12)


@pytest.mark.parametrize(("n", "floor", "chance"), [(200, 4.005, 5.99), (512, 4.937, 6.93)])
def test_nt_xent_floor_and_chance_as_published(n: int, floor: float, chance: float) -> None:
    assert nt_xent_floor(n, 0.5) == pytest.approx(floor, abs=5e-4)
    assert nt_xent_chance(n) == pytest.approx(chance, abs=5e-3)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_nt_xent_gradient(similarity: str) -> None:
    views = (rows(5, 3).requires_grad_(), rows(5, 3, 1).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, similarity=similarity), views)


def test_nt_xent_refuses_what_it_cannot_compute() -> None:
    z = rows(3, 2)
    with pytest.raises(ValueError, match="but got 0, 0"):
        nt_xent(z[:0], z[:0])
    with pytest.raises(ValueError, match=r"temperature=0\.0"):
        nt_xent(z, z, temperature=0.0)
    with pytest.raises(ValueError, match="Did you mean `cosine`"):
        nt_xent(z, z, similarity="cosinus")
