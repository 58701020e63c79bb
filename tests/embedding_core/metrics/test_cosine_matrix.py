"""All measures off one matrix against the function of each."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import roc_auc_score
from torch import Tensor

from embedding_core.metrics import cosine_matrix, pair_scores
from embedding_core.metrics.cosine_matrix import (
    Ranking,
    Spread,
    ranking,
    ranking_and_spread,
    retrieval,
    retrieval_with_recalls,
    spread,
)
from embedding_core.metrics.embedding_statistics import nn_distance, similarity_stats, uniformity
from embedding_core.metrics.retrieval import average_precisions, hits, knn_accuracy, map_at_r, recall_at_k
from embedding_core.metrics.verification import verification_auc
from embedding_core.seeding import generator


def one_by_one(z: Tensor, labels: Tensor, k: int) -> Ranking:
    return Ranking(
        verification_auc(z, labels),
        recall_at_k(z, labels, k=1),
        map_at_r(z, labels),
        knn_accuracy(z, labels, z, labels, k=k, exclude_self=True).value,
    )


def clusters(n: int, d: int, *, classes: int, seed: int = 0, apart: float = 0.7) -> tuple[Tensor, Tensor]:
    draw = generator(seed, "test")
    labels = torch.randint(classes, (n,), generator=draw)
    centres = torch.randn(classes, d, generator=draw)
    return torch.randn(n, d, generator=draw) + apart * centres[labels], labels


def on_a_lattice(n: int, *, classes: int, seed: int, d: int = 4) -> tuple[Tensor, Tensor]:
    """Corners of a cube: lengths and cosines are exact in any order of summation, and nearly all are tied."""
    draw = generator(seed, "test")
    corners = torch.randint(2, (n, d), generator=draw) * 2.0 - 1
    return corners / math.sqrt(d), torch.randint(classes, (n,), generator=draw)


@pytest.mark.parametrize(("n", "d", "classes"), [(700, 16, 10), (900, 128, 2), (500, 64, 120), (385, 600, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_measure_is_that_of_its_own_function(n: int, d: int, classes: int, dtype: torch.dtype) -> None:
    z, labels = clusters(n, d, classes=classes)
    z = z.to(dtype)
    ranked, found = ranking_and_spread(z, labels, k=20)
    assert ranked == pytest.approx(one_by_one(z, labels, 20), abs=1e-7)
    assert ranked == ranking(z, labels, k=20)
    alone = spread(z)
    assert [*found[:2], *found.similarity] == pytest.approx([*alone[:2], *alone.similarity], rel=1e-5, abs=1e-7)
    assert found.nn_distance == pytest.approx(nn_distance(z), rel=1e-6)
    assert found.uniformity == pytest.approx(uniformity(F.normalize(z, dim=1)), rel=1e-6)
    assert found.similarity == pytest.approx(similarity_stats(z), rel=1e-5, abs=1e-7)


@given(
    n=st.integers(3, 60), classes=st.integers(2, 6), seed=st.integers(0, 99), tile=st.sampled_from([4, 16, 384]),
    k=st.integers(1, 20),
)  # fmt: skip
def test_ties_count_as_they_do_one_by_one(n: int, classes: int, seed: int, tile: int, k: int) -> None:
    z, labels = on_a_lattice(n, classes=classes, seed=seed)
    sizes = labels.bincount()
    if sizes.max() < 2 or sizes.max() == n:
        return
    k = min(k, n - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosine_matrix, "TILE", tile)
        assert ranking(z, labels, k=k) == one_by_one(z, labels, k)


def test_means_over_queries_have_the_errors_and_counts_of_their_own_functions() -> None:
    z, labels = clusters(800, 16, classes=12)
    labels[:7] = torch.arange(20, 27)  # alone in their class
    found = retrieval(z, labels, k=20)
    single = (
        hits(z, labels, k=1).mean(),
        average_precisions(z, labels).mean(),
        knn_accuracy(z, labels, z, labels, k=20, exclude_self=True),
    )
    for mean, own in zip(found, single, strict=True):
        assert mean == pytest.approx(own, abs=1e-7)
        assert mean.n_left_out == 7
    z[3, 1] = math.nan
    for mean in retrieval(z, labels, k=20):
        assert math.isnan(mean.value)
        assert (mean.n_queries, mean.n_left_out) == (793, 7)


def of_many_classes(n: int = 900, d: int = 16, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Classes of one to four images."""
    draw = generator(seed, "test")
    labels = torch.arange(n).repeat_interleave(torch.randint(1, 5, (n,), generator=draw))[:n]
    labels = labels[torch.randperm(n, generator=draw)]
    return torch.randn(n, d, generator=draw) + torch.randn(n, d, generator=draw)[labels], labels


