"""Verification, retrieval and spread of a set of embeddings off one matrix of cosines, made some rows at a time.

What each measure is, its own function says (`verification_auc`, `recall_at_k`, `similarity_stats`, ...); here all of
them take half of the time that they take one by one (2,500 embeddings of 128 numbers, ten classes, one thread).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.metrics.block_retrieval import BlockRetrieval, Retrieval
from embedding_core.metrics.distances import at_least_float32, paired_distance
from embedding_core.metrics.embedding_statistics import UNIFORMITY_T, SimilarityStats, at_least_two
from embedding_core.metrics.pair_scores import PairScores
from embedding_core.metrics.pairwise import CHUNK_BYTES, TILE
from embedding_core.metrics.retrieval import QueryMean, QueryScores, class_sizes
from embedding_core.metrics.verification import verification_auc


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
    ranked = _Ranking(unit, labels, k)
    spread_out = _Spread(ranked.unit)
    for start, cosines in _blocks(ranked.unit):
        nearest = ranked.take(start, cosines)
        spread_out.take(start, cosines, nearest)
    return ranked.result(), spread_out.result()


def retrieval(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int) -> Retrieval:
    """Recall at 1, MAP@R and leave-one-out kNN accuracy with their standard errors: `hits`, `average_precisions` and
    `knn_accuracy` off one selection of neighbours, in less than half of their time; arguments as in `ranking`."""
    return retrieval_with_recalls(z, labels, k=k, at=())[0]


def retrieval_with_recalls(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int, at: tuple[int, ...]
) -> tuple[Retrieval, dict[int, QueryMean]]:
    """`retrieval`, and recall among more neighbours off the same selection.

    Args:
        z: embeddings.
        labels: class per row.
        k: neighbours that vote, 1 to n - 1.
        at: neighbours that recall looks at besides one, each 2 to n - 1.

    Raises:
        ValueError: as `ranking`.
    """
    unit = _unit(z)
    if not unit.isfinite().all():
        unknown = QueryScores(unit.new_full((len(unit),), math.nan), class_sizes(labels, labels) > 1).mean()
        return Retrieval(unknown, unknown, unknown), dict.fromkeys(at, unknown)
    found = BlockRetrieval(unit, labels, k, at)
    for start, cosines in _blocks(found.unit):
        found.take(start, cosines)
    return found.result(), found.recalls()


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
    for start, cosines in _blocks(ranked.unit):
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
        spread_out.take(start, cosines, cosines.argmax(dim=1))
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
        self._found = BlockRetrieval(unit, labels, k)
        self.unit, self._labels = self._found.unit, self._found.labels
        n = len(unit)
        self._pairs = PairScores(self._labels) if n * (n - 1) // 2 * unit.element_size() <= CHUNK_BYTES else None

    def take(self, start: int, cosines: Tensor) -> Int[Tensor, " m"]:
        """Which row is nearest to each."""
        if self._pairs is not None:
            self._pairs.take(start, cosines)
        return self._found.take(start, cosines)

    def result(self) -> Ranking:
        found = (mean.value for mean in self._found.result())
        auc = verification_auc(self.unit, self._labels) if self._pairs is None else self._pairs.auc()
        return Ranking(auc, *found)


class _Spread:
    """Takes the blocks in order, and overwrites them."""

    def __init__(self, unit: Tensor) -> None:
        self._pairs = at_least_two(unit) * (len(unit) - 1)
        self._unit = unit
        self._nearest: list[Tensor] = []
        self._low: list[Tensor] = []
        self._high: list[Tensor] = []
        self._potentials: list[Tensor] = []

    def take(self, start: int, cosines: Tensor, nearest: Int[Tensor, " m"]) -> None:
        self._nearest.append(nearest)
        self._high.append(cosines.gather(1, nearest[:, None]).max())
        # The rest is that of pairs: each once, but twice within the block.
        later, rows = cosines[:, start:], len(cosines)
        own = later.diagonal()
        own.fill_(math.inf)
        self._low.append(later.amin())
        own.fill_(-math.inf)
        later.mul_(2 * UNIFORMITY_T).exp_()
        self._potentials += [later[:, :rows].sum(dim=1), 2 * later[:, rows:].sum(dim=1)]

    def result(self) -> Spread:
        potential = torch.cat(self._potentials).double().sum().item() * math.exp(-2 * UNIFORMITY_T)
        low, high = torch.stack(self._low).min().item(), torch.stack(self._high).max().item()
        mean, square = (total / self._pairs for total in _power_sums(self._unit.double()))
        return Spread(
            paired_distance(self._unit, self._unit[torch.cat(self._nearest)], distance="l2").mean().item(),
            math.log(potential / self._pairs),
            SimilarityStats(mean, max(square - mean**2, 0.0), low, high),
        )


def _power_sums(unit: Float[Tensor, "n d"]) -> tuple[float, float]:
    """Sums of the cosines of all ordered pairs, and of their squares, off sums over rows: no pair is looked at."""
    own = unit.square().sum(dim=1)
    total = unit.sum(dim=0).square().sum() - own.sum()
    squares = (unit.T @ unit).square().sum() - own.square().sum()
    return total.item(), squares.item()
