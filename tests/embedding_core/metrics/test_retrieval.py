"""Retrieval against naive loops, torchmetrics, pytorch-metric-learning and scikit-learn."""

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_precision

from embedding_core.metrics import neighbours, retrieval
from embedding_core.metrics.neighbours import Neighbours, top_k_neighbours
from embedding_core.metrics.retrieval import map_at_r, recall_at_k


def clusters(n: int, classes: int, d: int = 6, *, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rows around one axis per class, in float64: no ties."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=draw)
    return torch.eye(classes, d).double()[labels] + noise * torch.randn(n, d, generator=draw).double(), labels


def similarity(x: Tensor, y: Tensor, metric: str) -> float:
    return (x @ y).item() if metric == "dot" else F.cosine_similarity(x, y, dim=0).item()


def naive_ranking(query: Tensor, reference: Tensor, metric: str, *, without: int | None = None) -> list[int]:
    """References from the most to the least similar."""
    scores = {j: similarity(query, row, metric) for j, row in enumerate(reference) if j != without}
    return sorted(scores, key=lambda j: -scores[j])


def naive_map_at_r(z: Tensor, labels: Tensor, metric: str) -> float:
    """Musgrave et al. 2020: (1/R) sum over i <= R of P(i) rel(i)."""
    values = []
    for a in range(len(z)):
        relevant = [bool(labels[j] == labels[a]) for j in naive_ranking(z[a], z, metric, without=a)]
        if r := sum(relevant):
            values.append(sum(sum(relevant[: i + 1]) / (i + 1) * relevant[i] for i in range(r)) / r)
    return float(np.mean(values))


@pytest.fixture(params=[1, 5, 1024])
def queries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_A_TIME", request.param)


def test_label_hit_rates_by_hand_and_by_torchmetrics() -> None:
    indices = torch.tensor([[0, 1, 2], [2, 1, 0]])
    rates = retrieval.label_hit_rates(indices, torch.tensor([5, 6]), torch.tensor([5, 5, 6]))
    assert rates.tolist() == pytest.approx([2 / 3, 1 / 3])
    (query, mine), (reference, theirs) = clusters(9, 3), clusters(20, 3, seed=1)
    rates = retrieval.label_hit_rates(top_k_neighbours(query, reference, k=5).indices, mine, theirs)
    for i in range(9):
        scores = F.cosine_similarity(query[i : i + 1], reference)
        assert rates[i] == pytest.approx(retrieval_precision(scores, theirs == mine[i], top_k=5).item())


# Recall and mean average precision


@pytest.mark.usefixtures("queries")
def test_hit_rates_of_changed_copies_are_the_naive_loop_without_their_own_image() -> None:
    z, labels = clusters(31, 3)
    labels[0] = 9  # alone in its class
    own = torch.tensor([30, 0, 7, 7, 12])
    query = z[own] + 0.3 * torch.randn(5, 6, generator=torch.Generator().manual_seed(2)).double()
    found = retrieval.hit_rates(query, own, z, labels, k=4)
    for q, i in enumerate(own.tolist()):
        nearest = naive_ranking(query[q], z, "cosine", without=i)[:4]
        assert found.scores[q].item() == pytest.approx(np.mean([bool(labels[j] == labels[i]) for j in nearest]))
    assert found.counted.tolist() == [True, False, True, True, True]
    everyone = retrieval.hit_rates(z, torch.arange(31), z, labels, k=1)
    assert torch.equal(everyone.scores.double(), retrieval.hits(z, labels, k=1).scores)
    z[5] = math.nan
    assert retrieval.hit_rates(query, own, z, labels, k=4).scores.isnan().all()
    with pytest.raises(ValueError, match="k=31, 30 candidates"):
        retrieval.hit_rates(query, own, z, labels, k=31)


@pytest.mark.usefixtures("queries")
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5]), st.sampled_from(["cosine", "dot"]))
def test_recall_is_the_naive_loop_and_torchmetrics_hit_rate(seed: int, k: int, metric: str) -> None:
    z, labels = clusters(14, 5, seed=seed)
    labels[:2] = 7
    hits, peer, left_out = [], [], 0
    for a in range(14):
        others = torch.arange(14) != a
        if not (labels[others] == labels[a]).any():
            left_out += 1
            continue
        ranking = naive_ranking(z[a], z, metric, without=a)
        hits.append(any(labels[j] == labels[a] for j in ranking[:k]))
        scores = torch.tensor([similarity(z[a], row, metric) for row in z])
        peer.append(retrieval_hit_rate(scores[others], (labels == labels[a])[others], top_k=k).item())
    found = retrieval.hits(z, labels, k=k, metric=metric).mean()
    assert found.value == pytest.approx(np.mean(hits))
    assert found.value == pytest.approx(np.mean(peer))
    assert (found.n_queries, found.n_left_out) == (len(hits), left_out)
    assert recall_at_k(z, labels, k=k, metric=metric) == found.value


