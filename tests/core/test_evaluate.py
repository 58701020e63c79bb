"""Metrics against scikit-learn, published numbers, naive loops and closed forms."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from embedding_core import evaluate

METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "cosine": lambda x, y: 1 - F.cosine_similarity(x, y, dim=0).item(),
    "l2": lambda x, y: (x - y).norm().item(),
    "sql2": lambda x, y: (x - y).square().sum().item(),
    "angular": lambda x, y: math.acos(min(1.0, max(-1.0, F.cosine_similarity(x, y, dim=0).item()))),
}


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_rows(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(rows(n, d, seed), dim=1)


@pytest.fixture(params=[3, 7, 1024])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Everything quadratic runs in blocks; small ones reach every seam."""
    monkeypatch.setattr(evaluate, "BLOCK", request.param)
    return int(request.param)


# AUC


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),  # few levels: many ties
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_pair_auc_is_scikit_learns(positive: list[int], negative: list[int]) -> None:
    expected = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    found = evaluate.pair_auc(torch.tensor(positive, dtype=torch.float64), torch.tensor(negative, dtype=torch.float64))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("positive", "negative", "auc"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([math.inf], [-math.inf], 1.0)],
)
def test_pair_auc_of_extremes(positive: list[float], negative: list[float], auc: float) -> None:
    assert evaluate.pair_auc(torch.tensor(positive), torch.tensor(negative)) == auc


def test_pair_auc_of_nan_is_nan_and_of_nothing_is_refused() -> None:
    assert math.isnan(evaluate.pair_auc(torch.tensor([0.1, math.nan]), torch.tensor([0.2])))
    with pytest.raises(ValueError, match="2 positive, 0 negative"):
        evaluate.pair_auc(torch.ones(2), torch.ones(0))


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("n", [2, 3, 21, 40])
def test_verification_auc_is_scikit_learns_over_all_pairs(n: int) -> None:
    z, labels = rows(n, 4), torch.tensor([0, 1, 1, 2, 0] * 8)[:n]
    z[n // 2] = z[0]  # exact ties
    if n == 2:
        labels = torch.tensor([0, 0])
        with pytest.raises(ValueError, match="1 positive, 0 negative"):
            evaluate.verification_auc(z, labels)
        return
    unit = F.normalize(z, dim=1)
    similarity = unit @ unit.T
    pairs = list(combinations(range(n), 2))
    same = [bool(labels[i] == labels[j]) for i, j in pairs]
    found = evaluate.verification(z, labels)
    assert found.auc == pytest.approx(roc_auc_score(same, [similarity[p].item() for p in pairs]), abs=1e-12)
    assert (found.n_positive, found.n_negative) == (sum(same), len(pairs) - sum(same))
    assert evaluate.verification_auc(z, labels) == found.auc


def test_standard_error_of_the_worked_example() -> None:
    """Hanley & McNeil 1982, table III: area .893 from 51 abnormal and 58 normal images, standard error .032."""
    assert evaluate.pair_auc_se(0.893, 51, 58) == pytest.approx(0.0325, abs=5e-4)
    # Their exponential approximation by hand: Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A).
    q1, q2 = 0.893 / 1.107, 2 * 0.893**2 / 1.893
    by_hand = math.sqrt((0.893 * 0.107 + 50 * (q1 - 0.893**2) + 57 * (q2 - 0.893**2)) / (51 * 58))
    assert evaluate.pair_auc_se(0.893, 51, 58) == pytest.approx(by_hand, rel=1e-12)


def test_standard_error_at_study_ones_scale_and_at_the_ends() -> None:
    assert evaluate.pair_auc_se(0.96, 1250, 1250) == pytest.approx(0.004, abs=5e-4)
    assert evaluate.pair_auc_se(1.0, 10, 10) == 0.0
    assert evaluate.pair_auc_se(0.0, 10, 10) == 0.0
    assert math.isnan(evaluate.pair_auc_se(math.nan, 10, 10))


def test_standard_error_covers_the_spread_of_drawn_aucs() -> None:
    """The formula assumes exponential scores; on those the observed spread of 400 AUCs agrees within sampling error."""
    draws = np.random.default_rng(0)
    aucs = []
    for _ in range(400):
        positive, negative = draws.exponential(4.0, 60), draws.exponential(1.0, 80)
        aucs.append(evaluate.pair_auc(torch.from_numpy(positive), torch.from_numpy(negative)))
    # A standard deviation from 400 draws has a relative standard error of 1 / sqrt(800) = 3.5 %; allow three of them.
    assert np.std(aucs) == pytest.approx(evaluate.pair_auc_se(0.8, 60, 80), rel=0.11)


# Class distances


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("metric", METRICS)
def test_class_distances_are_the_naive_loop(metric: str) -> None:
    z, labels = rows(23, 5), torch.tensor([7, 3, 3, 9] * 6)[:23]
    classes = [3, 7, 9]
    found = evaluate.class_distances(z, labels, metric=metric)
    for a, first in enumerate(classes):
        for b, second in enumerate(classes):
            distances = [
                METRICS[metric](z[i], z[j])
                for i in range(23)
                for j in range(23)
                if i != j and labels[i] == first and labels[j] == second
            ]
            assert found[a, b].item() == pytest.approx(np.mean(distances), rel=1e-9)


def test_a_class_of_one_image_has_no_distance_to_itself() -> None:
    distances = evaluate.class_distances(rows(4, 3), torch.tensor([0, 0, 1, 0]), metric="l2")
    assert distances.isnan().tolist() == [[False, False], [False, True]]
    intra, inter = evaluate.intra_inter(distances)
    assert intra == pytest.approx(distances[0, 0].item())
    assert inter == pytest.approx(distances[0, 1].item())


def test_intra_and_inter_weigh_classes_equally_and_do_not_hide_nan() -> None:
    distances = torch.tensor([[1.0, 2.0, 3.0], [2.0, 5.0, 7.0], [3.0, 7.0, 9.0]])
    assert evaluate.intra_inter(distances) == pytest.approx((5.0, 4.0))
    assert all(math.isnan(value) for value in evaluate.intra_inter(torch.full((3, 3), math.nan)))


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean `angular`"):
        evaluate.class_distances(rows(4, 3), torch.tensor([0, 0, 1, 1]), metric="angle")


# Spread and collapse


def test_effective_rank_closed_forms() -> None:
    q = torch.linalg.qr(rows(8, 8)).Q
    assert evaluate.effective_rank(q[:5]) == pytest.approx(5, rel=1e-9)
    assert evaluate.effective_rank(rows(1, 6).expand(9, 6)) == pytest.approx(1, abs=1e-5)
    # Singular values 3 and 1: exp of the entropy of (3/4, 1/4).
    z = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert evaluate.effective_rank(z) == pytest.approx(4 / 3**0.75, rel=1e-12)
    assert evaluate.effective_rank(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), center=True) == pytest.approx(1, abs=1e-5)
    assert evaluate.effective_rank(torch.eye(4, dtype=torch.float16)) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_effective_rank_of_a_diverged_network_is_nan(bad: float) -> None:
    assert math.isnan(evaluate.effective_rank(torch.tensor([[1.0, bad], [0.0, 1.0]])))


