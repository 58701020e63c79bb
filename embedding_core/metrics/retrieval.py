"""Nearest neighbours and what their labels say. A row is never its own neighbour: it is excluded by index."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.metrics.distances import at_least_float32

QUERIES = 1024
"""Rows compared with all references at a time: bounds the memory of the similarities."""

METRICS = ("cosine", "dot")


class Neighbours(NamedTuple):
    """References by descending similarity, a row per query."""

    indices: Int[Tensor, "q k"]
    similarities: Float[Tensor, "q k"]


class QueryMean(NamedTuple):
    """Mean of a score over queries, and what it rests on."""

    value: float
    se: float
    """Standard error of the mean as if queries were independent; NaN for one query."""
    n_queries: int
    n_left_out: int
    """Queries whose class has no other image."""


class QueryScores(NamedTuple):
    """A score per query; NaN where a similarity it needs is."""

    scores: Float[Tensor, " q"]
    counted: Bool[Tensor, " q"]
    """False where the class of the query has no other image: no neighbour could be right."""

    def mean(self) -> QueryMean:
        """Mean over the counted queries.

        Raises:
            ValueError: none is counted.
        """
        scores = self.scores[self.counted].double()
        n = len(scores)
        if not n:
            raise ValueError(
                f"Retrieval needs a class with another image, but none of {len(self.counted)} queries has."
            )
        se = scores.std().item() / math.sqrt(n) if n > 1 else math.nan
        return QueryMean(scores.mean().item(), se, n, len(self.counted) - n)


def top_k_neighbours(
    query: Float[Tensor, "q d"],
    reference: Float[Tensor, "n d"],
    *,
    k: int,
    metric: str = "cosine",
    exclude_self: bool = False,
    own: Int[Tensor, " q"] | None = None,
) -> Neighbours:
    """The k most similar references of each query. The order among equal similarities is unspecified but reproducible.

    Args:
        query: embeddings that ask.
        reference: embeddings that answer.
        k: neighbours per query, 1 to n (n - 1 with `exclude_self` or `own`).
        metric: `cosine` or `dot`.
        exclude_self: query i is reference i, and no neighbour of itself; q = n.
        own: the reference that each query may not find; None: it may find all.

    Raises:
        ValueError: k out of range, unknown metric, or `exclude_self` with different numbers of rows.
    """
    blocks = list(_neighbour_blocks(query, reference, k=k, metric=metric, exclude_self=exclude_self, own=own))
    return Neighbours(
        torch.cat([block.indices for block in blocks]), torch.cat([block.similarities for block in blocks])
    )


def label_hit_rates(
    indices: Int[Tensor, "q k"], query_labels: Int[Tensor, " q"], reference_labels: Int[Tensor, " n"]
) -> Float[Tensor, " q"]:
    """Share of each query's neighbours that have its label; `indices` as in `Neighbours`."""
    return (reference_labels[indices] == query_labels[:, None]).float().mean(dim=1)


def hit_rates(
    query: Float[Tensor, "q d"], own: Int[Tensor, " q"], z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int
) -> QueryScores:
    """Share of each query's k nearest others, by cosine, that are of its class.

    Args:
        query: embeddings that ask: of images of the set, or of changed copies of them.
        own: which image of the set each query is of; it is not among the others.
        z: embeddings of the set.
        labels: class per row of `z`.
        k: 1 to n - 1.

    Raises:
        ValueError: k out of range.
    """
    indices, similarities = top_k_neighbours(query, z, k=k, own=own)
    rates = label_hit_rates(indices, labels[own], labels)
    return QueryScores(_nan_where(rates, similarities), class_sizes(labels[own], labels) > 1)


def hits(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int, metric: str = "cosine") -> QueryScores:
    """1 where one of the k nearest others is of the same class, else 0; arguments as in `evaluate.recall_at_k`."""
    indices, similarities = top_k_neighbours(z, z, k=k, metric=metric, exclude_self=True)
    hit = (labels[indices] == labels[:, None]).any(dim=1).to(similarities.dtype)
    return QueryScores(_nan_where(hit, similarities), class_sizes(labels, labels) > 1)


