"""Which rows of a batch make triplets. Everything is an index into the batch; nothing here carries gradient."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from embedding_core.errors import unknown
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


class Positives(NamedTuple):
    """Up to k other rows of each row's class; an entry that is not `valid` names some row of the batch."""

    rows: Int64[Tensor, "n k"]
    valid: Bool[Tensor, "n k"]


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
    same = labels[:, None] == labels
    size = _classes(labels).size[:, None]
    if positive == "all":
        positives = class_mates(labels)
    else:
        positives = Positives(_nearest_or_farthest_of_class(distances, same, positive), size > 1)
    if negative == "all":
        anchor, k, chosen = (positives.valid[:, :, None] & ~same[:, None]).nonzero(as_tuple=True)
        return Triplets(anchor, positives.rows[anchor, k], chosen)
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
        found = size < len(labels)
    anchor, k = (positives.valid & found).nonzero(as_tuple=True)
    return Triplets(anchor, positives.rows[anchor, k], index[anchor, k])


def _check_names(**given: tuple[str, tuple[str, ...]]) -> None:
    for kind, (name, known) in given.items():
        if name not in known:
            raise ValueError(unknown(kind, name, known))


def _nearest_or_farthest_of_class(
    distances: Float[Tensor, "n n"], same: Bool[Tensor, "n n"], positive: str
) -> Int64[Tensor, "n 1"]:
    """The easy or hard positive; any row where there is none."""
    strangers = ~same
    strangers.fill_diagonal_(True)
    if positive == "hard":
        return distances.masked_fill(strangers, -torch.inf).argmax(dim=1, keepdim=True)
    return distances.masked_fill(strangers, torch.inf).argmin(dim=1, keepdim=True)


def class_mates(labels: Int[Tensor, " n"]) -> Positives:
    """All other rows of each row's class, k as many as the largest class has rows; waits for the device."""
    size, start, by_class = _classes(labels)
    place = torch.arange(int(size.max()) if len(labels) else 0, device=labels.device)
    index = by_class[(start[:, None] + place).clamp(max=len(labels) - 1)]
    own = torch.arange(len(labels), device=labels.device)[:, None]
    return Positives(index, (place < size[:, None]) & (index != own))


@torch.no_grad()
def nearest_beyond(
    to_negatives: Float[Tensor, "n n"], thresholds: Float[Tensor, "n k"]
) -> tuple[Float[Tensor, "n k"], Int64[Tensor, "n k"]]:
    """Smallest distance of each row above each of its thresholds, and where; infinite and anywhere if there is none.

    Args:
        to_negatives: distances, infinite where a row is no negative.
        thresholds: k per row, k >= 1.
    """
    if thresholds.shape[1] == 1:  # one look at each distance is cheaper than sorting them
        nearest = to_negatives.masked_fill(to_negatives <= thresholds, torch.inf).min(dim=1, keepdim=True)
        return nearest.values, nearest.indices
    order = _row_order(to_negatives)
    values = to_negatives.gather(1, order)
    place = torch.searchsorted(values, thresholds, right=True)
    none = place == len(values)
    place.clamp_(max=len(values) - 1)
    return values.gather(1, place).masked_fill_(none, torch.inf), order.gather(1, place)


def _row_order(x: Float[Tensor, "m n"]) -> Int64[Tensor, "m n"]:
    """Columns of each row by ascending value; on the CPU NumPy's vector instructions take a fifth of torch's time."""
    if x.device.type != "cpu":
        return x.argsort(dim=1)
    return torch.from_numpy(np.argsort(x.numpy(), axis=1))


def mine_random(labels: Int[Tensor, " n"], generator: torch.Generator) -> Triplets:
    """One positive and one negative, each uniform over the batch's candidates, for every row that has both.

    Args:
        labels: class per row.
        generator: takes 2 n draws, whatever the labels; on any device.
    """
    n = len(labels)
    size, start, by_class = _classes(labels)
    draws = torch.rand(2, n, generator=generator, dtype=torch.float64, device=generator.device).to(labels.device)
    place = by_class.argsort() - start  # of each row in its class
    step = 1 + (draws[0] * (size - 1)).long()
    positive = by_class[start + (place + step) % size]
    step = (draws[1] * (n - size)).long()
    negative = by_class[(start + size + step) % n]
    anchor = ((size > 1) & (size < n)).nonzero().squeeze(1)
    return Triplets(anchor, positive[anchor], negative[anchor])


class _Classes(NamedTuple):
    """Rows sorted by class, and for each row of the batch where its class lies among them."""

    size: Int64[Tensor, " n"]
    start: Int64[Tensor, " n"]
    by_class: Int64[Tensor, " n"]


def _classes(labels: Int[Tensor, " n"]) -> _Classes:
    _, member, sizes = labels.unique(return_inverse=True, return_counts=True)
    starts = sizes.cumsum(0) - sizes
    return _Classes(sizes[member], starts[member], member.argsort(stable=True))


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