@pytest.mark.usefixtures("queries")
@given(st.integers(0, 10**6), st.sampled_from(["cosine", "dot"]))
def test_map_at_r_is_the_naive_loop(seed: int, metric: str) -> None:
    z, labels = clusters(13, 4, seed=seed)
    labels[:2] = 7
    assert map_at_r(z, labels, metric=metric) == pytest.approx(naive_map_at_r(z, labels, metric), rel=1e-6)


@pytest.mark.slow
@given(st.integers(0, 10**6))
def test_recall_and_map_at_r_are_pytorch_metric_learnings(seed: int) -> None:
    z, labels = clusters(40, 5, seed=seed, noise=0.5)
    labels[0] = 9  # alone: left out there too
    peer = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
    ).get_accuracy(z, labels)
    assert recall_at_k(z, labels, k=1) == pytest.approx(peer["precision_at_1"])
    assert map_at_r(z, labels) == pytest.approx(peer["mean_average_precision_at_r"], rel=1e-6)


@pytest.mark.parametrize(
    ("right", "expected"), [({1}, 0.1), ({1, 10}, 0.12), ({1, 2}, 0.2), (set(range(1, 11)), 1.0), (set(), 0.0)]
)
def test_map_at_r_for_ten_relevant_by_hand(right: set[int], expected: float) -> None:
    """Sum of precisions over 10: (1), (1 + 2/10), (1 + 1), all."""
    angles = torch.arange(21) / 21  # the query, then neighbours in order
    labels = torch.tensor([0] + [0 if place in right else 1 for place in range(1, 11)] + [0] * (10 - len(right)))
    z = torch.stack([angles.cos(), angles.sin()], dim=1)[: len(labels)]
    assert retrieval.average_precisions(z, labels).scores[0].item() == pytest.approx(expected)


def test_recall_grows_to_one_with_k() -> None:
    z, labels = clusters(30, 3, noise=3.0)
    recalls = [recall_at_k(z, labels, k=k) for k in range(1, 30)]
    assert recalls == sorted(recalls)
    assert recalls[0] < 1
    assert recalls[-1] == 1


def test_one_class_two_rows_and_half_precision() -> None:
    z, same = clusters(6, 1)
    assert recall_at_k(z, same, k=1) == map_at_r(z, same) == 1.0
    assert recall_at_k(z[:2], same[:2], k=1) == map_at_r(z[:2], same[:2]) == 1.0
    labels = torch.arange(8) % 2
    corners = torch.eye(2, 3)[labels]
    for dtype in (torch.float16, torch.bfloat16):
        assert recall_at_k(corners.to(dtype), labels, k=1) == map_at_r(corners.to(dtype), labels) == 1.0


@pytest.mark.parametrize("metric", [map_at_r, lambda z, labels: recall_at_k(z, labels, k=1)])
def test_no_class_of_two_images_is_refused_and_nan_is_not_hidden(metric: Callable[[Tensor, Tensor], float]) -> None:
    with pytest.raises(ValueError, match="none of 4 queries"):
        metric(torch.eye(4), torch.arange(4))
    with pytest.raises(ValueError, match="0 candidates"):
        metric(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))
    z = torch.eye(4)
    z[3, 1] = math.nan
    assert math.isnan(metric(z, torch.tensor([0, 0, 1, 1])))


def test_standard_error_is_that_of_a_mean_and_for_shares_the_binomial() -> None:
    scores = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.5])
    mean = retrieval.QueryScores(scores, torch.tensor([True, True, True, True, False])).mean()
    assert mean == (0.75, pytest.approx(math.sqrt(0.75 * 0.25 / 3)), 4, 1)  # n - 1: the share is estimated too
    alone = retrieval.QueryScores(scores, torch.arange(5) == 0).mean()
    assert math.isnan(alone.se)


def test_standard_error_covers_the_spread_over_drawn_queries() -> None:
    """Fixed references, 300 draws of 80 queries: the spread agrees with the mean of the standard errors."""
    reference, theirs = clusters(60, 3, noise=0.7)
    values, errors = [], []
    for seed in range(300):
        query, mine = clusters(80, 3, seed=1000 + seed, noise=0.7)
        found = retrieval.knn_accuracy(reference, theirs, query, mine, k=5)
        values.append(found.value)
        errors.append(found.se)
    # A standard deviation from 300 draws has a relative standard error of 4 %; allow three of them.
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.13)


# Weighted nearest neighbours


def naive_vote(
    query: Tensor, reference: Tensor, labels: Tensor, k: int, temperature: float, without: int | None
) -> int:
    votes: dict[int, float] = defaultdict(float)
    for j in naive_ranking(query, reference, "cosine", without=without)[:k]:
        votes[int(labels[j])] += math.exp(similarity(query, reference[j], "cosine") / temperature)
    return max(sorted(votes), key=votes.__getitem__)