def naive_similarities(z: Tensor) -> list[float]:
    return [F.cosine_similarity(z[i], z[j], dim=0).item() for i in range(len(z)) for j in range(len(z)) if i != j]


@pytest.mark.usefixtures("block")
def test_uniformity_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    potentials = [math.exp(-2 * (z[i] - z[j]).square().sum().item()) for i in range(22) for j in range(22) if i != j]
    assert evaluate.uniformity(z) == pytest.approx(math.log(np.mean(potentials)), rel=1e-10)
    assert evaluate.uniformity(z[:1].expand(5, 4)) == pytest.approx(0, abs=1e-12)
    assert evaluate.uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), t=1.0) == pytest.approx(-4)


def test_alignment_is_the_naive_loop() -> None:
    x, y = unit_rows(9, 4), unit_rows(9, 4, seed=1)
    distances = [(a - b).norm().item() for a, b in zip(x, y, strict=True)]
    assert evaluate.alignment(x, y) == pytest.approx(np.mean(np.square(distances)), rel=1e-12)
    assert evaluate.alignment(x, y, alpha=1) == pytest.approx(np.mean(distances), rel=1e-12)


@pytest.mark.usefixtures("block")
def test_nn_distance_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    nearest = [min((z[i] - z[j]).norm().item() for j in range(22) if j != i) for i in range(22)]
    assert evaluate.nn_distance(z) == pytest.approx(np.mean(nearest), rel=1e-9)


@pytest.mark.usefixtures("block")
def test_similarity_stats_are_the_naive_loop() -> None:
    z = rows(22, 4)
    expected = naive_similarities(z)
    found = evaluate.similarity_stats(z)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.var == pytest.approx(np.var(expected), rel=1e-10)
    assert (found.min, found.max) == pytest.approx((min(expected), max(expected)), rel=1e-10)


def test_similarity_stats_do_not_hide_nan() -> None:
    z = rows(5, 3)
    z[2, 1] = math.nan
    assert all(math.isnan(value) for value in evaluate.similarity_stats(z))
    assert math.isnan(evaluate.nn_distance(z))
    assert math.isnan(evaluate.uniformity(z))


@pytest.mark.parametrize("metric", [evaluate.uniformity, evaluate.nn_distance, evaluate.similarity_stats])
def test_one_row_has_no_pair(metric: Callable[[Tensor], object]) -> None:
    with pytest.raises(ValueError, match="needs two rows, but got 1"):
        metric(torch.ones(1, 3))


@given(st.integers(0, 10**6))
def test_spread_depends_on_neither_rotation_nor_order(seed: int) -> None:
    z, labels = unit_rows(12, 4, seed), torch.arange(12) % 3
    rotation = torch.linalg.qr(rows(4, 4, seed + 1)).Q
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = (z @ rotation)[order]
    for metric in (evaluate.uniformity, evaluate.nn_distance, evaluate.effective_rank):
        assert metric(moved) == pytest.approx(metric(z), rel=1e-6)
    assert evaluate.similarity_stats(moved) == pytest.approx(evaluate.similarity_stats(z), rel=1e-9, abs=1e-12)
    distances = evaluate.class_distances(moved, labels[order], metric="angular")
    torch.testing.assert_close(distances, evaluate.class_distances(z, labels, metric="angular"), rtol=1e-9, atol=1e-9)
