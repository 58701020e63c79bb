"""Distances within and between classes, with the matrix of classes and without."""

import math

import pytest
import torch
from torch import Tensor

from embedding_core.metrics import class_spread as module
from embedding_core.metrics.class_spread import class_spread, mean_class_spread
from embedding_core.metrics.distances import class_distances, intra_inter


def labelled(n: int, classes: int, d: int = 5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(n)
    return torch.randn(n, d, generator=draw) + 1, 3 * torch.randint(0, classes, (n,), generator=draw)


@pytest.mark.parametrize("most", [0, 2048])
@pytest.mark.parametrize(("n", "classes"), [(60, 4), (300, 120)])
def test_each_class_is_as_far_from_itself_and_the_others_as_the_matrix_says(
    n: int, classes: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MATRIX_CLASSES", most)
    z, labels = labelled(n, classes)
    matrix = class_distances(z, labels, metric="cosine")
    intra, inter = class_spread(z, labels)
    torch.testing.assert_close(intra, matrix.diagonal(), equal_nan=True)
    for c in range(len(matrix)):
        others = torch.arange(len(matrix)) != c
        assert inter[c].item() == pytest.approx(matrix[c, others].mean().item(), rel=1e-5)
    assert mean_class_spread(z, labels) == pytest.approx(intra_inter(matrix), rel=1e-5)
    assert intra.isnan().sum() == (labels.unique(return_counts=True)[1] == 1).sum()


@pytest.mark.parametrize("most", [0, 2048])
def test_one_class_has_no_others_and_nothing_is_known_of_a_network_that_diverged(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MATRIX_CLASSES", most)
    z, labels = labelled(6, 1)
    intra, inter = class_spread(z, labels)
    assert intra.isfinite().all()
    assert inter.isnan().all()
    z[2, 1] = math.nan
    assert all(values.isnan().all() for values in class_spread(z, torch.arange(6) // 2))
    assert all(math.isnan(value) for value in mean_class_spread(z, torch.arange(6) // 2))


def test_very_many_classes_need_no_matrix_of_them() -> None:
    """Of 100,000 classes it would be 40 GB."""
    intra, inter = class_spread(torch.eye(4).repeat(50_000, 1), torch.arange(200_000) // 2)
    torch.testing.assert_close(intra, torch.ones(100_000))
    assert inter.mean().item() == pytest.approx(0.75, abs=1e-4)
