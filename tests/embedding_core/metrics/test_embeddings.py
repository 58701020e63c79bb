"""Metrics against scikit-learn, published numbers, naive loops and closed forms."""

import math
import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from embedding_core.metrics import embeddings, pairwise, retrieval

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
    monkeypatch.setattr(embeddings, "BLOCK", request.param)
    monkeypatch.setattr(retrieval, "QUERIES", request.param)
    return int(request.param)


@pytest.fixture(params=[(4, 400, 5), (7, 1000, 3), (384, 2**28, 2**20)])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs come in tiles, chunks and needles; small ones reach every seam."""
    for name, value in zip(("TILE", "CHUNK_BYTES", "NEEDLES"), request.param, strict=True):
        monkeypatch.setattr(pairwise, name, value)


# AUC


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),  # few levels: many ties
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_pair_auc_is_scikit_learns(positive: list[int], negative: list[int]) -> None:
    expected = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    found = embeddings.pair_auc(
        torch.tensor(positive, dtype=torch.float64), torch.tensor(negative, dtype=torch.float64)
    )
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("positive", "negative", "auc"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([math.inf], [-math.inf], 1.0)],
)
def test_pair_auc_of_extremes(positive: list[float], negative: list[float], auc: float) -> None:
    assert embeddings.pair_auc(torch.tensor(positive), torch.tensor(negative)) == auc


def test_pair_auc_of_nan_is_nan_and_of_nothing_is_refused() -> None:
    assert math.isnan(embeddings.pair_auc(torch.tensor([0.1, math.nan]), torch.tensor([0.2])))
    with pytest.raises(ValueError, match="2 positive, 0 negative"):
        embeddings.pair_auc(torch.ones(2), torch.ones(0))


def test_pair_auc_of_half_precision_keeps_its_ties() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        assert embeddings.pair_auc(torch.tensor([0.5, 0.7], dtype=dtype), torch.tensor([0.5], dtype=dtype)) == 0.75


def naive_pairs(z: Tensor, labels: Tensor) -> tuple[list[bool], list[float]]:
    unit = F.normalize(z, dim=1)
    pairs = list(combinations(range(len(z)), 2))
    return [bool(labels[i] == labels[j]) for i, j in pairs], [float(unit[i] @ unit[j]) for i, j in pairs]


def naive_auc(same: list[bool], scores: list[float]) -> float:
    """Definition: higher counts one, equal a half. Counted per value, or n^4 comparisons would take minutes."""
    positive, negative = (Counter(s for s, y in zip(scores, same, strict=True) if y is side) for side in (True, False))
    wins = sum(p * n * ((a > b) + (a == b) / 2) for a, p in positive.items() for b, n in negative.items())
    return wins / (positive.total() * negative.total())


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("n", [3, 21, 40])
@pytest.mark.parametrize("classes", [2, 3, 11])
def test_verification_auc_is_scikit_learns_over_all_pairs(n: int, classes: int) -> None:
    z, labels = rows(n, 4), torch.arange(n) * 7 % classes
    labels[0] = labels[1] = 5
    same, scores = naive_pairs(z, labels)
    found = embeddings.verification(z, labels)
    assert found.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    assert (found.n_positive, found.n_negative) == (sum(same), len(same) - sum(same))
    assert embeddings.verification_auc(z, labels) == found.auc


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("n", [3, 21, 40])
@pytest.mark.parametrize("classes", [2, 3, 11, 30])
def test_class_aucs_are_scikit_learns_against_all_negative_pairs(n: int, classes: int) -> None:
    z, labels = rows(n, 4).sign(), torch.arange(n).square() % classes - 1  # ties; classes of very different sizes
    labels[0] = labels[1] = 40
    pairs = list(combinations(range(n), 2))
    same, scores = (np.array(side) for side in naive_pairs(z, labels))
    found = embeddings.verification(z, labels)
    assert [part.label for part in found.classes] == [c for c in labels.unique().tolist() if (labels == c).sum() > 1]
    for label, size, auc in found.classes:
        own = same & np.array([int(labels[i]) == label for i, _ in pairs])
        assert own.sum() == size * (size - 1) // 2
        assert auc == pytest.approx(roc_auc_score(own[own | ~same], scores[own | ~same]), abs=1e-12)
    weights = [part.size * (part.size - 1) // 2 for part in found.classes]
    assert np.average([part.auc for part in found.classes], weights=weights) == pytest.approx(found.auc, abs=1e-15)


@st.composite
def corners(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Rows of +-1 in four dimensions: every product is exact in any precision, and almost every score is tied."""
    n = draw(st.integers(3, 24))
    signs = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=4 * n, max_size=4 * n))
    labels = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n).filter(lambda y: 1 < len(set(y)) < n))
    return torch.tensor(signs).view(n, 4), torch.tensor(labels)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    corners(),
    st.sampled_from([(3, 120, 4), (5, 256, 9), (384, 2**28, 2**20)]),
)
def test_verification_auc_counts_every_tie_as_a_half(
    dtype: torch.dtype, drawn: tuple[Tensor, Tensor], pieces: tuple[int, int, int]
) -> None:
    z, labels = drawn
    expected = naive_auc(*naive_pairs(z, labels))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("TILE", "CHUNK_BYTES", "NEEDLES"), pieces, strict=True):
            patch.setattr(pairwise, name, value)
        assert embeddings.verification_auc(z.to(dtype), labels) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [3, 64, 100, 128, 1000])
