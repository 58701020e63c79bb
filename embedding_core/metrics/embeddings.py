"""Metrics of embeddings. Self pairs are excluded by index everywhere."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.metrics import retrieval
from embedding_core.metrics.distances import DISTANCES, at_least_float32, paired_distance
from embedding_core.metrics.pairwise import verification_wins

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
    _pairs_on_each_side(len(positive_scores), len(negative_scores))
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

    Computed on the CPU. Memory does not grow with the number of pairs; the time is about that of sorting their scores.

    Returns:
        ROC AUC in [0, 1]; NaN if an embedding is not finite.

    Raises:
        ValueError: no pair of one class, or of two.
    """
    return verification(z, labels).auc


def verification(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Verification:
    """`verification_auc` with its counts of pairs and its parts by class."""
    unit = F.normalize(at_least_float32(z), dim=1)
    wins = verification_wins(unit, labels)
    pairs = wins.n_positive
    _pairs_on_each_side(sum(pairs), wins.n_negative)
    diverged = bool(unit.isnan().any())

    def auc(twice: int, n_positive: int) -> float:
        return math.nan if diverged else twice / (2 * n_positive * wins.n_negative)

    parts = zip(wins.labels.tolist(), wins.sizes.tolist(), wins.twice, pairs, strict=True)
    classes = tuple(ClassAuc(label, size, auc(twice, n)) for label, size, twice, n in parts)
    return Verification(auc(sum(wins.twice), sum(pairs)), sum(pairs), wins.n_negative, classes)


def _pairs_on_each_side(n_positive: int, n_negative: int) -> None:
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


def recall_at_k(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int, metric: str = "cosine") -> float:
    """Share of images with at least one of their class among their k nearest others.

    Images alone in their class are left out; `retrieval.hits(...).mean()` gives their number and a standard error.

    Args:
        z: embeddings.
        labels: class per row.
        k: neighbours looked at, 1 to n - 1.
        metric: `cosine` or `dot`.

    Raises:
        ValueError: k out of range, unknown metric, or no class of two images.

    Source: Oh Song et al. 2016, arXiv 1511.06452.
    """
    return retrieval.hits(z, labels, k=k, metric=metric).mean().value


def map_at_r(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str = "cosine") -> float:
    """Mean average precision at R, where R is the number of other images in the class of the image that asks.

    Images alone in their class are left out; `retrieval.average_precisions(...).mean()` gives their number and a
    standard error.

    Args:
        z: embeddings.
        labels: class per row.
        metric: `cosine` or `dot`.

    Raises:
        ValueError: unknown metric, or no class of two images.

    Source: Musgrave et al. 2020, arXiv 2003.08505.
    """
    return retrieval.average_precisions(z, labels, metric=metric).mean().value


def _distances(x: Tensor, y: Tensor, metric: str) -> Tensor:
    """All distances between rows of x [m, d] and y [n, d]."""
    match metric:
        case "cosine":
            return 1 - F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
        case "l2":
            # By matrix product, several times faster than difference by difference; in float64, as it loses half of the
            # digits of small distances.
            distance = torch.cdist(x.double(), y.double(), compute_mode="use_mm_for_euclid_dist")
            return distance.to(x.dtype)
        case "sql2":
            return _distances(x, y, "l2").square()
        case "angular":
            chord = _distances(F.normalize(x, dim=1), F.normalize(y, dim=1), "l2")
            return 2 * (chord / 2).clamp(max=1).asin()
    raise ValueError(unknown("distance", metric, DISTANCES))


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


class ClassParts(NamedTuple):
    """What single classes contribute, one entry per class in ascending order of label; NaN where one image is alone."""

    labels: Int[Tensor, " c"]
    sizes: Int[Tensor, " c"]
    """Images."""
    intra: Float[Tensor, " c"]
    """Mean distance between its images."""
    inter: Float[Tensor, " c"]
    """Mean over the other classes of the mean distance to their images; NaN for a single class."""
    recall_at_1: Float[Tensor, " c"]
    """Share of its images whose nearest other image, by cosine, is of this class."""


def per_class(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str = "cosine") -> ClassParts:
    """Distances and recall@1 of each class.

    Args:
        z: embeddings, n >= 2.
        labels: class per row.
        metric: of the distances: `cosine`, `l2`, `sql2` or `angular` (radians).

    Raises:
        ValueError: unknown metric, or no class of two images.
    """
    distances = class_distances(z, labels, metric=metric)
    classes, member, sizes = labels.unique(return_inverse=True, return_counts=True)
    own = torch.eye(len(classes), dtype=torch.bool, device=distances.device)
    inter = distances.masked_fill(own, 0).sum(dim=1) / (len(classes) - 1)
    hits = retrieval.hits(z, labels, k=1)
    recall = torch.zeros_like(inter).index_add_(0, member, hits.scores.to(inter.dtype)) / sizes
    return ClassParts(classes, sizes, distances.diagonal(), inter, recall.masked_fill(sizes == 1, math.nan))


def singular_values(z: Float[Tensor, "n d"], *, center: bool = False) -> Float[Tensor, " r"]:
    """Spectrum of the embeddings, r = min(n, d) values in descending order; all NaN unless every number is finite.

    Args:
        z: embeddings.
        center: subtract their mean first; uncentred, a common direction shows as the first value.
    """
    z = at_least_float32(z)
    if not z.isfinite().all():  # the decomposition raises, but a diverged run must reach its last row
        return z.new_full((min(z.shape),), math.nan)
    sigma: Tensor = torch.linalg.svdvals(z - z.mean(dim=0) if center else z)
    return sigma


def effective_rank(z: Float[Tensor, "n d"], *, center: bool = False) -> float:
    """exp of the entropy of the normalised singular values: 1 (one direction) to min(n, d), or NaN without finite ones.

    Source: Roy & Vetterli 2007, eq. 3.
    """
    sigma = singular_values(z, center=center)
    return float(torch.special.entr(sigma / sigma.sum()).sum().exp())


def top_eigen_share(z: Float[Tensor, "n d"], *, center: bool = False) -> float:
    """Largest eigenvalue of z'z over the sum of all: 1 / min(n, d) (isotropic) to 1 (one direction) or NaN."""
    variance = singular_values(z, center=center).square()
    return float(variance[0] / variance.sum())


def feature_std(z: Float[Tensor, "n d"]) -> float:
    """Mean over dimensions of the (population) standard deviation of the normalised embeddings.

    0 when collapsed, 1 / sqrt(d) when isotropic.

    Source: Chen & He 2021, arXiv 2011.10566, section 4.1.
    """
    return F.normalize(at_least_float32(z), dim=1).std(dim=0, correction=0).mean().item()


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
    unit = F.normalize(at_least_float32(z), dim=1)
    nearest = retrieval.top_k_neighbours(unit, unit, k=1, exclude_self=True).indices[:, 0]
    # Not sqrt(2 - 2 cos), which is off by 3e-4 near duplicates.
    return paired_distance(unit, unit[nearest], distance="l2").mean().item()


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
