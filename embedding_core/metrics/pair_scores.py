"""Cosines of all pairs of a set that fits into memory, of one class and of two, and their AUC."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.metrics.score_keys import score_keys
from embedding_core.metrics.verification import pairs_on_each_side
from embedding_core.metrics.win_counts import Positives, mapping, twice_wins


class PairScores:
    """Takes cosines some rows at a time, in order; rows and columns come class after class."""

    def __init__(self, labels: Int[Tensor, " n"]) -> None:
        self._labels = labels
        self._ends = torch.searchsorted(labels, labels, right=True).tolist()
        self._positive: list[Tensor] = []
        self._negative: list[Tensor] = []

    def take(self, start: int, cosines: Float[Tensor, "m n"]) -> None:
        """Cosines of rows from `start` on with all. Beyond the class of the last every pair is of two classes."""
        end = self._ends[start + len(cosines) - 1]
        near, columns = cosines[:, start:end], self._labels[start:end]
        same = columns[: len(cosines), None] == columns
        once = torch.ones_like(same).triu_(1)
        self._positive.append(_at(near, same & once))
        self._negative += [_at(near, once & ~same), cosines[:, end:].flatten()]

    def auc(self) -> float:
        """As `verification_auc`."""
        n_positive, n_negative = (sum(map(len, scores)) for scores in (self._positive, self._negative))
        pairs_on_each_side(n_positive, n_negative)
        wins = _wins if self._labels.device.type == "cpu" else _wins_on_device
        return wins(self._positive, self._negative) / (2 * n_positive * n_negative)


def _at(cosines: Tensor, mask: Bool[Tensor, "m n"]) -> Tensor:
    """numpy selects several times sooner than torch does on a CPU."""
    if cosines.device.type != "cpu":
        return cosines[mask]
    return torch.from_numpy(cosines.numpy()[mask.numpy()])


def _wins(positive: list[Tensor], negative: list[Tensor]) -> int:
    """Twice the pairs of scores in which the positive is higher, ties half."""
    keys = [score_keys(scores.numpy()) for scores in positive]
    with mapping() as each:
        found = twice_wins(
            [Positives(own, np.zeros(len(own), np.int8)) for own in keys],
            [score_keys(scores.numpy()) for scores in negative], 1, each,
        )  # fmt: skip
    return int(found[0])


def _wins_on_device(positive: list[Tensor], negative: list[Tensor]) -> int:
    above, beneath = (torch.cat(scores).sort().values for scores in (positive, negative))
    below = torch.searchsorted(beneath, above)
    tied = above[beneath[below.clamp(max=len(beneath) - 1)] == above]  # few: one search does for the rest
    ties = torch.searchsorted(beneath, tied, right=True) - torch.searchsorted(beneath, tied)
    return 2 * int(below.sum()) + int(ties.sum())
