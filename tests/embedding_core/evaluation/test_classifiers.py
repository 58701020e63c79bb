"""Fitted classifiers against scikit-learn's own, and raw pixels."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from embedding_core.data.image_sets import load
from embedding_core.evaluation import classifiers
from embedding_core.evaluation.classifiers import (
    PIXEL_VALUES,
    drawn_for_pixels,
    fitted_knn,
    fitted_svm,
    raw_pixels,
    share_right,
)

Parts = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Pixels and labels of 1,200 digits to fit to, and of 597 others."""
    digits = load("digits")
    pixels = raw_pixels(digits.images)
    return pixels[:1200], digits.labels[:1200], pixels[1200:], digits.labels[1200:]


def test_the_svm_is_the_dual_solvers(parts: Parts) -> None:
    x, y, t, truth = (part.numpy() for part in parts)
    peer = make_pipeline(StandardScaler(), LinearSVC(dual=True, max_iter=20_000, tol=1e-5, random_state=1)).fit(x, y)
    found = fitted_svm(*parts)
    assert found.value == pytest.approx(peer.score(t, truth), abs=1.5 / len(truth))  # one image near a border
    assert found.n_queries == 597
    assert found.se == pytest.approx(math.sqrt(found.value * (1 - found.value) / 596))


def test_many_columns_are_solved_approximately(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = fitted_svm(*parts)
    monkeypatch.setattr(classifiers, "EXACT_COLUMNS", parts[0].shape[1] - 1)
    found = fitted_svm(*parts)
    assert found.value == pytest.approx(exact.value, abs=2 * exact.se)
    assert fitted_svm(*parts) == found


def test_knn_is_scikit_learns_with_the_same_weights(parts: Parts) -> None:
    x, y, t, truth = (part.numpy() for part in parts)
    peer = KNeighborsClassifier(10, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07)).fit(x, y)
    found = fitted_knn(*parts)
    assert found.value == pytest.approx(peer.score(t, truth), abs=1e-12)
    few = fitted_knn(parts[0][:4], parts[1][:4], parts[2], parts[1][:4].repeat(150)[:597])
    assert few.n_queries == 597  # four to vote, not ten


def test_classifiers_of_embeddings_that_are_not_finite_score_nan(parts: Parts) -> None:
    x, y, t, truth = parts
    for broken in ((x.index_fill(0, torch.tensor([3]), math.inf), y, t, truth), (x, y, t * math.nan, truth)):
        assert math.isnan(fitted_svm(*broken).value)
    assert math.isnan(fitted_knn(x, y, t * math.nan, truth).value)


def test_a_share_and_its_error_by_hand() -> None:
    found = share_right(torch.tensor([True, True, True, False]))
    assert (found.value, found.n_queries, found.n_left_out) == (0.75, 4, 0)
    assert found.se == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert share_right(torch.tensor([True])).value == 1


@pytest.mark.parametrize(
    ("shape", "kept"), [((1, 8, 8), (8, 8)), ((3, 32, 32), (32, 32)), ((3, 64, 96), (32, 32)), ((1, 40, 20), (32, 20))]
)
def test_raw_pixels_are_the_image_or_its_box_means(shape: tuple[int, int, int], kept: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = raw_pixels(images)
    assert found.shape == (3, shape[0] * kept[0] * kept[1])
    if kept == shape[1:]:
        assert torch.equal(found, images.flatten(1).float() / 255)
    elif all(a % b == 0 for a, b in zip(shape[1:], kept, strict=True)):
        for image, row in zip(images, found, strict=True):
            for channel, plane in zip(image, row.view(shape[0], *kept), strict=True):
                peer = Image.fromarray(channel.float().numpy()).reduce((shape[2] // kept[1], shape[1] // kept[0]))
                np.testing.assert_allclose(plane.numpy() * 255, np.asarray(peer), atol=1e-3)
    assert 0 <= found.min() < found.max() <= 1


def test_pixels_are_fitted_to_all_images_or_to_a_draw() -> None:
    assert drawn_for_pixels(48_000, 784, seed=1).tolist() == list(range(48_000))
    some, others = (drawn_for_pixels(40_000, 3072, seed=seed) for seed in (1, 2))
    assert len(some) == len(others) == PIXEL_VALUES // 3072
    assert len(some.unique()) == len(some)
    assert not torch.equal(some, others)
    assert torch.equal(some, drawn_for_pixels(40_000, 3072, seed=1))
