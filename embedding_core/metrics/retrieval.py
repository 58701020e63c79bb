"""What the labels of nearest neighbours say: recall, precision and votes. A row is never its own neighbour."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.metrics.neighbours import Neighbours, neighbour_blocks, top_k_neighbours

TEMPERATURE = 0.07
"""Of a vote's weights, as in the source."""


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


def recall_at_k(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int, metric: str = "cosine") -> float:
    """Share of images with at least one of their class among their k nearest others.

    Images alone in their class are left out; `hits(...).mean()` gives their number and a standard error.

    Args:
        z: embeddings.
        labels: class per row.
        k: neighbours looked at, 1 to n - 1.
        metric: `cosine` or `dot`.

    Raises:
        ValueError: k out of range, unknown metric, or no class of two images.

    Source: Oh Song et al. 2016, arXiv 1511.06452.
    """
    return hits(z, labels, k=k, metric=metric).mean().value


def map_at_r(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str = "cosine") -> float:
    """Mean average precision at R, where R is the number of other images in the class of the image that asks.

    Images alone in their class are left out; `average_precisions(...).mean()` gives their number and a standard error.

    Args:
        z: embeddings.
        labels: class per row.
        metric: `cosine` or `dot`.

    Raises:
        ValueError: unknown metric, or no class of two images.

    Source: Musgrave et al. 2020, arXiv 2003.08505.
    """
    return average_precisions(z, labels, metric=metric).mean().value


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
    """1 where one of the k nearest others is of the same class, else 0; arguments as in `recall_at_k`."""
    nearest = top_k_neighbours(z, z, k=k, metric=metric, exclude_self=True)
    return QueryScores(hit_scores(nearest, labels, labels), class_sizes(labels, labels) > 1)


def hit_scores(nearest: Neighbours, query_labels: Int[Tensor, " q"], labels: Int[Tensor, " n"]) -> Float[Tensor, " q"]:
    """Of each query: 1 where one of its neighbours is of its class, else 0."""
    hit = (labels[nearest.indices] == query_labels[:, None]).any(dim=1).to(nearest.similarities.dtype)
    return _nan_where(hit, nearest.similarities)


def average_precisions(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str = "cosine") -> QueryScores:
    """Average precision at R of each image, R being its number of class mates; arguments as in `map_at_r`.

    Of its R nearest others: the sum over those of its class of the precision up to their place, over R.
    """
    mates = class_sizes(labels, labels) - 1
    k = max([1, *mates.tolist()])
    scores: list[Tensor] = []
    done = 0
    for nearest in neighbour_blocks(z, z, k=k, metric=metric, exclude_self=True):
        block = slice(done, done + len(nearest.indices))
        done = block.stop
        scores.append(precision_scores(nearest, labels[block], labels, mates[block]))
    return QueryScores(torch.cat(scores), mates > 0)


def precision_scores(
    nearest: Neighbours, query_labels: Int[Tensor, " q"], labels: Int[Tensor, " n"], mates: Int[Tensor, " q"]
) -> Float[Tensor, " q"]:
    """Of each query: average precision among as many of its neighbours, at most k, as it has class mates."""
    place = torch.arange(1, nearest.indices.shape[1] + 1, device=labels.device)
    relevant = (labels[nearest.indices] == query_labels[:, None]) & (place <= mates[:, None])
    precision = relevant.cumsum(dim=1) / place
    score = (precision * relevant).sum(dim=1) / mates.clamp(min=1)
    return _nan_where(score, nearest.similarities)


def knn_accuracy(
    reference: Float[Tensor, "n d"],
    reference_labels: Int[Tensor, " n"],
    query: Float[Tensor, "q d"],
    query_labels: Int[Tensor, " q"],
    *,
    k: int,
    temperature: float = TEMPERATURE,
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
    voters = top_k_neighbours(query, reference, k=k, metric=metric, exclude_self=exclude_self)
    counted = class_sizes(query_labels, reference_labels) > int(exclude_self)
    return QueryScores(vote_scores(voters, query_labels, reference_labels, temperature=temperature), counted).mean()


def vote_scores(
    voters: Neighbours,
    query_labels: Int[Tensor, " q"],
    labels: Int[Tensor, " n"],
    *,
    temperature: float = TEMPERATURE,
) -> Float[Tensor, " q"]:
    """Of each query: 1 where its neighbours' vote is its class, else 0; see `knn_accuracy`.

    O(q k log k) time and O(q k) memory however many classes there are: a query's votes are counted among the classes of
    its own neighbours.
    """
    # A softmax scales all weights of a query alike, so that no similarity overflows.
    weights = (voters.similarities / temperature).softmax(dim=1)
    ordered, order = labels[voters.indices].sort(dim=1)
    number = torch.zeros_like(order)  # of its class among those of the neighbours, which ascend by label
    number[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(dim=1)
    candidates = torch.zeros_like(ordered).scatter_(1, number, ordered)
    # Added from the nearest on, so that equal votes are equal to the last digit, and the lower label wins.
    number = torch.empty_like(number).scatter_(1, order, number)
    votes = torch.zeros_like(weights).scatter_add_(1, number, weights)
    voted = candidates.gather(1, votes.argmax(dim=1, keepdim=True))[:, 0]
    return _nan_where((voted == query_labels).to(votes.dtype), voters.similarities)


def class_sizes(labels: Int[Tensor, " q"], reference_labels: Int[Tensor, " n"]) -> Int[Tensor, " q"]:
    """Number of references of the class of each query, itself included where it is one of them."""
    classes, member = torch.cat([labels, reference_labels]).unique(return_inverse=True)
    sizes: Tensor = member[len(labels) :].bincount(minlength=len(classes))
    return sizes[member[: len(labels)]]


def _nan_where(scores: Tensor, similarities: Tensor) -> Tensor:
    """NaN for a query that compared with NaN: topk takes it for the largest, so it is among the nearest."""
    return scores.masked_fill(similarities.isnan().any(dim=1), math.nan)
