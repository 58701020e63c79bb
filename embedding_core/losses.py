"""Losses as pure functions of embeddings. Inside they run in at least float32; float64 stays."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.faults import unknown


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision cast up, float32 and float64 unchanged."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


class KoLeo(NamedTuple):
    """KoLeo and what it was computed from (neighbours carry no gradient)."""

    loss: Float[Tensor, ""]
    neighbours: Int[Tensor, "n k"]
    distances: Float[Tensor, "n k"]


def koleo(
    z: Float[Tensor, "n d"],
    *,
    eps: float = 1e-8,
    top_k: int = 1,
    group_size: int | None = None,
    labels: Int[Tensor, " n"] | None = None,
    exclude_same_class: bool = False,
) -> Float[Tensor, ""]:
    """Minus the mean log distance of each embedding to its nearest neighbours on the sphere; lower is more spread out.

    Args:
        z: embeddings of any length; normalised here. n >= 2.
        eps: added to the distance, so that duplicates stay finite.
        top_k: mean over this many nearest neighbours, >= 1.
        group_size: neighbours only inside consecutive groups of this many rows (the last may be smaller); None: all.
        labels: class per row; needed for `exclude_same_class`.
        exclude_same_class: neighbours only of another class.

    Raises:
        ValueError: a row has fewer than `top_k` candidates.

    Source: Sablayrolles et al. 2019, arXiv 1806.03198, eq. 2.
    """
    return koleo_terms(
        z, eps=eps, top_k=top_k, group_size=group_size, labels=labels, exclude_same_class=exclude_same_class
    ).loss


def koleo_terms(
    z: Float[Tensor, "n d"],
    *,
    eps: float = 1e-8,
    top_k: int = 1,
    group_size: int | None = None,
    labels: Int[Tensor, " n"] | None = None,
    exclude_same_class: bool = False,
) -> KoLeo:
    """`koleo` together with the neighbours and distances it used; arguments as there."""
    unit = F.normalize(at_least_float32(z), dim=1)
    neighbours = nearest_neighbours(
        unit, top_k=top_k, group_size=group_size, labels=labels, exclude_same_class=exclude_same_class
    )
    # The search has no gradient, the distance has it for both ends.
    distances = (unit[:, None] - unit[neighbours]).norm(dim=2)
    return KoLeo(-(distances + eps).log().mean(), neighbours, distances.detach())


@torch.no_grad()
def nearest_neighbours(
    unit: Float[Tensor, "n d"],
    *,
    top_k: int = 1,
    group_size: int | None = None,
    labels: Int[Tensor, " n"] | None = None,
    exclude_same_class: bool = False,
) -> Int[Tensor, "n k"]:
    """Rows of highest cosine, self excluded by index; arguments as in `koleo`, `unit` of unit length."""
    n = len(unit)
    group = group_size or n
    if top_k < 1 or min(n, group, n % group or group) <= top_k:
        raise ValueError(
            f"Each row needs `top_k` other rows in its group, but got n={n}, group_size={group_size}, top_k={top_k}."
        )
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    if group < n:
        ids = torch.arange(n, device=unit.device) // group
        similarity.masked_fill_(ids[:, None] != ids, -torch.inf)
    if exclude_same_class:
        if labels is None:
            raise ValueError("`exclude_same_class` needs `labels`, but got None.")
        similarity.masked_fill_(labels[:, None] == labels, -torch.inf)
    best = similarity.topk(top_k, dim=1) if top_k > 1 else similarity.max(dim=1, keepdim=True)
    if exclude_same_class and bool((best.values == -torch.inf).any()):
        raise ValueError(f"Each row needs `top_k` rows of another class in its group, but got top_k={top_k}.")
    return best.indices


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
    raise ValueError(unknown("distance", distance, ("cosine", "l2", "sql2", "angular")))


def triplet_hinge(
    anchor: Float[Tensor, "n d"],
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    *,
    margin: float,
    distance: str,
) -> Float[Tensor, " n"]:
    """max(0, d(a, p) - d(a, n) + margin) per triplet; `margin` in units of `distance`."""
    positive_distance = paired_distance(anchor, positive, distance=distance)
    negative_distance = paired_distance(anchor, negative, distance=distance)
    hinge: Tensor = F.relu(positive_distance - negative_distance + margin)
    return hinge


def triplet_margin(
    anchor: Float[Tensor, "n d"],
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    *,
    margin: float,
    distance: str,
) -> Float[Tensor, ""]:
    """Mean of `triplet_hinge` over all triplets, satisfied ones included.

    Raises:
        ValueError: unknown distance.

    Source: Schroff et al. 2015, arXiv 1503.03832, eq. 3, with a mean for the sum.
    """
    return triplet_hinge(anchor, positive, negative, margin=margin, distance=distance).mean()
