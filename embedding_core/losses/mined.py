"""The mean hinge over mined triplets, in shapes that do not depend on how many there are."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from embedding_core.losses import miners
from embedding_core.losses.candidates import classes_of, row_order
from embedding_core.losses.functional import triplet_hinge
from embedding_core.metrics.distances import distance_matrix


class MinedHinge(NamedTuple):
    """What the triplets of a batch cost."""

    loss: Float[Tensor, ""]
    """Mean over the triplets; 0, with a gradient of 0, where there is none."""
    active: Float[Tensor, ""]
    """Share of them whose hinge is above 0."""
    found: Bool[Tensor, ""]
    """Whether there is any."""


def mined_hinge(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    draws: Float64[Tensor, "r n"],
    *,
    picked: str,
    margin: float,
    distance: str,
) -> MinedHinge:
    """The triplet margin loss over the triplets of `mine` or `mine_random`.

    O(n² d) time (and n² log n where all negatives count) and O(n²) memory, however many triplets share the distances.

    Args:
        z: embeddings, mined and trained.
        labels: class per row.
        draws: as `random_draws` makes them for `random`; else not looked at.
        picked: `random`, or `positive/negative` of `mine`.
        margin: > 0, in units of `distance`.
        distance: as in `paired_distance`.
    """
    if picked == "random":
        return _of_picks(z, miners.pick_random(labels, draws), margin, distance)
    positive, negative = picked.split("/")
    if "all" not in (positive, negative):
        distances = distance_matrix(z.detach(), distance=distance)
        picks = miners.pick(distances, labels, positive=positive, negative=negative, margin=margin)
        return _of_picks(z, picks, margin, distance)
    distances = distance_matrix(z, distance=distance)  # far fewer than the triplets that share them
    if negative == "all":
        return _over_all_negatives(distances, labels, positive, margin)
    picks = miners.pick(distances.detach().clone(), labels, positive=positive, negative=negative, margin=margin)
    hinge = F.relu(distances.gather(1, picks.positive) - distances.gather(1, picks.negative) + margin)
    return _mean(hinge, picks.valid)


def _of_picks(z: Tensor, picks: miners.Picks, margin: float, distance: str) -> MinedHinge:
    """Of one triplet per anchor, by its own two distances."""
    anchor = torch.arange(len(z), device=z.device)
    triplets = miners.Triplets(anchor, picks.positive[:, 0], picks.negative[:, 0])
    return _mean(triplet_hinge(*triplets.embeddings(z), margin=margin, distance=distance), picks.valid[:, 0])


def _mean(hinge: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]) -> MinedHinge:
    triplets = valid.sum()
    divisor = triplets.clamp(min=1)
    loss = hinge.where(valid, 0).sum() / divisor
    return MinedHinge(loss, ((hinge > 0) & valid).sum() / divisor, triplets > 0)


def _over_all_negatives(
    distances: Float[Tensor, "n n"], labels: Int[Tensor, " n"], positive: str, margin: float
) -> MinedHinge:
    """Of every positive with every negative, through sums over the negatives in order of distance.

    Those closer than d_ap + margin are active, and their hinges sum to their number times that less their distances.
    """
    same, classes = labels[:, None] == labels, classes_of(labels)
    positives = miners.positives_of(distances, same, classes, positive=positive)
    to_negatives = distances.detach().masked_fill(same, torch.inf)
    order = row_order(to_negatives)
    bound = distances.gather(1, positives.rows) + margin
    closer = torch.searchsorted(to_negatives.gather(1, order), bound.detach())
    sums = F.pad(distances.gather(1, order).cumsum(dim=1), (1, 0))
    hinge = closer * bound - sums.gather(1, closer)
    triplets = (positives.valid.sum(dim=1) * (len(labels) - classes.size)).sum()
    divisor = triplets.clamp(min=1)
    loss = hinge.where(positives.valid, 0).sum() / divisor
    return MinedHinge(loss, closer.where(positives.valid, 0).sum() / divisor, triplets > 0)
