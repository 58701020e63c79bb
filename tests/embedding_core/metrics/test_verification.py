"""AUC against scikit-learn, torchmetrics, published numbers and closed forms."""

import math
import tracemalloc
from collections import Counter
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

from embedding_core.metrics import pairwise
from embedding_core.metrics.verification import (
    good_triplet_ratio,
    pair_auc,
    pair_auc_se,
    verification_auc,
    verification_by_class,
)


def rows(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=[(4, 400), (7, 1000), (384, 2**28)])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs come in tiles and chunks; small ones reach every seam."""
    for name, value in zip(("TILE", "CHUNK_BYTES"), request.param, strict=True):
        monkeypatch.setattr(pairwise, name, value)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),  # few levels: many ties
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_pair_auc_is_scikit_learns(positive: list[int], negative: list[int]) -> None:
    expected = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    found = pair_auc(torch.tensor(positive, dtype=torch.float64), torch.tensor(negative, dtype=torch.float64))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("positive", "negative", "auc"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([math.inf], [-math.inf], 1.0)],
)
def test_pair_auc_of_extremes(positive: list[float], negative: list[float], auc: float) -> None:
    assert pair_auc(torch.tensor(positive), torch.tensor(negative)) == auc


def test_pair_auc_of_nan_is_nan_and_of_nothing_is_refused() -> None:
    assert math.isnan(pair_auc(torch.tensor([0.1, math.nan]), torch.tensor([0.2])))
    with pytest.raises(ValueError, match="2 positive, 0 negative"):
        pair_auc(torch.ones(2), torch.ones(0))


def test_pair_auc_of_half_precision_keeps_its_ties() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        assert pair_auc(torch.tensor([0.5, 0.7], dtype=dtype), torch.tensor([0.5], dtype=dtype)) == 0.75


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
    found = verification_by_class(z, labels)
    assert found.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    assert (found.n_positive, found.n_negative) == (sum(same), len(same) - sum(same))
    assert verification_auc(z, labels) == found.auc


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("n", [3, 21, 40])
@pytest.mark.parametrize("classes", [2, 3, 11, 30])
def test_class_aucs_are_scikit_learns_against_all_negative_pairs(n: int, classes: int) -> None:
    z, labels = rows(n, 4).sign(), torch.arange(n).square() % classes - 1  # ties; classes of very different sizes
    labels[0] = labels[1] = 40
    pairs = list(combinations(range(n), 2))
    same, scores = (np.array(side) for side in naive_pairs(z, labels))
    found = verification_by_class(z, labels)
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
    st.sampled_from([(3, 120), (5, 256), (384, 2**28)]),
)
def test_verification_auc_counts_every_tie_as_a_half(
    dtype: torch.dtype, drawn: tuple[Tensor, Tensor], pieces: tuple[int, int]
) -> None:
    z, labels = drawn
    expected = naive_auc(*naive_pairs(z, labels))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("TILE", "CHUNK_BYTES"), pieces, strict=True):
            patch.setattr(pairwise, name, value)
        assert verification_auc(z.to(dtype), labels) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [3, 64, 100, 128, 1000])
def test_verification_auc_of_a_collapsed_network_is_exactly_a_half(d: int, dtype: torch.dtype) -> None:
    """Not .5 give or take: were one pair rounded differently from another, the AUC could be anything."""
    z = rows(1, d, seed=d).to(dtype).expand(900, d)
    assert verification_auc(z, torch.arange(900) % 7) == 0.5
    assert verification_auc(z, torch.arange(900) // 500) == 0.5


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
    assert verification_auc(distinct[row], labels) == pytest.approx(expected, abs=1e-10)


def test_verification_auc_of_clustered_rows_is_torchmetrics() -> None:
    labels = torch.arange(300) % 6
    z = torch.eye(6, 16, dtype=torch.float64)[labels] + 0.4 * rows(300, 16)
    same, scores = naive_pairs(z, labels)
    peer = binary_auroc((torch.tensor(scores, dtype=torch.float64) + 1) / 2, torch.tensor(same).int())
    found = verification_auc(z, labels)
    assert 0.6 < found < 0.99
    assert found == pytest.approx(peer.item(), abs=1e-6)  # the peer integrates in float32


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_verification_auc_of_a_diverged_network_is_nan(bad: float) -> None:
    z = rows(6, 3)
    z[4, 1] = bad
    found = verification_by_class(z, torch.arange(6) % 2)
    assert math.isnan(found.auc)
    assert [math.isnan(part.auc) for part in found.classes] == [True, True]


def test_verification_auc_needs_a_pair_of_each_kind() -> None:
    with pytest.raises(ValueError, match="1 positive, 0 negative"):
        verification_auc(rows(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="0 positive, 3 negative"):
        verification_auc(rows(3, 3), torch.arange(3))
    for n in (0, 1):
        with pytest.raises(ValueError, match="0 positive, 0 negative"):
            verification_auc(rows(n, 3), torch.arange(n))


@pytest.mark.slow
def test_memory_of_verification_auc_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "CHUNK_BYTES", 2**18)
    peaks = []
    for n in (800, 1600):  # scores of 1.3 and 5.1 MB
        z, labels = rows(n, 8).float(), torch.arange(n) % 4
        verification_auc(z, labels)
        tracemalloc.start()
        verification_auc(z, labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_good_triplet_ratio_by_hand() -> None:
    anchor = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    near, far = torch.tensor([1.0, 0.1]), torch.tensor([0.0, 1.0])
    positive, negative = torch.stack([near, far, near, near]), torch.stack([far, near, near, far])
    assert good_triplet_ratio(anchor, positive, negative) == 0.5  # a tie is not good
    # By length the long near vector is the farther one.
    assert good_triplet_ratio(anchor, 9 * positive, negative, distance="l2") == 0.0
    assert math.isnan(good_triplet_ratio(anchor, positive, torch.full((4, 2), math.nan)))
    with pytest.raises(ValueError, match="Unknown distance"):
        good_triplet_ratio(anchor, positive, negative, distance="l3")


def test_standard_error_of_the_worked_example() -> None:
    """Hanley & McNeil 1982, table III: area .893 from 51 abnormal and 58 normal images, standard error .032."""
    assert pair_auc_se(0.893, 51, 58) == pytest.approx(0.0325, abs=5e-4)
    # Their exponential approximation by hand: Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A).
    q1, q2 = 0.893 / 1.107, 2 * 0.893**2 / 1.893
    by_hand = math.sqrt((0.893 * 0.107 + 50 * (q1 - 0.893**2) + 57 * (q2 - 0.893**2)) / (51 * 58))
    assert pair_auc_se(0.893, 51, 58) == pytest.approx(by_hand, rel=1e-12)


def test_standard_error_at_study_ones_scale_and_at_the_ends() -> None:
    assert pair_auc_se(0.96, 1250, 1250) == pytest.approx(0.004, abs=5e-4)
    assert pair_auc_se(1.0, 10, 10) == 0.0
    assert pair_auc_se(0.0, 10, 10) == 0.0
    assert math.isnan(pair_auc_se(math.nan, 10, 10))


def test_standard_error_covers_the_spread_of_drawn_aucs() -> None:
    """The formula assumes exponential scores; on those the observed spread of 400 AUCs agrees within sampling error."""
    draws = np.random.default_rng(0)
    aucs = []
    for _ in range(400):
        positive, negative = draws.exponential(4.0, 60), draws.exponential(1.0, 80)
        aucs.append(pair_auc(torch.from_numpy(positive), torch.from_numpy(negative)))
    # A standard deviation from 400 draws has a relative standard error of 1 / sqrt(800) = 3.5 %; allow three of them.
    assert np.std(aucs) == pytest.approx(pair_auc_se(0.8, 60, 80), rel=0.11)
