"""Statistics of embeddings: rank and spread, which tell a collapse. Self pairs are excluded by index."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from embedding_core.metrics.distances import ROWS_AT_A_TIME, at_least_float32, paired_distance
from embedding_core.metrics.neighbours import top_k_neighbours

UNIFORMITY_T = 2.0
"""Bandwidth of the Gaussian potential, as in the source."""


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


def feature_std(z: Float[Tensor, "n d"]) -> float:
    """Mean over dimensions of the (population) standard deviation of the normalised embeddings.

    0 when collapsed, 1 / sqrt(d) when isotropic.

    Source: Chen & He 2021, arXiv 2011.10566, section 4.1.
    """
    return F.normalize(at_least_float32(z), dim=1).std(dim=0, correction=0).mean().item()


def uniformity(z: Float[Tensor, "n d"], *, t: float = UNIFORMITY_T) -> float:
    """Log mean Gaussian potential of all pairs of distinct rows; lower is more uniform, 0 is one point.

    Args:
        z: unit-length embeddings, n >= 2.
        t: bandwidth, > 0 (2 in the source).

    Raises:
        ValueError: with fewer than two rows there is no pair.

    Source: Wang & Isola 2020, arXiv 2005.10242, eq. 5.
    """
    n = at_least_two(z)
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
    at_least_two(z)
    unit = F.normalize(at_least_float32(z), dim=1)
    nearest = top_k_neighbours(unit, unit, k=1, exclude_self=True).indices[:, 0]
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
    n = at_least_two(z)
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


def at_least_two(z: Tensor) -> int:
    """Number of rows. Raises: ValueError: fewer than two."""
    if len(z) < 2:
        raise ValueError(f"A pair needs two rows, but got {len(z)}.")
    return len(z)


def _similarity_blocks(z: Tensor) -> Iterator[Float[Tensor, "m others"]]:
    """Cosines of some rows to all other rows, self excluded by index."""
    unit = F.normalize(at_least_float32(z), dim=1)
    everyone = torch.arange(len(unit), device=unit.device)
    for start in range(0, len(unit), ROWS_AT_A_TIME):
        rows = everyone[start : start + ROWS_AT_A_TIME]
        similarity = unit[rows] @ unit.T
        yield similarity[rows[:, None] != everyone].view(len(rows), len(unit) - 1)
