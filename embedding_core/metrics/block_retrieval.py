"""Recall, precision and votes of a set of embeddings, whose cosines come some rows at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.metrics.embedding_statistics import at_least_two
from embedding_core.metrics.neighbours import Neighbours
from embedding_core.metrics.retrieval import (
    QueryMean,
    QueryScores,
    class_sizes,
    hit_scores,
    precision_scores,
    vote_scores,
)


class Retrieval(NamedTuple):
    """What each image finds; NaN with their numbers of queries if an embedding is not finite."""

    recall_at_1: QueryMean
    map_at_r: QueryMean
    knn_accuracy: QueryMean
    """Leave-one-out vote."""


class BlockRetrieval:
    """Takes blocks of cosines in order, each of some rows with all rows; leaves them as they are.

    Args:
        unit: embeddings of unit length.
        labels: class per row.
        k: neighbours that vote, 1 to n - 1.
        at: neighbours that recall looks at besides one, each 1 to n - 1.

    Raises:
        ValueError: fewer than two rows, k or one of `at` out of range.
    """

    def __init__(self, unit: Float[Tensor, "n d"], labels: Int[Tensor, " n"], k: int, at: tuple[int, ...] = ()) -> None:
        n = at_least_two(unit)
        for neighbours in (k, *at):
            if not 1 <= neighbours < n:
                text = f"k={neighbours}, {n - 1} candidates"
                raise ValueError(f"`k` must be 1 to the number of candidates, but got {text}.")
        order = labels.argsort(stable=True)
        self.unit, self.labels = unit[order], labels[order]
        """Class after class, so that the pairs of two classes lie together."""
        self._given_labels, self._k, self._at = labels, k, at
        self._place = order.argsort()
        self._mates = class_sizes(self.labels, self.labels) - 1
        self._most_mates = max(1, int(self._mates.max()))
        self._scores: list[Float[Tensor, "m s"]] = []

    def take(self, start: int, cosines: Float[Tensor, "m n"]) -> Int[Tensor, " m"]:
        """Which row is nearest to each; `cosines` of the rows from `start` on, -inf with themselves."""
        rows = torch.arange(start, start + len(cosines), device=cosines.device)
        longest = max(self._ks)
        similarities, indices = cosines.topk(min(longest + 1, len(self.unit) - 1), dim=1)
        scores = self._judged([Neighbours(indices[:, :k], similarities[:, :k]) for k in self._ks], rows, self.labels)
        # Of equal cosines each selection takes others, by its length and their order: there as the single measures do.
        tied = (similarities[:, 1:] == similarities[:, :-1]).any(dim=1).nonzero()[:, 0]
        if len(tied):
            given = cosines[tied[:, None], self._place]
            selections = [Neighbours(*reversed(given.topk(k, dim=1))) for k in self._ks]
            scores[tied] = self._judged(selections, rows[tied], self._given_labels)
        self._scores.append(scores)
        return indices[:, 0]

    @property
    def _ks(self) -> tuple[int, ...]:
        """Neighbours that vote, precision, and each recall look at."""
        return self._k, self._most_mates, 1, *self._at

    def _judged(
        self, selections: list[Neighbours], rows: Int[Tensor, " m"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, "m s"]:
        """Vote, precision and each recall of some rows by their neighbours, which are places in `labels`."""
        voters, mates, *nearest = selections
        own = self.labels[rows]
        precisions = precision_scores(mates, own, labels, self._mates[rows])
        recalls = [hit_scores(those, own, labels) for those in nearest]
        return torch.stack([vote_scores(voters, own, labels), precisions, *recalls], dim=1)

    def result(self) -> Retrieval:
        """Means over all queries, once every block was taken."""
        vote, precision, recall_at_1 = (self._mean(column) for column in range(3))
        return Retrieval(recall_at_1, precision, vote)

    def recalls(self) -> dict[int, QueryMean]:
        """Recall at each of `at`."""
        return {k: self._mean(column) for column, k in enumerate(self._at, 3)}

    def _mean(self, column: int) -> QueryMean:
        counted = (self._mates > 0)[self._place]
        scores = torch.cat([block[:, column] for block in self._scores])
        return QueryScores(scores[self._place], counted).mean()  # as given, or the mean would be rounded otherwise