def average_precisions(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str = "cosine") -> QueryScores:
    """Average precision at R of each image, R being its number of class mates; arguments as in `evaluate.map_at_r`.

    Of its R nearest others: the sum over those of its class of the precision up to their place, over R.
    """
    mates = class_sizes(labels, labels) - 1
    k = max([1, *mates.tolist()])
    place = torch.arange(1, k + 1, device=z.device)
    scores = []
    blocks = _neighbour_blocks(z, z, k=k, metric=metric, exclude_self=True)
    for (indices, similarities), own, r in zip(blocks, labels.split(QUERIES), mates.split(QUERIES), strict=True):
        relevant = (labels[indices] == own[:, None]) & (place <= r[:, None])
        precision = relevant.cumsum(dim=1) / place
        score = (precision * relevant).sum(dim=1) / r.clamp(min=1)
        scores.append(_nan_where(score, similarities))
    return QueryScores(torch.cat(scores), mates > 0)


def knn_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "q d"],
    query_labels: Int[Tensor, " q"],
    *,
    k: int,
    temperature: float = 0.07,
    metric: str = "cosine",
    exclude_self: bool = False,
) -> QueryMean:
    """Share of queries classified correctly by the k nearest references, a vote weighing exp(similarity / temperature).

    Between classes of equal weight the lower label wins. Queries whose class has no (other) reference are left out.

    Args:
        reference: labelled embeddings.
        reference_labels: class per reference.
        query: embeddings to classify.
        query_labels: class per query.
        k: neighbours that vote, 1 to n (n - 1 with `exclude_self`).
        temperature: > 0; inf gives every neighbour the same weight.
        metric: `cosine` or `dot`.
        exclude_self: leave one out: query i is reference i, and has no vote on itself.

    Raises:
        ValueError: as `top_k_neighbours`; a temperature that is not positive; every query left out.

    Source: Wu et al. 2018, arXiv 1805.01978, section 3.4.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive, but got {temperature}.")
    indices, similarities = top_k_neighbours(query, reference, k=k, metric=metric, exclude_self=exclude_self)
    classes, member = reference_labels.unique(return_inverse=True)
    # A softmax scales all weights of a query alike, so that no similarity overflows.
    weights = (similarities / temperature).softmax(dim=1)
    votes = weights.new_zeros(len(query), len(classes)).scatter_add_(1, member[indices], weights)
    hit = (classes[votes.argmax(dim=1)] == query_labels).to(votes.dtype)
    counted = class_sizes(query_labels, reference_labels) > int(exclude_self)
    return QueryScores(_nan_where(hit, similarities), counted).mean()


def class_sizes(labels: Int[Tensor, " q"], reference_labels: Int[Tensor, " n"]) -> Int[Tensor, " q"]:
    """Number of references of the class of each query, itself included where it is one of them."""
    classes, member = torch.cat([labels, reference_labels]).unique(return_inverse=True)
    sizes: Tensor = member[len(labels) :].bincount(minlength=len(classes))
    return sizes[member[: len(labels)]]


def _neighbour_blocks(
    query: Tensor, reference: Tensor, *, k: int, metric: str, exclude_self: bool, own: Tensor | None = None
) -> Iterator[Neighbours]:
    """`top_k_neighbours`, `QUERIES` rows at a time."""
    if metric not in METRICS:
        raise ValueError(unknown("similarity", metric, METRICS))
    if exclude_self and len(query) != len(reference):
        raise ValueError(f"`exclude_self` needs one query per reference, but got {len(query)} and {len(reference)}.")
    if exclude_self:
        own = torch.arange(len(reference), device=query.device)
    candidates = len(reference) - (own is not None)
    if not 1 <= k <= candidates:
        raise ValueError(f"`k` must be 1 to the number of candidates, but got k={k}, {candidates} candidates.")
    query, reference = at_least_float32(query.detach()), at_least_float32(reference.detach())
    if metric == "cosine":
        query, reference = F.normalize(query, dim=1), F.normalize(reference, dim=1)
    for start in range(0, max(len(query), 1), QUERIES):
        similarity = query[start : start + QUERIES] @ reference.T
        if own is not None:
            similarity.scatter_(1, own[start : start + QUERIES, None], -math.inf)
        best = similarity.topk(k, dim=1)
        yield Neighbours(best.indices, best.values)


def _nan_where(scores: Tensor, similarities: Tensor) -> Tensor:
    """NaN for a query that compared with NaN: topk takes it for the largest, so it is among the nearest."""
    return scores.masked_fill(similarities.isnan().any(dim=1), math.nan)
