"""Which rows of a batch make triplets. Everything is an index into the batch; nothing here carries gradient.

`pick` and `pick_random` have shapes that do not depend on the data, so that the host waits for no device and
`torch.compile` takes them whole; `mine` and `mine_random` keep the valid triplets alone, and wait.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.losses.candidates import Classes, Positives, class_mates, classes_of, nearest_beyond
from embedding_core.metrics.distances import distance_matrix

POSITIVES = ("easy", "hard", "all")
NEGATIVES = ("semihard", "hard", "all")
FALLBACKS = ("nearest", "drop")


class Triplets(NamedTuple):
    """Rows of the batch: t anchors, each with a positive of its class and a negative of another."""

    anchor: Int64[Tensor, " t"]
    positive: Int64[Tensor, " t"]
    negative: Int64[Tensor, " t"]

    def embeddings(self, z: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of `z` in each role, [t, d] each."""
        # The gradient of `z[index]` is slower on the CPU, that of `index_select` differs from run to run on CUDA.
        return F.embedding(self.anchor, z), F.embedding(self.positive, z), F.embedding(self.negative, z)


class Picks(NamedTuple):
    """Up to k triplets of each row as the anchor; an entry that is not `valid` names some rows of the batch."""

    positive: Int64[Tensor, "n k"]
    negative: Int64[Tensor, "n k"]
    valid: Bool[Tensor, "n k"]

    def triplets(self) -> Triplets:
        """The valid ones, in ascending order of anchor; waits for the device."""
        anchor, k = self.valid.nonzero(as_tuple=True)
        return Triplets(anchor, self.positive[anchor, k], self.negative[anchor, k])


@torch.no_grad()
def mine(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    positive: str,
    negative: str,
    margin: float,
    distance: str = "sql2",
    fallback: str = "nearest",
) -> Triplets:
    """Triplets of the batch in ascending order of anchor; none where a class has one row or there is one class.

    O(n² d) time and O(n²) memory, apart from the triplets themselves under `all`. Waits for the device.

    Args:
        z: embeddings, as the loss will see them.
        labels: class per row.
        positive: `easy` (nearest of the class), `hard` (farthest) or `all`.
        negative: `semihard` (nearest with d_ap < d_an < d_ap + margin), `hard` (nearest with d_an < d_ap) or `all`.
        margin: > 0, in units of `distance`, may be infinite; bounds `semihard` only.
        distance: as in `distance_matrix`.
        fallback: `nearest` negative, or `drop` the triplet, where no negative is semi-hard or hard.

    Raises:
        ValueError: unknown name.

    Source: Hermans et al. 2017, arXiv 1703.07737 (hard, all); Schroff et al. 2015, arXiv 1503.03832 (semi-hard);
        Xuan et al. 2020, arXiv 1904.04370 (easy positives).
    """
    _check_names(positive=(positive, POSITIVES), negative=(negative, NEGATIVES), fallback=(fallback, FALLBACKS))
    distances = distance_matrix(z, distance=distance)
    if negative == "all":
        same = labels[:, None] == labels
        positives = positives_of(distances, same, classes_of(labels), positive=positive)
        anchor, k, chosen = (positives.valid[:, :, None] & ~same[:, None]).nonzero(as_tuple=True)
        return Triplets(anchor, positives.rows[anchor, k], chosen)
    return pick(distances, labels, positive=positive, negative=negative, margin=margin, fallback=fallback).triplets()


def _check_names(**given: tuple[str, tuple[str, ...]]) -> None:
    for kind, (name, known) in given.items():
        if name not in known:
            raise ValueError(unknown(kind, name, known))


@torch.no_grad()
def pick(
    distances: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"],
    *,
    positive: str,
    negative: str,
    margin: float,
    fallback: str = "nearest",
) -> Picks:
    """What `mine` finds, with a negative for each positive; arguments as there, `negative` not `all`.

    Args:
        distances: of every row to every row; overwritten.
    """
    same, classes = labels[:, None] == labels, classes_of(labels)
    positives = positives_of(distances, same, classes, positive=positive)
    to_positive = distances.gather(1, positives.rows)
    to_negatives = distances.masked_fill_(same, torch.inf)
    nearest = to_negatives.min(dim=1, keepdim=True)
    if negative == "hard":
        index, found = nearest.indices.expand_as(to_positive), nearest.values < to_positive
    else:
        values, index = nearest_beyond(to_negatives, to_positive)
        found = values < to_positive + margin
    if fallback == "nearest":
        index = torch.where(found, index, nearest.indices)
        found = classes.size[:, None] < len(labels)
    return Picks(positives.rows, index, positives.valid & found)


@torch.no_grad()
def positives_of(
    distances: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], classes: Classes, *, positive: str
) -> Positives:
    """The positives of each row: the `easy`, the `hard` or `all`; `same` is whether two rows are of one class."""
    if positive == "all":
        return class_mates(classes)
    strangers = ~same
    strangers.fill_diagonal_(True)
    if positive == "hard":
        rows = distances.masked_fill(strangers, -torch.inf).argmax(dim=1, keepdim=True)
    else:
        rows = distances.masked_fill(strangers, torch.inf).argmin(dim=1, keepdim=True)
    return Positives(rows, classes.size[:, None] > 1)


def mine_random(labels: Int[Tensor, " n"], generator: torch.Generator) -> Triplets:
    """One positive and one negative, each uniform over the batch's candidates, for every row that has both.

    Args:
        labels: class per row.
        generator: takes 2 n draws, whatever the labels; on the device of `labels`.
    """
    return pick_random(labels, random_draws(len(labels), generator)).triplets()


def random_draws(n: int, generator: torch.Generator) -> Float64[Tensor, "2 n"]:
    """What `pick_random` takes for n rows: uniform in [0, 1)."""
    return torch.rand(2, n, generator=generator, dtype=torch.float64, device=generator.device)


def pick_random(labels: Int[Tensor, " n"], draws: Float64[Tensor, "2 n"]) -> Picks:
    """What `mine_random` finds, with k = 1; `draws` as `random_draws` makes them."""
    n = len(labels)
    size, start, by_class = classes_of(labels)
    place = by_class.argsort() - start  # of each row in its class
    step = 1 + (draws[0] * (size - 1)).long()
    positive = by_class[start + (place + step) % size]
    step = (draws[1] * (n - size)).long()
    negative = by_class[(start + size + step) % n]
    return Picks(positive[:, None], negative[:, None], ((size > 1) & (size < n))[:, None])


def curriculum(epoch: int, epochs: int) -> tuple[str, str]:
    """`positive` and `negative` of `mine` in an epoch: easy/semihard, from 10/35 of the run easy/hard, from 25/35 hard.

    Args:
        epoch: 0-based, in [0, epochs).
        epochs: length of the run, >= 1; 35 in study 2, which changed at 10 and 25. Elsewhere it changes at the nearest
            whole epochs: from three on, a run has all three phases.

    Raises:
        ValueError: there is no such epoch.
    """
    if not 0 <= epoch < epochs:
        raise ValueError(f"`epoch` must be in [0, epochs), but got {epoch=}, {epochs=}.")
    if epoch < round(epochs * 10 / 35):
        return "easy", "semihard"
    return ("easy", "hard") if epoch < round(epochs * 25 / 35) else ("hard", "hard")