def test_verification_auc_of_a_collapsed_network_is_exactly_a_half(d: int, dtype: torch.dtype) -> None:
    """Not .5 give or take: were one pair rounded differently from another, the AUC could be anything."""
    z = rows(1, d, seed=d).to(dtype).expand(900, d)
    assert embeddings.verification_auc(z, torch.arange(900) % 7) == 0.5
    assert embeddings.verification_auc(z, torch.arange(900) // 500) == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_within_and_across_classes_are_ties(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "CHUNK_BYTES", 2**19)
    distinct = rows(250, 20).to(dtype)
    labels = torch.randint(0, 5, (1000,), generator=torch.Generator().manual_seed(0))
    row = torch.arange(1000) % 250
    unit = F.pad(F.normalize(distinct, dim=1), (0, 0, 0, 384 - 250))  # a product of that shape rounds all pairs alike
    similarity = (unit @ unit.T)[row][:, row]  # a duplicate has the scores of its original
    first, second = torch.triu_indices(1000, 1000, 1)
    expected = roc_auc_score(labels[first] == labels[second], similarity[first, second].double())
    assert embeddings.verification_auc(distinct[row], labels) == pytest.approx(expected, abs=1e-10)


def test_verification_auc_of_clustered_rows_is_torchmetrics() -> None:
    labels = torch.arange(300) % 6
    z = torch.eye(6, 16, dtype=torch.float64)[labels] + 0.4 * rows(300, 16)
    same, scores = naive_pairs(z, labels)
    peer = binary_auroc((torch.tensor(scores, dtype=torch.float64) + 1) / 2, torch.tensor(same).int())
    found = embeddings.verification_auc(z, labels)
    assert 0.6 < found < 0.99
    assert found == pytest.approx(peer.item(), abs=1e-6)  # the peer integrates in float32


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_verification_auc_of_a_diverged_network_is_nan(bad: float) -> None:
    z = rows(6, 3)
    z[4, 1] = bad
    found = embeddings.verification(z, torch.arange(6) % 2)
    assert math.isnan(found.auc)
    assert [math.isnan(part.auc) for part in found.classes] == [True, True]


def test_verification_auc_needs_a_pair_of_each_kind() -> None:
    with pytest.raises(ValueError, match="1 positive, 0 negative"):
        embeddings.verification_auc(rows(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 positive, 3 negative"):
        embeddings.verification_auc(rows(3, 3), torch.arange(3))
    for n in (0, 1):
        with pytest.raises(ValueError, match="0 positive, 0 negative"):
            embeddings.verification_auc(rows(n, 3), torch.arange(n))


@pytest.mark.slow
def test_memory_of_verification_auc_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "CHUNK_BYTES", 2**18)
    monkeypatch.setattr(pairwise, "NEEDLES", 2**12)
    peaks = []
    for n in (800, 1600):  # scores of 1.3 and 5.1 MB
        z, labels = rows(n, 8).float(), torch.arange(n) % 4
        embeddings.verification_auc(z, labels)
        tracemalloc.start()
        embeddings.verification_auc(z, labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_good_triplet_ratio_by_hand() -> None:
    anchor = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    near, far = torch.tensor([1.0, 0.1]), torch.tensor([0.0, 1.0])
    positive, negative = torch.stack([near, far, near, near]), torch.stack([far, near, near, far])
    assert embeddings.good_triplet_ratio(anchor, positive, negative) == 0.5  # a tie is not good
    # By length the long near vector is the farther one.
    assert embeddings.good_triplet_ratio(anchor, 9 * positive, negative, distance="l2") == 0.0
    assert math.isnan(embeddings.good_triplet_ratio(anchor, positive, torch.full((4, 2), math.nan)))
    with pytest.raises(ValueError, match="Unknown distance"):
        embeddings.good_triplet_ratio(anchor, positive, negative, distance="l3")


def test_standard_error_of_the_worked_example() -> None:
    """Hanley & McNeil 1982, table III: area .893 from 51 abnormal and 58 normal images, standard error .032."""
    assert embeddings.pair_auc_se(0.893, 51, 58) == pytest.approx(0.0325, abs=5e-4)
    # Their exponential approximation by hand: Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A).
    q1, q2 = 0.893 / 1.107, 2 * 0.893**2 / 1.893
    by_hand = math.sqrt((0.893 * 0.107 + 50 * (q1 - 0.893**2) + 57 * (q2 - 0.893**2)) / (51 * 58))
    assert embeddings.pair_auc_se(0.893, 51, 58) == pytest.approx(by_hand, rel=1e-12)


def test_standard_error_at_study_ones_scale_and_at_the_ends() -> None:
    assert embeddings.pair_auc_se(0.96, 1250, 1250) == pytest.approx(0.004, abs=5e-4)
    assert embeddings.pair_auc_se(1.0, 10, 10) == 0.0
    assert embeddings.pair_auc_se(0.0, 10, 10) == 0.0
    assert math.isnan(embeddings.pair_auc_se(math.nan, 10, 10))


def test_standard_error_covers_the_spread_of_drawn_aucs() -> None:
    """The formula assumes exponential scores; on those the observed spread of 400 AUCs agrees within sampling error."""
    draws = np.random.default_rng(0)
    aucs = []
    for _ in range(400):
        positive, negative = draws.exponential(4.0, 60), draws.exponential(1.0, 80)
        aucs.append(embeddings.pair_auc(torch.from_numpy(positive), torch.from_numpy(negative)))
    # A standard deviation from 400 draws has a relative standard error of 1 / sqrt(800) = 3.5 %; allow three of them.
    assert np.std(aucs) == pytest.approx(embeddings.pair_auc_se(0.8, 60, 80), rel=0.11)


# Class distances


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("metric", METRICS)
def test_class_distances_are_the_naive_loop(metric: str) -> None:
    z, labels = rows(23, 5), torch.tensor([7, 3, 3, 9] * 6)[:23]
    classes = [3, 7, 9]
    found = embeddings.class_distances(z, labels, metric=metric)
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
    distances = embeddings.class_distances(rows(4, 3), torch.tensor([0, 0, 1, 0]), metric="l2")
    assert distances.isnan().tolist() == [[False, False], [False, True]]
    intra, inter = embeddings.intra_inter(distances)
    assert intra == pytest.approx(distances[0, 0].item())
    assert inter == pytest.approx(distances[0, 1].item())


def test_intra_and_inter_weigh_classes_equally_and_do_not_hide_nan() -> None:
    distances = torch.tensor([[1.0, 2.0, 3.0], [2.0, 5.0, 7.0], [3.0, 7.0, 9.0]])
    assert embeddings.intra_inter(distances) == pytest.approx((5.0, 4.0))
    assert all(math.isnan(value) for value in embeddings.intra_inter(torch.full((3, 3), math.nan)))


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean `angular`"):
        embeddings.class_distances(rows(4, 3), torch.tensor([0, 0, 1, 1]), metric="angle")


@pytest.mark.usefixtures("block")
def test_parts_of_classes_are_the_naive_loop() -> None:
    z, labels = rows(23, 5), torch.tensor([7, 3, 3, 9] * 6)[:23]
    labels[5] = 1  # alone
    parts = embeddings.per_class(z, labels, metric="l2")
    assert parts.labels.tolist() == [1, 3, 7, 9]
    assert parts.sizes.tolist() == [1, 11, 6, 5]
    similarity = [[float(F.cosine_similarity(a, b, dim=0)) if a is not b else -2.0 for b in z] for a in list(z)]
    nearest = [max((j for j in range(23) if j != i), key=lambda j, row=row: row[j]) for i, row in enumerate(similarity)]
    for c, label in enumerate([1, 3, 7, 9]):
        members = [i for i in range(23) if labels[i] == label]
        within = [float((z[i] - z[j]).norm()) for i in members for j in members if i != j]
        others = [
            np.mean([float((z[i] - z[j]).norm()) for i in members for j in range(23) if labels[j] == other])
            for other in (1, 3, 7, 9)
            if other != label
        ]
        assert parts.inter[c].item() == pytest.approx(np.mean(others), rel=1e-9)
        if label == 1:
            assert math.isnan(parts.intra[c])
            assert math.isnan(parts.recall_at_1[c])
            continue
        assert parts.intra[c].item() == pytest.approx(np.mean(within), rel=1e-9)
        assert parts.recall_at_1[c].item() == pytest.approx(np.mean([labels[nearest[i]] == label for i in members]))
    counted = parts.sizes > 1
    weighted = (parts.recall_at_1 * parts.sizes)[counted].sum() / parts.sizes[counted].sum()
    assert weighted.item() == pytest.approx(embeddings.recall_at_k(z, labels, k=1))


def test_a_single_class_has_nothing_between() -> None:
    parts = embeddings.per_class(rows(4, 3), torch.zeros(4, dtype=torch.int64))
    assert parts.inter.isnan().all()
    assert parts.recall_at_1.tolist() == [1.0]


# Spread and collapse


def test_effective_rank_closed_forms() -> None:
    q = torch.linalg.qr(rows(8, 8)).Q
    assert embeddings.effective_rank(q[:5]) == pytest.approx(5, rel=1e-9)
    assert embeddings.effective_rank(rows(1, 6).expand(9, 6)) == pytest.approx(1, abs=1e-5)
    # Singular values 3 and 1: exp of the entropy of (3/4, 1/4).
    z = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert embeddings.effective_rank(z) == pytest.approx(4 / 3**0.75, rel=1e-12)
    assert embeddings.effective_rank(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), center=True) == pytest.approx(1, abs=1e-5)
    assert embeddings.effective_rank(torch.eye(4, dtype=torch.float16)) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_effective_rank_of_a_diverged_network_is_nan(bad: float) -> None:
    assert math.isnan(embeddings.effective_rank(torch.tensor([[1.0, bad], [0.0, 1.0]])))


@given(st.integers(0, 10**6), st.booleans())
def test_spectrum_is_that_of_the_second_moments(seed: int, center: bool) -> None:
    z = rows(11, 4, seed) + 2
    moved = z - z.mean(dim=0) if center else z
    eigenvalues = torch.linalg.eigvalsh(moved.T @ moved).flip(0)
    sigma = embeddings.singular_values(z, center=center)
    torch.testing.assert_close(sigma.square(), eigenvalues, rtol=1e-9, atol=1e-9)
    share = float(eigenvalues[0] / eigenvalues.sum())
    assert embeddings.top_eigen_share(z, center=center) == pytest.approx(share, rel=1e-9)
    assert embeddings.singular_values(z[:3]).shape == (3,)


def test_top_eigen_share_and_feature_std_at_their_ends() -> None:
    cross = torch.cat([torch.eye(5), -torch.eye(5)])  # isotropic exactly
    assert embeddings.top_eigen_share(cross) == pytest.approx(1 / 5, rel=1e-6)
    assert embeddings.feature_std(3 * cross) == pytest.approx(1 / math.sqrt(5), rel=1e-6)
    collapsed = torch.tensor([[0.3, 0.4]]).expand(7, 2)
    assert embeddings.top_eigen_share(collapsed) == pytest.approx(1, abs=1e-6)
    assert embeddings.feature_std(collapsed) == pytest.approx(0, abs=1e-7)
    assert embeddings.feature_std(torch.eye(2, dtype=torch.bfloat16)) == 0.5


def test_feature_std_is_the_naive_loop() -> None:
    z = rows(13, 3)
    unit = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    spread = [math.sqrt(np.mean([(u - unit[:, j].mean()) ** 2 for u in unit[:, j]])) for j in range(3)]
    assert embeddings.feature_std(z) == pytest.approx(np.mean(spread), rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_spectrum_of_a_diverged_network_is_nan(bad: float) -> None:
    z = torch.tensor([[1.0, bad], [0.0, 1.0], [1.0, 1.0]])
    assert embeddings.singular_values(z).isnan().tolist() == [True, True]
    assert math.isnan(embeddings.top_eigen_share(z))
    assert math.isnan(embeddings.feature_std(z))


def naive_similarities(z: Tensor) -> list[float]:
    return [F.cosine_similarity(z[i], z[j], dim=0).item() for i in range(len(z)) for j in range(len(z)) if i != j]


@pytest.mark.usefixtures("block")
def test_uniformity_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    potentials = [math.exp(-2 * (z[i] - z[j]).square().sum().item()) for i in range(22) for j in range(22) if i != j]
    assert embeddings.uniformity(z) == pytest.approx(math.log(np.mean(potentials)), rel=1e-10)
    assert embeddings.uniformity(z[:1].expand(5, 4)) == pytest.approx(0, abs=1e-12)
    assert embeddings.uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), t=1.0) == pytest.approx(-4)


def test_alignment_is_the_naive_loop() -> None:
    x, y = unit_rows(9, 4), unit_rows(9, 4, seed=1)
    distances = [(a - b).norm().item() for a, b in zip(x, y, strict=True)]
    assert embeddings.alignment(x, y) == pytest.approx(np.mean(np.square(distances)), rel=1e-12)
    assert embeddings.alignment(x, y, alpha=1) == pytest.approx(np.mean(distances), rel=1e-12)


@pytest.mark.usefixtures("block")
def test_nn_distance_is_the_naive_loop() -> None:
    z = unit_rows(22, 4)
    nearest = [min((z[i] - z[j]).norm().item() for j in range(22) if j != i) for i in range(22)]
    assert embeddings.nn_distance(z) == pytest.approx(np.mean(nearest), rel=1e-9)


def test_nn_distance_of_duplicates_is_zero_and_of_near_ones_keeps_its_digits() -> None:
    """2 - 2 cos would have three digits at most here, and leaves duplicates 3e-4 apart."""
    z = F.normalize(rows(6, 50).float(), dim=1)
    assert embeddings.nn_distance(z.repeat(2, 1)) == 0.0
    near = F.normalize(z + 1e-4 * rows(6, 50, seed=1).float(), dim=1)
    apart = (near.double() - z.double()).norm(dim=1).mean().item()
    assert embeddings.nn_distance(torch.cat([z, near])) == pytest.approx(apart, rel=1e-3)


@pytest.mark.usefixtures("block")
def test_similarity_stats_are_the_naive_loop() -> None:
    z = rows(22, 4)
    expected = naive_similarities(z)
    found = embeddings.similarity_stats(z)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.var == pytest.approx(np.var(expected), rel=1e-10)
    assert (found.min, found.max) == pytest.approx((min(expected), max(expected)), rel=1e-10)


def test_similarity_stats_do_not_hide_nan() -> None:
    z = rows(5, 3)
    z[2, 1] = math.nan
    assert all(math.isnan(value) for value in embeddings.similarity_stats(z))
    assert math.isnan(embeddings.nn_distance(z))
    assert math.isnan(embeddings.uniformity(z))


@pytest.mark.parametrize("metric", [embeddings.uniformity, embeddings.nn_distance, embeddings.similarity_stats])
def test_one_row_has_no_pair(metric: Callable[[Tensor], object]) -> None:
    with pytest.raises(ValueError, match="needs two rows, but got 1"):
        metric(torch.ones(1, 3))


@given(st.integers(0, 10**6))
def test_spread_depends_on_neither_rotation_nor_order(seed: int) -> None:
    z, labels = unit_rows(12, 4, seed), torch.arange(12) % 3
    rotation = torch.linalg.qr(rows(4, 4, seed + 1)).Q
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = (z @ rotation)[order]
    for metric in (embeddings.uniformity, embeddings.nn_distance, embeddings.effective_rank):
        assert metric(moved) == pytest.approx(metric(z), rel=1e-6)
    assert embeddings.similarity_stats(moved) == pytest.approx(embeddings.similarity_stats(z), rel=1e-9, abs=1e-12)
    distances = embeddings.class_distances(moved, labels[order], metric="angular")
    torch.testing.assert_close(distances, embeddings.class_distances(z, labels, metric="angular"), rtol=1e-9, atol=1e-9)
