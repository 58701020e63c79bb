"""Which embeddings are nearest. A row is never its own neighbour: it is excluded by index."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.metrics.distances import ROWS_AT_A_TIME, at_least_float32

SIMILARITIES = ("cosine", "dot")

SEARCH_ROWS = 512
"""Rows that `nearest_neighbours` compares with all others at a time: memory used again and again costs less than all of
it at once."""


class Neighbours(NamedTuple):
    """References by descending similarity, a row per query."""

    indices: Int[Tensor, "q k"]
    similarities: Float[Tensor, "q k"]


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
    blocks = list(neighbour_blocks(query, reference, k=k, metric=metric, exclude_self=exclude_self, own=own))
    return Neighbours(
        torch.cat([block.indices for block in blocks]), torch.cat([block.similarities for block in blocks])
    )


def neighbour_blocks(
    query: Tensor, reference: Tensor, *, k: int, metric: str, exclude_self: bool, own: Tensor | None = None
) -> Iterator[Neighbours]:
    """`top_k_neighbours`, `ROWS_AT_A_TIME` queries at a time."""
    if metric not in SIMILARITIES:
        raise ValueError(unknown("similarity", metric, SIMILARITIES))
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
    for start in range(0, max(len(query), 1), ROWS_AT_A_TIME):
        similarity = query[start : start + ROWS_AT_A_TIME] @ reference.T
        if own is not None:
            similarity.scatter_(1, own[start : start + ROWS_AT_A_TIME, None], -math.inf)
        best = similarity.topk(k, dim=1)
        yield Neighbours(best.indices, best.values)


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
    step = min(max(1, SEARCH_ROWS // groups), m)
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