def test_recall_among_more_neighbours_is_that_of_its_own_function() -> None:
    z, labels = of_many_classes()
    found, recalls = retrieval_with_recalls(z, labels, k=20, at=(2, 4, 8))
    assert found == retrieval(z, labels, k=20)
    assert list(recalls) == [2, 4, 8]
    for k, mean in recalls.items():
        assert mean == pytest.approx(hits(z, labels, k=k).mean(), abs=1e-7)
    assert found.recall_at_1.value < recalls[2].value < recalls[4].value < recalls[8].value < 1
    with pytest.raises(ValueError, match="k=900, 899 candidates"):
        retrieval_with_recalls(z, labels, k=20, at=(2, 900))
    z[5, 1] = math.nan
    _, recalls = retrieval_with_recalls(z, labels, k=20, at=(2, 4))
    assert all(math.isnan(mean.value) for mean in recalls.values())


@given(n=st.integers(10, 60), seed=st.integers(0, 99), tile=st.sampled_from([4, 384]))
def test_tied_neighbours_are_recalled_as_they_are_one_by_one(n: int, seed: int, tile: int) -> None:
    z, labels = on_a_lattice(n, classes=n // 3, seed=seed)
    if labels.bincount().max() < 2:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosine_matrix, "TILE", tile)
        _, recalls = retrieval_with_recalls(z, labels, k=5, at=(2, 4, 8))
    assert {k: mean.value for k, mean in recalls.items()} == {k: recall_at_k(z, labels, k=k) for k in (2, 4, 8)}


def test_of_many_classes_recall_and_map_at_r_are_pytorch_metric_learnings_and_auc_is_scikit_learns() -> None:
    z, labels = of_many_classes(seed=3)
    peer = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
    ).get_accuracy(z, labels)
    found = retrieval(z, labels, k=20)
    assert found.recall_at_1.value == pytest.approx(peer["precision_at_1"], abs=1e-6)
    assert found.map_at_r.value == pytest.approx(peer["mean_average_precision_at_r"], abs=1e-6)
    unit = F.normalize(z, dim=1).double()
    once = torch.ones(len(z), len(z), dtype=torch.bool).triu(1)
    same = (labels[:, None] == labels)[once]
    assert verification_auc(z, labels) == pytest.approx(roc_auc_score(same, (unit @ unit.T)[once]), abs=1e-6)


def test_of_a_collapsed_network_the_auc_is_one_half() -> None:
    z = F.normalize(torch.randn(1, 100, generator=generator(0, "test")), dim=1).repeat(500, 1)
    ranked, found = ranking_and_spread(z, torch.arange(500) % 7, k=20)
    assert ranked.auc == 0.5
    assert (found.nn_distance, found.uniformity) == (0.0, pytest.approx(0.0, abs=1e-5))
    assert found.similarity == pytest.approx((1, 0, 1, 1), abs=1e-6)


def test_zeros_of_both_signs_are_one_cosine() -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.0, -1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert ranking(z, labels, k=1).auc == verification_auc(z, labels)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_of_embeddings_that_are_not_finite_nothing_is_known(broken: float) -> None:
    z, labels = clusters(40, 8, classes=3)
    z[7, 2] = broken
    measured: list[Any] = [*ranking_and_spread(z, labels, k=5), ranking(z, labels, k=5), spread(z)]
    for found in measured:
        numbers = [*found[:2], *found[2]] if isinstance(found, Spread) else [*found]
        assert all(math.isnan(value) for value in numbers)
    assert all(math.isnan(value) for value in one_by_one(z, labels, 5))


def test_images_alone_in_their_class_ask_nothing_but_are_found() -> None:
    z, labels = clusters(60, 8, classes=4)
    labels[:9] = torch.arange(10, 19)
    assert ranking(z, labels, k=20) == pytest.approx(one_by_one(z, labels, 20), abs=1e-12)


def test_without_two_classes_or_a_pair_there_is_nothing_to_measure() -> None:
    z, _ = clusters(6, 4, classes=2)
    with pytest.raises(ValueError, match="15 positive, 0 negative"):
        ranking(z, torch.zeros(6, dtype=torch.int64), k=2)
    with pytest.raises(ValueError, match="none of 6 queries"):
        ranking(z, torch.arange(6), k=2)
    with pytest.raises(ValueError, match="k=6, 5 candidates"):
        ranking(z, torch.arange(6) % 2, k=6)
    with pytest.raises(ValueError, match="needs two rows"):
        spread(z[:1])


def test_of_more_pairs_than_are_kept_the_auc_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    z, labels = clusters(300, 16, classes=5)
    whole = ranking(z, labels, k=20)
    monkeypatch.setattr(cosine_matrix, "CHUNK_BYTES", 1000)
    assert ranking(z, labels, k=20) == pytest.approx(whole, abs=1e-7)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),  # few levels: many ties
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_on_a_gpu_wins_are_counted_as_on_a_cpu(positive: list[int], negative: list[int]) -> None:
    scores = [[torch.tensor(one, dtype=torch.float32)] for one in (positive, negative)]
    assert pair_scores._wins_on_device(*scores) == pair_scores._wins(*scores)


def test_embeddings_and_labels_are_left_as_they_are() -> None:
    z, labels = clusters(50, 8, classes=3)
    before = z.clone(), labels.clone()
    ranking_and_spread(z, labels, k=5)
    assert torch.equal(z, before[0])
    assert torch.equal(labels, before[1])
