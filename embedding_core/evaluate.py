"""Metrics of embeddings. Self pairs are excluded by index everywhere."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.faults import unknown
from embedding_core.losses import at_least_float32, paired_distance

BLOCK = 1024
"""Rows compared with all others at a time: bounds the memory of everything quadratic."""


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
    positive, negative = positive_scores.detach().cpu().numpy(), negative_scores.detach().cpu().numpy()
    if not len(positive) or not len(negative):
        raise ValueError(f"AUC needs a pair on each side, but got {len(positive)} positive, {len(negative)} negative.")
    if np.isnan(positive).any() or np.isnan(negative).any():
        return math.nan
    # Sorted needles walk the sorted haystack in order, which keeps the search in the cache.
    positive, negative = np.sort(positive), np.sort(negative)
    below = np.searchsorted(negative, positive, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(negative, positive, side="right").sum(dtype=np.int64)
    return float(below + not_above) / (2 * len(positive) * len(negative))


def pair_auc_se(auc: float, n_positive: int, n_negative: int) -> float:
    """Standard error of an AUC from independent pairs (Hanley & McNeil 1982, eq. 2)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n_positive * n_negative))


class Verification(NamedTuple):
    """All-pairs AUC and the pairs it rests on."""

    auc: float
    n_positive: int
    n_negative: int


