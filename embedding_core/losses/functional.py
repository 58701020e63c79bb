"""Losses of embeddings. Inside they run in at least float32; float64 stays. Self is excluded by index, not by value."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.losses.candidates import class_mates, classes_of, nearest_beyond
from embedding_core.metrics.distances import at_least_float32, distance_matrix, paired_distance
from embedding_core.metrics.neighbours import nearest_neighbours


class KoLeo(NamedTuple):
    """KoLeo and what it was computed from (neighbours carry no gradient)."""

    loss: Float[Tensor, ""]
    neighbours: Int[Tensor, "n k"]
    distances: Float[Tensor, "n k"]
    valid: Bool[Tensor, " n"]
    """Rows that count: those with `top_k` candidates. The others name themselves as neighbours, at distance 0."""


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
        exclude_same_class: neighbours only of another class. Rows with fewer than `top_k` of those in their group are
            left out of the mean; where none is left, as in a batch of one class, the loss is 0.

    Raises:
        ValueError: a group has `top_k` rows or fewer; labels are missing.

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
    distances = (unit[:, None] - F.embedding(neighbours, unit)).norm(dim=2)
    logs = (distances + eps).log()
    if exclude_same_class:  # whether any row is left out stays on the device, or the host would wait for it
        valid = neighbours[:, 0] != torch.arange(len(unit), device=unit.device)
        loss = -logs.mean(dim=1).where(valid, 0).sum() / valid.sum().clamp(min=1)
    else:
        valid = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
        loss = -logs.mean()
    return KoLeo(loss, neighbours, distances.detach(), valid)


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
    """Mean of `triplet_hinge` over all triplets, satisfied ones included; 0 where there is none.

    Args:
        anchor: one row per triplet; mined ones are `triplets.embeddings(z)`.
        positive: of the anchor's class.
        negative: of another class.
        margin: in units of `distance`.
        distance: as in `paired_distance`.

    Raises:
        ValueError: unknown distance.

    Source: Schroff et al. 2015, arXiv 1503.03832, eq. 3, with a mean for the sum.
    """
    hinge = triplet_hinge(anchor, positive, negative, margin=margin, distance=distance)
    return hinge.sum() / max(len(hinge), 1)


def triplet_semihard(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    margin: float = 1.0,
    distance: str = "sql2",
    fallback: str = "farthest",
) -> Float[Tensor, ""]:
    """Mean over the ordered positive pairs (a, p) of max(0, margin + d_ap - d_an), n the nearest with d_an > d_ap.

    0 where no class has two rows; d_an is 0 where there is one class. O(n² (d + log n)) time, O(n²) memory.

    Args:
        z: embeddings of any length; not normalised here.
        labels: class per row.
        margin: in units of `distance`.
        distance: as in `distance_matrix`.
        fallback: where no negative is farther than the positive, the `farthest` or the `nearest` one.

    Raises:
        ValueError: unknown distance or fallback.

    Source: Schroff et al. 2015, arXiv 1503.03832, section 3.2; TensorFlow Addons' `TripletSemiHardLoss`, which falls
        back on the farthest negative.
    """
    if fallback not in ("farthest", "nearest"):
        raise ValueError(unknown("fallback", fallback, ("farthest", "nearest")))
    distances = distance_matrix(z, distance=distance)
    same = labels[:, None] == labels
    mates = class_mates(classes_of(labels))
    to_positive = distances.gather(1, mates.rows)
    to_negatives = distances.detach().masked_fill(same, torch.inf)
    values, negative = nearest_beyond(to_negatives, to_positive.detach())
    if fallback == "nearest":
        otherwise = to_negatives.argmin(dim=1, keepdim=True)
    else:
        otherwise = to_negatives.masked_fill_(same, -torch.inf).argmax(dim=1, keepdim=True)
    negative = negative.where(values < torch.inf, otherwise)
    strangers = len(labels) - 1 - mates.valid.sum(dim=1, keepdim=True)
    to_negative = distances.gather(1, negative).where(strangers > 0, 0)
    hinge = F.relu(margin + to_positive - to_negative)
    return hinge.where(mates.valid, 0).sum() / mates.valid.sum().clamp(min=1)


def nt_xent(
    z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], *, temperature: float = 0.5, similarity: str = "cosine"
) -> Float[Tensor, ""]:
    """Mean cross-entropy of finding each view's partner among the other 2n - 1 views; 0 for one pair.

    Args:
        z1: first views, n >= 1.
        z2: second views; row i is the partner of row i of `z1`.
        temperature: > 0; divides the similarity.
        similarity: `cosine`, or `dot` product without normalisation.

    Raises:
        ValueError: no views or unequal numbers of them; temperature not positive; unknown similarity.

    Source: Chen et al. 2020, arXiv 2002.05709, eq. 1, averaged over all 2n views (algorithm 1).
    """
    if similarity not in ("cosine", "dot"):
        raise ValueError(unknown("similarity", similarity, ("cosine", "dot")))
    n = len(z1)
    if not n or len(z2) != n or temperature <= 0:
        raise ValueError(
            f"NT-Xent needs n >= 1 pairs of views and a temperature > 0, but got {n}, {len(z2)}, {temperature=}."
        )
    z = at_least_float32(torch.cat([z1, z2]))
    if similarity == "cosine":
        z = F.normalize(z, dim=1)
    z = z / math.sqrt(temperature)  # here rather than after the product, which is n times larger
    logits = (z @ z.T).fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, partner)


def nt_xent_floor(n: int, temperature: float) -> float:
    """NT-Xent of n >= 1 pairs whose views are equal and otherwise orthogonal: about the least that training reaches."""
    return math.log1p((2 * n - 2) * math.exp(-1 / temperature))


def nt_xent_chance(n: int) -> float:
    """NT-Xent of n >= 1 pairs that cannot be told apart."""
    return math.log(2 * n - 1)
