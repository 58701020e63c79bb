"""Planes and ellipses: closed forms, scikit-learn, repeatability."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor

from embedding_core.views.projections import class_ellipses, pca, tsne, umap


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def on_ellipse(n: int, *, a: float, b: float, degrees: float, centre: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """n equally spaced points of the ellipse with semi-axes a, b: their covariance is diag(a^2, b^2) / 2, turned."""
    t, turn = torch.arange(n).double() * (2 * math.pi / n), math.radians(degrees)
    x, y = a * t.cos(), b * t.sin()
    return torch.stack(
        [centre[0] + x * math.cos(turn) - y * math.sin(turn), centre[1] + x * math.sin(turn) + y * math.cos(turn)], 1
    )


@given(st.integers(3, 40), st.integers(2, 9), st.integers(0, 2**31))
def test_pca_is_scikit_learns(n: int, d: int, seed: int) -> None:
    z = normal(n, d, seed).double() * torch.arange(d, 0, -1)  # apart, so that the axes are determined
    peer = PCA(n_components=2, svd_solver="full").fit(z.numpy())
    points, explained = pca(z)
    np.testing.assert_allclose(points.numpy(), peer.transform(z.numpy()), atol=1e-8)
    np.testing.assert_allclose(explained, peer.explained_variance_ratio_, atol=1e-10)


def test_pca_of_one_column_and_of_one_point() -> None:
    z = torch.tensor([[1.0], [-1.0], [1.0]])
    points, explained = pca(z)
    assert points[:, 1].tolist() == [0, 0, 0]
    assert points[:, 0].tolist() == pytest.approx((z[:, 0] - 1 / 3).tolist())
    assert explained == (1.0, 0.0)
    points, explained = pca(torch.ones(5, 3))
    assert points.abs().max() == 0
    assert all(math.isnan(share) for share in explained)


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_the_ellipse_of_a_circle_is_the_circle(radius: float) -> None:
    points = on_ellipse(12, a=radius, b=radius, degrees=0, centre=(2.0, -1.0))
    (ellipse,) = class_ellipses(points, torch.full((12,), 4))
    assert (ellipse.label, ellipse.n) == (4, 12)
    assert (ellipse.x, ellipse.y) == pytest.approx((2, -1))
    assert (ellipse.width, ellipse.height) == pytest.approx((2 * radius, 2 * radius))
    assert ellipse.area == pytest.approx(math.pi * radius**2)


@given(st.floats(1.1, 10), st.floats(0.1, 1), st.floats(-89, 90), st.integers(3, 30))
def test_the_ellipse_of_points_on_an_ellipse_is_that_one(a: float, b: float, degrees: float, n: int) -> None:
    (ellipse,) = class_ellipses(on_ellipse(n, a=a, b=b, degrees=degrees), torch.zeros(n, dtype=torch.int64))
    assert (ellipse.width, ellipse.height) == pytest.approx((2 * a, 2 * b), rel=1e-6)
    assert ellipse.area == pytest.approx(math.pi * a * b)
    turned = (ellipse.angle - degrees + 90) % 180 - 90  # 180 degrees turn an ellipse into itself
    assert turned == pytest.approx(0, abs=1e-5)
    assert -90 < ellipse.angle <= 90


@given(st.lists(st.integers(4, 40), min_size=1, max_size=4), st.integers(0, 2**31))
def test_half_of_each_class_lies_inside(sizes: list[int], seed: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    points = normal(len(labels), 2, seed).double() @ normal(2, 2, seed + 1).double() + labels[:, None]
    for ellipse, size in zip(class_ellipses(points, labels), sizes, strict=True):
        x, y = (points[labels == ellipse.label] - torch.tensor([ellipse.x, ellipse.y], dtype=points.dtype)).T
        turn = math.radians(ellipse.angle)
        along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        distance = (along / (ellipse.width / 2)) ** 2 + (across / (ellipse.height / 2)) ** 2
        assert int((distance < 1 - 1e-9).sum()) == size // 2
        assert int((distance > 1 + 1e-9).sum()) == size // 2  # of an odd class one is on the line (of three points all)


def test_the_area_is_the_covariances() -> None:
    points = normal(200, 2, 5).double() @ torch.tensor([[2.0, 0.3], [0.0, 0.5]]).double()
    (ellipse,) = class_ellipses(points, torch.zeros(200, dtype=torch.int64))
    covariance = np.cov(points.numpy().T)
    offsets = points.numpy() - points.numpy().mean(axis=0)
    mahalanobis = np.sqrt(np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(covariance), offsets))
    assert ellipse.area == pytest.approx(math.pi * np.median(mahalanobis) ** 2 * math.sqrt(np.linalg.det(covariance)))


def test_ellipses_without_extent() -> None:
    line = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [3.0, 3.0]])
    point = torch.ones(3, 2)
    pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    on_line, on_point, on_pair = class_ellipses(torch.cat([line, point, pair]), labels)
    assert (on_line.height, on_line.area, on_line.angle) == pytest.approx((0, 0, 45), abs=1e-6)
    assert on_line.width == pytest.approx(2 * math.sqrt(2))  # distances from the mean: 0, 1, 1, 2, 2 diagonals
    assert (on_point.width, on_point.height, on_point.area) == (0, 0, 0)
    assert math.isnan(on_pair.area)
    assert (on_pair.x, on_pair.y) == (0.5, 0.5)


def test_tsne_repeats_with_its_seed_alone() -> None:
    z = normal(40, 6)
    first = tsne(z, seed=1)
    assert first.shape == (40, 2)
    assert torch.equal(first, tsne(z, seed=1))


@pytest.mark.slow
def test_umap_repeats_with_its_seed_alone() -> None:
    z = normal(60, 6)
    first, torch_state = umap(z, seed=1), torch.get_rng_state()
    assert first.shape == (60, 2)
    assert first.isfinite().all()
    assert torch.equal(first, umap(z, seed=1))
    assert not torch.equal(first, umap(z, seed=2))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert torch.equal(umap(torch.ones(9, 3), seed=1), torch.zeros(9, 2))


def test_tsne_keeps_clusters_together() -> None:
    labels = torch.arange(60) % 3
    z = 0.05 * normal(60, 10) + 5 * torch.eye(10)[labels]
    points = tsne(z, seed=0)
    distances = torch.cdist(points, points) + torch.diag(torch.full((60,), math.inf))
    assert torch.equal(labels[distances.argmin(dim=1)], labels)


def test_planes_of_few_or_equal_points() -> None:
    assert torch.equal(tsne(torch.ones(20, 4), seed=0), torch.zeros(20, 2))
    assert tsne(normal(2, 3), seed=0).isfinite().all()
    with pytest.raises(ValueError, match="at least 2 points, but got 1"):
        tsne(normal(1, 3), seed=0)
    with pytest.raises(ValueError, match="at least 4 points, but got 3"):
        umap(normal(3, 3), seed=0)


@pytest.mark.slow
def test_projections_leave_the_number_of_threads_alone() -> None:
    """numba sets it for the whole process: the next run of a reused process would not repeat."""
    z = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    for project in (umap, tsne):
        project(z, seed=0)
        assert torch.get_num_threads() == before
