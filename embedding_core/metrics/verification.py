"""Verification: whether pairs of one class are told from pairs of two, by AUC; and the share of good triplets."""

import math
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.metrics.distances import at_least_float32, paired_distance
from embedding_core.metrics.pairwise import verification_wins


def pair_auc(positive_scores: Float[Tensor, " p"], negative_scores: Float[Tensor, " n"]) -> float:
    """Probability that a positive pair scores higher than a negative one, ties half; exact.

    Args:
        positive_scores: similarities of pairs of one class, p >= 1.
        negative_scores: of pairs of two classes, n >= 1.

    Returns:
        ROC AUC in [0, 1]; NaN if a score is.

    Raises:
        ValueError: one side is empty.
    """
    pairs_on_each_side(len(positive_scores), len(negative_scores))
    positive, negative = (at_least_float32(s).detach().cpu().numpy() for s in (positive_scores, negative_scores))
    if np.isnan(positive).any() or np.isnan(negative).any():
        return math.nan
    positive, negative = np.sort(positive), np.sort(negative)  # sorted needles keep the search in the cache
    twice = sum(int(negative.searchsorted(positive, side=side).sum()) for side in ("left", "right"))
    return twice / (2 * len(positive) * len(negative))


def pair_auc_se(auc: float, n_positive: int, n_negative: int) -> float:
    """Standard error of an AUC from independent pairs (Hanley & McNeil 1982, eq. 2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n_positive * n_negative))


class ClassAuc(NamedTuple):
    """AUC of one class' positive pairs against the negative pairs of all classes."""

    label: int
    size: int
    """Images."""
    auc: float


class Verification(NamedTuple):
    """All-pairs AUC, the pairs it rests on, and its parts."""

    auc: float
    n_positive: int
    n_negative: int
    classes: tuple[ClassAuc, ...]
    """Of each class with two images or more, in ascending order of label. Weighted by their positive pairs,
    size (size - 1) / 2, their mean is `auc`."""


def verification_auc(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
    """AUC of cosine between same-class and other-class pairs, over all n (n - 1) / 2 pairs; exact, ties half.

    Computed on the CPU. Memory does not grow with the number of pairs; time grows in proportion to it.

    Returns:
        ROC AUC in [0, 1]; NaN if an embedding is not finite.

    Raises:
        ValueError: no pair of one class, or of two.
    """
    return verification_by_class(z, labels).auc


def verification_by_class(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Verification:
    """`verification_auc` with its counts of pairs and its parts by class."""
    unit = F.normalize(at_least_float32(z), dim=1)
    wins = verification_wins(unit, labels)
    pairs = wins.n_positive
    pairs_on_each_side(sum(pairs), wins.n_negative)
    diverged = bool(unit.isnan().any())

    def auc(twice: int, n_positive: int) -> float:
        return math.nan if diverged else twice / (2 * n_positive * wins.n_negative)

    parts = zip(wins.labels.tolist(), wins.sizes.tolist(), wins.twice, pairs, strict=True)
    classes = tuple(ClassAuc(label, size, auc(twice, n)) for label, size, twice, n in parts)
    return Verification(auc(sum(wins.twice), sum(pairs)), sum(pairs), wins.n_negative, classes)


def pairs_on_each_side(n_positive: int, n_negative: int) -> None:
    """Raises: ValueError: one side is empty."""
    if not n_positive or not n_negative:
        raise ValueError(f"AUC needs a pair on each side, but got {n_positive} positive, {n_negative} negative.")


def good_triplet_ratio(
    anchor: Float[Tensor, "n d"],
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    *,
    distance: str = "cosine",
) -> float:
    """Share of triplets whose positive is strictly nearer to the anchor than the negative; NaN if a distance is.

    Raises:
        ValueError: unknown distance.
    """
    difference = paired_distance(anchor, negative, distance=distance)
    difference = difference - paired_distance(anchor, positive, distance=distance)
    return (difference > 0).to(difference.dtype).masked_fill(difference.isnan(), math.nan).mean().item()
