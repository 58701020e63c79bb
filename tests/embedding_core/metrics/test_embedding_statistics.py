"""Rank, spread and similarities of embeddings against naive loops and closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.metrics import embedding_statistics, neighbours
from embedding_core.metrics.embedding_statistics import (
    alignment,
    effective_rank,
    feature_std,
    nn_distance,
    similarity_stats,
    singular_values,
    uniformity,
)


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_rows(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(rows(n, d, seed), dim=1)


@pytest.fixture(params=[3, 7, 1024])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything quadratic runs in blocks; small ones reach every seam."""
    for module in (embedding_statistics, neighbours):
        monkeypatch.setattr(module, "ROWS_AT_A_TIME", request.param)


def test_effective_rank_closed_forms() -> None:
    q = torch.linalg.qr(rows(8, 8)).Q
    assert effective_rank(q[:5]) == pytest.approx(5, rel=1e-9)
    assert effective_rank(rows(1, 6).expand(9, 6)) == pytest.approx(1, abs=1e-5)
    # Singular values 3 and 1: exp of the entropy of (3/4, 1/4).
    z = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert effective_rank(z) == pytest.approx(4 / 3**0.75, rel=1e-12)
    assert effective_rank(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), center=True) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.eye(4, dtype=torch.float16)) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_effective_rank_of_a_diverged_network_is_nan(bad: float) -> None:
    assert math.isnan(effective_rank(torch.tensor([[1.0, bad], [0.0, 1.0]])))


@given(st.integers(0, 10**6), st.booleans())
def test_spectrum_is_that_of_the_second_moments(seed: int, center: bool) -> None:
    z = rows(11, 4, seed) + 2
    moved = z - z.mean(dim=0) if center else z
    eigenvalues = torch.linalg.eigvalsh(moved.T @ moved).flip(0)
    sigma = singular_values(z, center=center)
    torch.testing.assert_close(sigma.square(), eigenvalues, rtol=1e-9, atol=1e-9)
    assert singular_values(z[:3]).shape == (3,)


def test_feature_std_at_its_ends() -> None:
    cross = torch.cat([torch.eye(5), -torch.eye(5)])  # isotropic exactly
    assert feature_std(3 * cross) == pytest.approx(1 / math.sqrt(5), rel=1e-6)
    collapsed = torch.tensor([[0.3, 0.4]]).expand(7, 2)
    assert feature_std(collapsed) == pytest.approx(0, abs=1e-7)
    assert feature_std(torch.eye(2, dtype=torch.bfloat16)) == 0.5


def test_feature_std_is_the_naive_loop() -> None:
    z = rows(13, 3)
    unit = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    spread = [math.sqrt(np.mean([(u - unit[:, j].mean()) ** 2 for u in unit[:, j]])) for j in range(3)]
    assert feature_std(z) == pytest.approx(np.mean(spread), rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_spectrum_of_a_diverged_network_is_nan(bad: float) -> None:
    z = torch.tensor([[1.0, bad], [0.0, 1.0], [1.0, 1.0]])
    assert singular_values(z).isnan().tolist() == [True, True]
    assert math.isnan(feature_std(z))


def naive_similarities(z: Tensor) -> list[float]:
    return [F.cosine_similarity(z[i], z[j], dim=0).item() for i in range(len(z)) for j in range(len(z)) if i != j]


@pytest.mark.usefixtures("block")
def test_uniformity_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    potentials = [math.exp(-2 * (z[i] - z[j]).square().sum().item()) for i in range(22) for j in range(22) if i != j]
    assert uniformity(z) == pytest.approx(math.log(np.mean(potentials)), rel=1e-10)
    assert uniformity(z[:1].expand(5, 4)) == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), t=1.0) == pytest.approx(-4)


def test_alignment_is_the_naive_loop() -> None:
    x, y = unit_rows(9, 4), unit_rows(9, 4, seed=1)
    distances = [(a - b).norm().item() for a, b in zip(x, y, strict=True)]
    assert alignment(x, y) == pytest.approx(np.mean(np.square(distances)), rel=1e-12)
    assert alignment(x, y, alpha=1) == pytest.approx(np.mean(distances), rel=1e-12)


@pytest.mark.usefixtures("block")
def test_nn_distance_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    nearest = [min((z[i] - z[j]).norm().item() for j in range(22) if j != i) for i in range(22)]
    assert nn_distance(z) == pytest.approx(np.mean(nearest), rel=1e-9)


def test_nn_distance_of_duplicates_is_zero_and_of_near_ones_keeps_its_digits() -> None:
    """2 - 2 cos would have three digits at most here, and leaves duplicates 3e-4 apart."""
    z = F.normalize(rows(6, 50).float(), dim=1)
    assert nn_distance(z.repeat(2, 1)) == 0.0
    near = F.normalize(z + 1e-4 * rows(6, 50, seed=1).float(), dim=1)
    apart = (near.double() - z.double()).norm(dim=1).mean().item()
    assert nn_distance(torch.cat([z, near])) == pytest.approx(apart, rel=1e-3)


@pytest.mark.usefixtures("block")
def test_similarity_stats_are_the_naive_loop() -> None:
    z = rows(22, 4)
    expected = naive_similarities(z)
    found = similarity_stats(z)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.var == pytest.approx(np.var(expected), rel=1e-10)
    assert (found.min, found.max) == pytest.approx((min(expected), max(expected)), rel=1e-10)


def test_similarity_stats_do_not_hide_nan() -> None:
    z = rows(5, 3)
    z[2, 1] = math.nan
    assert all(math.isnan(value) for value in similarity_stats(z))
    assert math.isnan(nn_distance(z))
    assert math.isnan(uniformity(z))


@pytest.mark.parametrize("metric", [uniformity, nn_distance, similarity_stats])
def test_one_row_has_no_pair(metric: Callable[[Tensor], object]) -> None:
    with pytest.raises(ValueError, match="needs two rows, but got 1"):
        metric(torch.ones(1, 3))


@given(st.integers(0, 10**6))
def test_spread_depends_on_neither_rotation_nor_order(seed: int) -> None:
    z = unit_rows(12, 4, seed)
    rotation = torch.linalg.qr(rows(4, 4, seed + 1)).Q
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = (z @ rotation)[order]
    for metric in (uniformity, nn_distance, effective_rank):
        assert metric(moved) == pytest.approx(metric(z), rel=1e-6)
    assert similarity_stats(moved) == pytest.approx(similarity_stats(z), rel=1e-9, abs=1e-12)