@pytest.mark.usefixtures("queries")
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 8]), st.sampled_from([0.07, 0.5]))
def test_weighted_knn_is_the_naive_loop(seed: int, k: int, temperature: float) -> None:
    (reference, theirs), (query, mine) = clusters(15, 4, seed=seed), clusters(7, 4, seed=seed + 1)
    theirs[theirs == 3] = 2
    kept = [i for i in range(7) if mine[i] in theirs]
    right = [naive_vote(query[i], reference, theirs, k, temperature, None) == mine[i] for i in kept]
    if not kept:
        return
    found = retrieval.knn_accuracy(reference, theirs, query, mine, k=k, temperature=temperature)
    assert found.value == pytest.approx(np.mean(right))
    assert (found.n_queries, found.n_left_out) == (len(kept), 7 - len(kept))


@pytest.mark.usefixtures("queries")
@given(st.integers(0, 10**6), st.sampled_from([1, 4]))
def test_knn_that_leaves_one_out_is_the_naive_loop(seed: int, k: int) -> None:
    z, labels = clusters(15, 4, seed=seed)
    labels[:2] = 7
    kept = [i for i in range(15) if (labels == labels[i]).sum() > 1]
    right = [naive_vote(z[i], z, labels, k, 0.07, i) == labels[i] for i in kept]
    found = retrieval.knn_accuracy(z, labels, z, labels, k=k, exclude_self=True)
    assert found.value == pytest.approx(np.mean(right))
    assert found.n_left_out == 15 - len(kept)
    if k == 1:
        assert found.value == pytest.approx(recall_at_k(z, labels, k=1))


@pytest.mark.parametrize("temperature", [0.07, math.inf])
def test_knn_is_scikit_learns(temperature: float) -> None:
    (reference, theirs), (query, mine) = clusters(200, 4, noise=0.6), clusters(100, 4, seed=1, noise=0.6)

    def weigh(distances: np.ndarray) -> np.ndarray:
        return np.exp((1 - distances) / temperature)

    peer = KNeighborsClassifier(10, metric="cosine", weights=weigh).fit(reference, theirs)
    found = retrieval.knn_accuracy(reference, theirs, query, mine, k=10, temperature=temperature)
    assert 0.5 < found.value < 1
    assert found.value == pytest.approx(peer.score(query, mine))


def test_knn_neither_overflows_nor_hides_nan_nor_takes_a_cold_temperature() -> None:
    z, labels = torch.tensor([[9e3, 0.0], [8e3, 1.0], [0.0, 9e3], [1.0, 8e3]]), torch.tensor([3, 3, 5, 5])
    assert retrieval.knn_accuracy(z, labels, z, labels, k=2, metric="dot", exclude_self=True).value == 1.0
    z[0, 0] = math.nan
    assert math.isnan(retrieval.knn_accuracy(z, labels, z, labels, k=2).value)
    with pytest.raises(ValueError, match="but got 0"):
        retrieval.knn_accuracy(z, labels, z, labels, k=2, temperature=0.0)
    with pytest.raises(ValueError, match="none of 4 queries"):
        retrieval.knn_accuracy(z, labels, z, labels + 10, k=2)


def test_equal_votes_go_to_the_lower_label() -> None:
    z, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([8, 2, 2])
    query = z[:2]
    assert retrieval.knn_accuracy(z[:2], labels[:2], query, torch.tensor([2, 8]), k=2).value == 0.5
    assert retrieval.knn_accuracy(z[:2], labels[:2], query, torch.tensor([2, 2]), k=2).value == 1.0


def dense_votes(voters: Neighbours, own: Tensor, labels: Tensor) -> Tensor:
    """A column of votes for each class there is."""
    classes, member = labels.unique(return_inverse=True)
    weights = (voters.similarities / retrieval.TEMPERATURE).softmax(dim=1)
    votes = weights.new_zeros(len(weights), len(classes)).scatter_add_(1, member[voters.indices], weights)
    return (classes[votes.argmax(dim=1)] == own).to(votes.dtype)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 6, 20]), st.sampled_from([2, 5, 300]), st.booleans())
def test_votes_among_neighbours_are_votes_among_all_classes(seed: int, k: int, classes: int, tied: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (200,), generator=draw) * 7
    similarities = torch.randn(50, k, generator=draw).sort(dim=1, descending=True).values
    if tied:  # few levels: many sums of equal weights, in other orders
        similarities = similarities.round(decimals=0)
    voters = Neighbours(torch.randint(0, 200, (50, k), generator=draw), similarities)
    own = torch.randint(0, classes, (50,), generator=draw) * 7
    assert retrieval.vote_scores(voters, own, labels).tolist() == dense_votes(voters, own, labels).tolist()


def test_votes_take_no_memory_for_classes_that_no_neighbour_is_of() -> None:
    """A column for each would be 40 GB."""
    labels = torch.arange(100_000)
    voters = Neighbours(torch.arange(100_000)[:, None], torch.ones(100_000, 1))
    assert retrieval.vote_scores(voters, labels, labels).mean() == 1


def test_a_collapsed_network_recalls_at_chance() -> None:
    z = torch.tensor([[0.3, 0.4, 0.5]]).expand(500, 3)
    assert recall_at_k(z, torch.arange(500) % 5, k=1) == pytest.approx(0.2, abs=0.01)
    assert map_at_r(z, torch.arange(500) % 5) < 0.2
