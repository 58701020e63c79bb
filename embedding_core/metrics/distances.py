"""How far apart embeddings are and which are nearest. Computed in at least float32; float64 stays."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from embedding_core.errors import unknown

DISTANCES = ("cosine", "l2", "sql2", "angular")

ROWS = 512
"""Rows compared with all others at a time: memory used again and again costs less than all of it at once."""


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


@torch.no_grad()
def nearest_neighbours(
    unit: Float[Tensor, "n d"],
    *,
    top_k: int = 1,
    group_size: int | None = None,
    labels: Int[Tensor, " n"] | None = None,
    exclude_same_class: bool = False,
) -> Int[Tensor, "n k"]:
    """Rows of highest cosine, nearest first, self excluded by index; `unit` of unit length, arguments as in `koleo`.

    A row with fewer than `top_k` candidates of another class names itself `top_k` times.
    """
    n = len(unit)
    group = n if group_size is None else min(group_size, n)
    if top_k < 1 or group <= top_k or (n % group or group) <= top_k:
        raise ValueError(
            f"Each row needs `top_k` other rows in its group, but got n={n}, group_size={group_size}, top_k={top_k}."
        )
    if exclude_same_class and labels is None:
        raise ValueError("`exclude_same_class` needs `labels`, but got None.")
    whole = n - n % group
    found = []
    for start, stop, size in ((0, whole, group), (whole, n, n - whole)):
        if size:  # consecutive groups of one size at once, then a smaller last one
            classes = labels[start:stop].view(-1, size) if labels is not None and exclude_same_class else None
            nearest = _nearest(unit[start:stop].unflatten(0, (-1, size)), classes, top_k)
            first = torch.arange(start, stop, size, device=unit.device)
            found.append((nearest + first[:, None, None]).flatten(0, 1))
    return torch.cat(found)


def _nearest(
    unit: Float[Tensor, "groups m d"], classes: Int[Tensor, "groups m"] | None, top_k: int
) -> Int[Tensor, "groups m k"]:
    """Places of the nearest rows inside each group."""
    groups, m, _ = unit.shape
    step = min(max(1, ROWS // groups), m)
    tile = unit.new_empty(groups, step, m)
    found = []
    for start in range(0, m, step):
        rows = slice(start, min(start + step, m))
        cosine = torch.matmul(unit[:, rows], unit.transpose(1, 2), out=tile[:, : rows.stop - start])
        cosine.diagonal(offset=start, dim1=1, dim2=2).fill_(-torch.inf)
        if classes is not None:
            own = classes[:, rows, None]
            cosine.masked_fill_((own == classes[:, None]) & (own >= 0), -torch.inf)  # -1 is no class
        best = cosine.topk(top_k, dim=2) if top_k > 1 else cosine.max(dim=2, keepdim=True)
        nearest = best.indices
        if classes is not None:
            own = torch.arange(rows.start, rows.stop, device=unit.device)[:, None]
            nearest = torch.where(best.values[..., -1:] == -torch.inf, own, nearest)
        found.append(nearest)
    return torch.cat(found, dim=1)
