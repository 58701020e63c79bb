"""Distances, paired, all with all and class with class, against their definitions."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from embedding_core.metrics import distances
from embedding_core.metrics.distances import DISTANCES, class_distances, distance_matrix, intra_inter, paired_distance

DEFINITIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda x, y: 1 - torch.dot(x, y) / (x.norm() * y.norm()),
    "l2": lambda x, y: (x - y).square().sum().sqrt(),
    "sql2": lambda x, y: (x - y).square().sum(),
    "angular": lambda x, y: torch.acos((torch.dot(x, y) / (x.norm() * y.norm())).clamp(-1, 1)),
}


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_distance_has_a_definition_here() -> None:
    assert set(DEFINITIONS) == set(DISTANCES)


@pytest.mark.parametrize("name", DISTANCES)
def test_paired_distance_is_its_definition(name: str) -> None:
    x, y = rows(9, 4), rows(9, 4, seed=1)
    expected = torch.stack([DEFINITIONS[name](a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(paired_distance(x, y, distance=name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", DISTANCES)
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 32), st.integers(2, 6))
def test_distance_matrix_is_all_pairs_of_the_definition(name: str, seed: int, n: int, d: int) -> None:
    z = rows(n, d, seed)
    matrix = distance_matrix(z, distance=name)
    expected = torch.stack([DEFINITIONS[name](a, b) for a in z for b in z]).view(n, n).fill_diagonal_(0)
    torch.testing.assert_close(matrix, expected, rtol=1e-7 if name == "angular" else 1e-10, atol=1e-10)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-14, atol=0)
    assert (matrix.diagonal() == 0).all()


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_distance_matrix_of_float32_keeps_near_pairs_and_equal_rows_apart(name: str, dtype: torch.dtype) -> None:
    """At 40 rows `torch.cdist` takes the matrix product, which gives self-distances up to 1e-3."""
    z = (10 * rows(40, 64)).to(dtype)
    z[20:] = z[:20]
    z[30:, 0] += 0.125
    matrix = distance_matrix(z, distance=name)
    expected = distance_matrix(z.double(), distance=name)
    assert matrix.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert (matrix[:10, 20:30].diagonal() == 0).all()
    torch.testing.assert_close(matrix.double(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_matrix_gradient(name: str) -> None:
    weights = rows(6, 6, seed=1)  # neither symmetric nor of one sign
    assert torch.autograd.gradcheck(
        lambda z: (weights * distance_matrix(z, distance=name)).sum(), rows(6, 3).requires_grad_()
    )


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_matrix_gradient_of_equal_and_opposite_rows_is_finite(name: str) -> None:
    z = torch.cat([rows(3, 4), rows(3, 4), -rows(3, 4)]).float().requires_grad_()
    (gradient,) = torch.autograd.grad(distance_matrix(z, distance=name).sum(), z)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_matrix_gradient_of_a_collapsed_batch_is_rounding(name: str) -> None:
    z = rows(1, 4).float().repeat(30, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(distance_matrix(z, distance=name).sum(), z)
    assert gradient.abs().max() < 30 * 1e-6


def test_angular_distance_keeps_small_angles_in_float32() -> None:
    angle = torch.tensor([1e-4, 1e-3, math.pi])
    x = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    y = torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(paired_distance(x, y, distance="angular"), angle, rtol=1e-5, atol=0)
    matrix = distance_matrix(torch.cat([x[:1], y]), distance="angular")
    torch.testing.assert_close(matrix[0, 1:], angle, rtol=1e-5, atol=0)


def test_an_unknown_distance_names_the_nearest() -> None:
    for compute in (
        lambda: paired_distance(rows(2, 2), rows(2, 2), distance="cosin"),
        lambda: distance_matrix(rows(2, 2), distance="cosin"),
    ):
        with pytest.raises(ValueError, match="Did you mean `cosine`"):
            compute()


@pytest.mark.parametrize("few", [0, 256])
@pytest.mark.parametrize("block", [3, 7, 1024])
@pytest.mark.parametrize("metric", DISTANCES)
def test_class_distances_are_the_naive_loop(metric: str, block: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "ROWS_AT_A_TIME", block)
    monkeypatch.setattr(distances, "FEW_CLASSES", few)
    z, labels = rows(23, 5), torch.tensor([7, 3, 3, 9] * 6)[:23]
    classes = [3, 7, 9]
    found = class_distances(z, labels, metric=metric)
    for a, first in enumerate(classes):
        for b, second in enumerate(classes):
            between = [
                DEFINITIONS[metric](z[i], z[j]).item()
                for i in range(23)
                for j in range(23)
                if i != j and labels[i] == first and labels[j] == second
            ]
            assert found[a, b].item() == pytest.approx(np.mean(between), rel=1e-9)


def test_a_class_of_one_image_has_no_distance_to_itself() -> None:
    distances = class_distances(rows(4, 3), torch.tensor([0, 0, 1, 0]), metric="l2")
    assert distances.isnan().tolist() == [[False, False], [False, True]]
    intra, inter = intra_inter(distances)
    assert intra == pytest.approx(distances[0, 0].item())
    assert inter == pytest.approx(distances[0, 1].item())


def test_of_many_classes_of_one_image_no_rounding_is_taken_for_a_distance() -> None:
    z, labels = rows(400, 64).float(), torch.cat([torch.arange(398), torch.tensor([0, 1])])
    for metric in DISTANCES:
        own = class_distances(z, labels, metric=metric).diagonal()
        assert own.isnan().tolist() == [False, False] + [True] * 396
        assert math.isfinite(intra_inter(class_distances(z, labels, metric=metric))[0])


def test_intra_and_inter_weigh_classes_equally_and_do_not_hide_nan() -> None:
    distances = torch.tensor([[1.0, 2.0, 3.0], [2.0, 5.0, 7.0], [3.0, 7.0, 9.0]])
    assert intra_inter(distances) == pytest.approx((5.0, 4.0))
    assert all(math.isnan(value) for value in intra_inter(torch.full((3, 3), math.nan)))


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean `angular`"):
        class_distances(rows(4, 3), torch.tensor([0, 0, 1, 1]), metric="angle")


@given(st.integers(0, 10**6))
def test_class_distances_depend_on_neither_rotation_nor_order(seed: int) -> None:
    z, labels = torch.nn.functional.normalize(rows(12, 4, seed), dim=1), torch.arange(12) % 3
    rotation = torch.linalg.qr(rows(4, 4, seed + 1)).Q
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    found = class_distances((z @ rotation)[order], labels[order], metric="angular")
    torch.testing.assert_close(found, class_distances(z, labels, metric="angular"), rtol=1e-9, atol=1e-9)
