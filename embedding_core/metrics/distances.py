"""How far apart embeddings are, row by row and class by class. Computed in at least float32; float64 stays."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from embedding_core.errors import unknown

DISTANCES = ("cosine", "l2", "sql2", "angular")

ROWS_AT_A_TIME = 1024
"""Rows compared with all others at a time: bounds the memory of everything quadratic."""

FEW_CLASSES = 256
"""Up to which distances are summed by class in matrix products, the quickest; beyond, an array of images x classes
would be large and nearly all zeros."""


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision cast up, float32 and float64 unchanged."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def paired_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], *, distance: str) -> Float[Tensor, " n"]:
    """Distance of row i of `x` to row i of `y`: `cosine` (1 - cos), `l2`, `sql2` or `angular` (radians).

    Raises:
        ValueError: unknown distance.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    match distance:
        case "cosine":
            return 1 - F.cosine_similarity(x, y, dim=1)
        case "l2":
            length: Tensor = (x - y).norm(dim=1)
            return length
        case "sql2":
            return (x - y).square().sum(dim=1)
        case "angular":
            x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
            # atan2 keeps small angles that acos of a cosine near one loses, and needs no clamp.
            return 2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1))
    raise ValueError(unknown("distance", distance, DISTANCES))


def distance_matrix(z: Float[Tensor, "n d"], *, distance: str) -> Float[Tensor, "n n"]:
    """Distance of every row to every row, exactly 0 between equal ones.

    O(n² d) time and O(n²) memory, four times as much for `angular`. Gradients are finite everywhere, and 0 between
    equal rows.

    Args:
        z: embeddings; for `cosine` and `angular` none of length 0.
        distance: `cosine` (1 - cos), `l2`, `sql2` or `angular` (radians).

    Raises:
        ValueError: unknown distance.
    """
    z = at_least_float32(z)
    match distance:
        case "cosine":
            return _squares(F.normalize(z, dim=1)) / 2
        case "l2":
            return _lengths(z)
        case "sql2":
            return _squares(z)
        case "angular":
            unit, n = F.normalize(z, dim=1), len(z)
            to_rows_and_antipodes = _lengths(torch.cat([unit, -unit]))[:n]
            return 2 * torch.atan2(to_rows_and_antipodes[:, :n], to_rows_and_antipodes[:, n:])
    raise ValueError(unknown("distance", distance, DISTANCES))


def _lengths(z: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """|z_i - z_j|, with gradient 0 where it is 0."""
    squares = _squares(z)
    equal = squares == 0
    return squares.masked_fill(equal, 1).sqrt().masked_fill(equal, 0)


def _squares(z: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """|z_i - z_j|²; a matrix product would lose the digits of near pairs (self-distances up to 1e-3 in length)."""
    squares: Tensor = _Squares.apply(z)
    return squares


class _Squares(torch.autograd.Function):
    """Half of the differences forward, one matrix product backward: that of `torch.pdist` takes n² d memory on CUDA."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        upper = torch.ones(len(z), len(z), dtype=torch.bool, device=z.device).triu_(1)
        half = z.new_zeros(len(z), len(z)).masked_scatter_(upper, torch.pdist(z).square_())
        return half.T.contiguous().add_(half)  # the copy is cheaper than adding across the grain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        pull = gradient.T.contiguous().add_(gradient)
        z = z - z.mean(dim=0)  # only differences count, and small rows cancel with less rounding
        moved: Tensor = 2 * (pull.sum(dim=1, keepdim=True) * z - pull @ z)
        return moved


def class_distances(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, metric: str) -> Float[Tensor, "c c"]:
    """Mean distance between the images of each pair of classes, classes in ascending order of label.

    The diagonal excludes self pairs and is NaN for a class of one image. O(c²) memory beside that of some rows'
    distances to all; of very many classes see `class_spread`.

    Args:
        z: embeddings.
        labels: class per row.
        metric: `cosine`, `l2`, `sql2` or `angular` (radians).

    Raises:
        ValueError: unknown metric.
    """
    z = at_least_float32(z)
    classes, member = labels.unique(return_inverse=True)
    if metric == "cosine":
        return _mean_cosine_distances(F.normalize(z, dim=1).double(), member, len(classes)).to(z.dtype)
    one_hot = F.one_hot(member, len(classes)).to(z.dtype) if len(classes) <= FEW_CLASSES else None
    sums = torch.zeros(len(classes), len(classes), dtype=z.dtype, device=z.device)
    for start in range(0, len(z), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        distance = _cross_distances(z[rows], z, metric)
        own = torch.arange(len(distance), device=z.device)
        distance[own, own + start] = 0
        if one_hot is not None:
            sums += one_hot[rows].T @ distance @ one_hot
        else:
            to_classes = distance.new_zeros(len(distance), len(classes)).index_add_(1, member, distance)
            sums.index_add_(0, member[rows], to_classes)
    sizes = member.bincount(minlength=len(classes)).to(z.dtype)
    means: Tensor = sums / (sizes[:, None] * sizes - sizes.diag())
    return means


def _mean_cosine_distances(unit: Tensor, member: Tensor, n_classes: int) -> Tensor:
    """By the sums of each class, of which the products are the sums of all its products: no pair is looked at."""
    if unit.isnan().any():  # of whatever class: the set is of a network that diverged
        return unit.new_full((n_classes, n_classes), math.nan)
    sums, sizes, own = class_sums(unit, member, n_classes)
    found: Tensor = 1 - (sums @ sums.T - own.diag()) / (sizes[:, None] * sizes - sizes.diag())
    # Of a class of one image rounding may leave more than 0 of its square less its square, and that is not to count.
    found.diagonal().masked_fill_(sizes == 1, math.nan)
    return found


def class_sums(
    unit: Float[Tensor, "n d"], member: Int[Tensor, " n"], n_classes: int
) -> tuple[Float[Tensor, "c d"], Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Of each class the sum of its rows, their number, and the sum of their squared lengths.

    Args:
        unit: rows.
        member: number of the class of each, 0 to `n_classes` - 1.
        n_classes: c.
    """
    sums = unit.new_zeros(n_classes, unit.shape[1]).index_add_(0, member, unit)
    sizes, squares = (
        unit.new_zeros(n_classes).index_add_(0, member, of_row)
        for of_row in (unit.new_ones(len(unit)), unit.square().sum(dim=1))
    )
    return sums, sizes, squares


def intra_inter(distances: Float[Tensor, "c c"]) -> tuple[float, float]:
    """Mean of the diagonal and mean of the rest of a class-distance matrix (classes weigh equally)."""
    diagonal = distances.diagonal()
    rest = distances[~torch.eye(len(distances), dtype=torch.bool, device=distances.device)]
    return diagonal.nanmean().item(), rest.mean().item()


def _cross_distances(x: Tensor, y: Tensor, metric: str) -> Tensor:
    """All distances between rows of x [m, d] and y [n, d]; `cosine` needs none."""
    match metric:
        case "l2":
            # By matrix product, several times faster than difference by difference; in float64, as it loses half of the
            # digits of small distances.
            distance = torch.cdist(x.double(), y.double(), compute_mode="use_mm_for_euclid_dist")
            return distance.to(x.dtype)
        case "sql2":
            return _cross_distances(x, y, "l2").square()
        case "angular":
            chord = _cross_distances(F.normalize(x, dim=1), F.normalize(y, dim=1), "l2")
            return 2 * (chord / 2).clamp(max=1).asin()
    raise ValueError(unknown("distance", metric, DISTANCES))
