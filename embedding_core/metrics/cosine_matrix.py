"""Verification, retrieval and spread of a set of embeddings off one matrix of cosines, made some rows at a time.

What each measure is, its own function says (`verification_auc`, `recall_at_k`, `similarity_stats`, ...); here all of
them take half of the time that they take one by one (2,500 embeddings of 128 numbers, ten classes, one thread).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.metrics.distances import at_least_float32, paired_distance
from embedding_core.metrics.embedding_statistics import UNIFORMITY_T, SimilarityStats, at_least_two
from embedding_core.metrics.neighbours import Neighbours
from embedding_core.metrics.pairwise import CHUNK_BYTES, TILE
from embedding_core.metrics.retrieval import QueryScores, class_sizes, hit_scores, precision_scores, vote_scores
from embedding_core.metrics.verification import pairs_on_each_side, verification_auc


class Ranking(NamedTuple):
    """What labels say of the cosines; all NaN if an embedding is not finite."""

    auc: float
    """As `verification_auc`."""
    recall_at_1: float
    map_at_r: float
    knn_accuracy: float
    """Leave-one-out vote."""


class Spread(NamedTuple):
    """What the cosines are like; all NaN if an embedding is not finite."""

    nn_distance: float
    uniformity: float
    similarity: SimilarityStats


def ranking_and_spread(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int) -> tuple[Ranking, Spread]:
    """Both of the same embeddings; arguments as in `ranking`."""
    unit = _unit(z)
    if not unit.isfinite().all():
        return _NO_RANKING, _NO_SPREAD
    ranked, spread_out = _Ranking(unit, labels, k), _Spread(unit)
    for start, cosines in _blocks(unit):
        ranked.take(start, cosines)
        spread_out.take(start, cosines)
    return ranked.result(), spread_out.result()


def ranking(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int) -> Ranking:
    """Exact all-pairs AUC, recall at 1, MAP@R and leave-one-out kNN accuracy, by cosine.

    Args:
        z: embeddings.
        labels: class per row.
        k: neighbours that vote, 1 to n - 1.

    Raises:
        ValueError: no pair of one class, or of two; k out of range.
    """
    unit = _unit(z)
    if not unit.isfinite().all():
        return _NO_RANKING
    ranked = _Ranking(unit, labels, k)
    for start, cosines in _blocks(unit):
        ranked.take(start, cosines)
    return ranked.result()


def spread(z: Float[Tensor, "n d"]) -> Spread:
    """Nearest-neighbour distance, uniformity and statistics of the cosine over all pairs of distinct rows.

    Raises:
        ValueError: fewer than two rows.
    """
    unit = _unit(z)
    if not unit.isfinite().all():
        return _NO_SPREAD
    spread_out = _Spread(unit)
    for start, cosines in _blocks(unit):
        spread_out.take(start, cosines)
    return spread_out.result()


_NO_RANKING = Ranking(math.nan, math.nan, math.nan, math.nan)
_NO_SPREAD = Spread(math.nan, math.nan, SimilarityStats(math.nan, math.nan, math.nan, math.nan))


def _unit(z: Tensor) -> Tensor:
    return F.normalize(at_least_float32(z.detach()), dim=1)


def _blocks(unit: Tensor) -> Iterator[tuple[int, Float[Tensor, "m n"]]]:
    """First row and cosines of some rows with all, -inf with themselves; whoever comes last may overwrite them.

    In products of whole tiles equal pairs have equal cosines wherever they stand: see `TILE`.
    """
    n = len(unit)
    padded = F.pad(unit, (0, 0, 0, -n % TILE))
    for start in range(0, n, TILE):
        cosines = (padded[start : start + TILE] @ padded.T)[: n - start, :n]
        cosines.diagonal(offset=start).fill_(-math.inf)
        yield start, cosines


class _Ranking:
    """Takes the blocks in order; leaves them as they are."""

    def __init__(self, unit: Tensor, labels: Tensor, k: int) -> None:
        n = at_least_two(unit)
        if not 1 <= k < n:
            raise ValueError(f"`k` must be 1 to the number of candidates, but got k={k}, {n - 1} candidates.")
        self._unit, self._labels, self._k = unit, labels, k
        self._mates = class_sizes(labels, labels) - 1
        self._most_mates = max(1, int(self._mates.max()))
        self._pairwise = n * (n - 1) // 2 * unit.element_size() <= CHUNK_BYTES
        self._positives: list[Tensor] = []
        self._negatives: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._precisions: list[Tensor] = []
        self._votes: list[Tensor] = []

    def take(self, start: int, cosines: Tensor) -> None:
        rows = slice(start, start + len(cosines))
        own = self._labels[rows]
        # A selection each, as the single measures make it: a longer one orders equal cosines otherwise.
        nearest, voters, mates = (Neighbours(*reversed(cosines.topk(k, dim=1))) for k in (1, self._k, self._most_mates))
        self._hits.append(hit_scores(nearest, own, self._labels))
        self._votes.append(vote_scores(voters, own, self._labels))
        self._precisions.append(precision_scores(mates, own, self._labels, self._mates[rows]))
        if self._pairwise:
            later, same = cosines[:, start:], own[:, None] == self._labels[start:]
            for kind, mask in ((self._positives, same), (self._negatives, ~same)):
                mask[:, : len(own)].triu_(1)  # each pair once
                kind.append(_ordered(_at(later, mask)))

    def result(self) -> Ranking:
        counted = self._mates > 0
        recall, precision, votes = (
            QueryScores(torch.cat(scores), counted).mean().value
            for scores in (self._hits, self._precisions, self._votes)
        )
        return Ranking(self._auc(), recall, precision, votes)

    def _auc(self) -> float:
        if not self._pairwise:  # too many to keep
            return verification_auc(self._unit, self._labels)
        positive, negative = (torch.cat(scores).sort().values for scores in (self._positives, self._negatives))
        pairs_on_each_side(len(positive), len(negative))
        below = torch.searchsorted(negative, positive)
        tied = positive[negative[below.clamp(max=len(negative) - 1)] == positive]  # few: one search does for the rest
        ties = torch.searchsorted(negative, tied, right=True) - torch.searchsorted(negative, tied)
        return (2 * int(below.sum()) + int(ties.sum())) / (2 * len(positive) * len(negative))


def _at(cosines: Tensor, mask: Bool[Tensor, "m n"]) -> Tensor:
    """numpy selects several times sooner than torch does on a CPU."""
    if cosines.device.type != "cpu":
        return cosines[mask]
    return torch.from_numpy(cosines.numpy()[mask.numpy()])


def _ordered(scores: Tensor) -> Tensor:
    """float32 on a CPU as integers of the same order and ties: torch sorts these by radix, and millions of them several
    times sooner than it or numpy sorts floats.
    """
    if scores.device.type != "cpu" or scores.dtype != torch.float32:
        return scores
    bits = scores.add_(0.0).view(torch.int32)  # of two zeros one
    return bits ^ (bits >> 31).bitwise_and_(0x7FFFFFFF)


class _Spread:
    """Takes the blocks in order, and overwrites them."""

    def __init__(self, unit: Tensor) -> None:
        self._pairs = at_least_two(unit) * (len(unit) - 1)
        self._unit = unit
        self._nearest: list[Tensor] = []
        self._low: list[Tensor] = []
        self._high: list[Tensor] = []
        self._sums: list[Tensor] = []
        self._squares: list[Tensor] = []
        self._potentials: list[Tensor] = []

    def take(self, start: int, cosines: Tensor) -> None:
        high, nearest = cosines.max(dim=1)
        own = cosines.diagonal(offset=start)
        self._nearest.append(nearest)
        self._high.append(high.max())
        own.fill_(math.inf)
        self._low.append(cosines.min())
        own.fill_(0)
        self._sums.append(cosines.sum(dim=1))
        self._squares.append(torch.linalg.vector_norm(cosines, dim=1).double().square())
        own.fill_(-math.inf)
        self._potentials.append(cosines.sub_(1).mul_(2 * UNIFORMITY_T).exp_().sum(dim=1))

    def result(self) -> Spread:
        nearest = self._unit[torch.cat(self._nearest)]
        total, squares, potential = (
            torch.cat(sums).double().sum().item() for sums in (self._sums, self._squares, self._potentials)
        )
        mean = total / self._pairs
        low, high = torch.stack(self._low).min().item(), torch.stack(self._high).max().item()
        return Spread(
            paired_distance(self._unit, nearest, distance="l2").mean().item(),
            math.log(potential / self._pairs),
            SimilarityStats(mean, max(squares / self._pairs - mean**2, 0.0), low, high),
        )