def verification_auc(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
    """AUC of cosine between same-class and other-class pairs, over all n (n - 1) / 2 pairs; exact.

    Memory is 4 bytes a pair (800 MB at n = 20,000) and as much again while sorting.

    Raises:
        ValueError: no pair of one class, or of two.
    """
    return verification(z, labels).auc


def verification(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Verification:
    """`verification_auc` with its counts of pairs."""
    unit = F.normalize(at_least_float32(z), dim=1)
    n = len(unit)
    sizes = labels.unique(return_counts=True)[1].tolist()
    n_positive = sum(size * (size - 1) // 2 for size in sizes)
    n_negative = n * (n - 1) // 2 - n_positive
    scores = {True: torch.empty(n_positive, dtype=unit.dtype), False: torch.empty(n_negative, dtype=unit.dtype)}
    filled = {True: 0, False: 0}
    for start in range(0, n, BLOCK):
        similarity = unit[start : start + BLOCK] @ unit[start:].T
        same = labels[start : start + BLOCK, None] == labels[start:]
        later = torch.ones_like(same).triu_(1)  # each pair once, self excluded
        for positive, pairs in ((True, same & later), (False, ~same & later)):
            values = similarity[pairs]
            scores[positive][filled[positive] : filled[positive] + len(values)] = values
            filled[positive] += len(values)
    return Verification(pair_auc(scores[True], scores[False]), n_positive, n_negative)


def _distances(x: Tensor, y: Tensor, metric: str) -> Tensor:
    """All distances between rows of x [m, d] and y [n, d]."""
    match metric:
        case "cosine":
            return 1 - F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
        case "l2":
            # The matrix-product path loses digits of small distances.
            return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        case "sql2":
            return _distances(x, y, "l2").square()
        case "angular":
            chord = _distances(F.normalize(x, dim=1), F.normalize(y, dim=1), "l2")
            return 2 * (chord / 2).clamp(max=1).asin()
    raise ValueError(unknown("distance", metric, ("cosine", "l2", "sql2", "angular")))


def class_distances(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str) -> Float[Tensor, "c c"]:
    """Mean distance between the images of each pair of classes, classes in ascending order of label.

    The diagonal excludes self pairs and is NaN for a class of one image.

    Args:
        z: embeddings.
        labels: class per row.
        metric: `cosine`, `l2`, `sql2` or `angular` (radians).

    Raises:
        ValueError: unknown metric.
    """
    z = at_least_float32(z)
    classes, member = labels.unique(return_inverse=True)
    one_hot = F.one_hot(member, len(classes)).to(z.dtype)
    sums = torch.zeros(len(classes), len(classes), dtype=z.dtype, device=z.device)
    for start in range(0, len(z), BLOCK):
        distance = _distances(z[start : start + BLOCK], z, metric)
        own = torch.arange(len(distance), device=z.device)
        distance[own, own + start] = 0
        sums += one_hot[start : start + BLOCK].T @ distance @ one_hot
    sizes = one_hot.sum(dim=0)
    return sums / (sizes[:, None] * sizes - sizes.diag())


def intra_inter(distances: Float[Tensor, "c c"]) -> tuple[float, float]:
    """Mean of the diagonal and mean of the rest of a class-distance matrix (classes weigh equally)."""
    diagonal = distances.diagonal()
    rest = distances[~torch.eye(len(distances), dtype=torch.bool, device=distances.device)]
    return diagonal.nanmean().item(), rest.mean().item()


def effective_rank(z: Float[Tensor, "n d"], *, center: bool = False) -> float:
    """exp of the entropy of the normalised singular values: 1 (one direction) to min(n, d), or NaN without finite ones.

    Source: Roy & Vetterli 2007, eq. 3.
    """
    z = at_least_float32(z)
    if not z.isfinite().all():  # the decomposition raises, but a diverged run must reach its last row
        return math.nan
    sigma = torch.linalg.svdvals(z - z.mean(dim=0) if center else z)
    share = sigma / sigma.sum()
    return float(torch.special.entr(share).sum().exp())


def uniformity(z: Float[Tensor, "n d"], *, t: float = 2.0) -> float:
    """Log mean Gaussian potential of all pairs of distinct rows; lower is more uniform, 0 is one point.

    Args:
        z: unit-length embeddings, n >= 2.
        t: bandwidth, > 0 (2 in the source).

    Raises:
        ValueError: with fewer than two rows there is no pair.

    Source: Wang & Isola 2020, arXiv 2005.10242, eq. 5.
    """
    n = _at_least_two(z)
    total = 0.0
    for similarity in _similarity_blocks(z):
        total += (2 * t * (similarity - 1)).exp().sum(dtype=torch.float64).item()
    return math.log(total / (n * (n - 1))) if total > 0 else math.nan


def alignment(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], *, alpha: float = 2.0) -> float:
    """Mean distance of positive pairs to the power `alpha` (> 0); row i of `x` belongs to row i of `y`.

    Source: Wang & Isola 2020, arXiv 2005.10242, eq. 4.
    """
    return paired_distance(x, y, distance="l2").pow(alpha).mean().item()


def nn_distance(z: Float[Tensor, "n d"]) -> float:
    """Mean Euclidean distance of each unit embedding to its nearest other; depends on n.

    Raises:
        ValueError: fewer than two rows.
    """
    _at_least_two(z)
    nearest = torch.cat([block.max(dim=1).values for block in _similarity_blocks(z)])
    return (2 - 2 * nearest).clamp(min=0).sqrt().mean().item()


class SimilarityStats(NamedTuple):
    """Cosine similarity over all pairs of distinct rows."""

    mean: float
    var: float
    min: float
    max: float


def similarity_stats(z: Float[Tensor, "n d"]) -> SimilarityStats:
    """Mean, (population) variance, minimum and maximum of the cosine over all pairs of distinct rows.

    Raises:
        ValueError: fewer than two rows.
    """
    n = _at_least_two(z)
    total = squares = 0.0
    extremes = []
    for similarity in _similarity_blocks(z):
        total += similarity.sum(dtype=torch.float64).item()
        squares += similarity.double().square().sum().item()
        extremes.append(torch.stack(similarity.aminmax()))
    mean = total / (n * (n - 1))
    extreme = torch.stack(extremes)
    low, high = extreme[:, 0].min().item(), extreme[:, 1].max().item()
    return SimilarityStats(mean, max(squares / (n * (n - 1)) - mean**2, 0.0), low, high)


def _at_least_two(z: Tensor) -> int:
    if len(z) < 2:
        raise ValueError(f"A pair needs two rows, but got {len(z)}.")
    return len(z)


def _similarity_blocks(z: Tensor) -> Iterator[Float[Tensor, "m others"]]:
    """Cosines of some rows to all other rows, self excluded by index."""
    unit = F.normalize(at_least_float32(z), dim=1)
    everyone = torch.arange(len(unit), device=unit.device)
    for start in range(0, len(unit), BLOCK):
        rows = everyone[start : start + BLOCK]
        similarity = unit[rows] @ unit.T
        yield similarity[rows[:, None] != everyone].view(len(rows), len(unit) - 1)
