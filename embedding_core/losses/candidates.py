"""What triplets are picked from: the class mates of each row, and its negatives in order of distance.

Indices into the batch, without gradient, in shapes that do not depend on the data.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor


class Positives(NamedTuple):
    """Up to k other rows of each row's class; an entry that is not `valid` names some row of the batch."""

    rows: Int64[Tensor, "n k"]
    valid: Bool[Tensor, "n k"]


class Classes(NamedTuple):
    """Rows sorted by class, and for each row of the batch where its class lies among them."""

    size: Int64[Tensor, " n"]
    start: Int64[Tensor, " n"]
    by_class: Int64[Tensor, " n"]


def classes_of(labels: Int[Tensor, " n"]) -> Classes:
    """The classes of a batch; unlike `unique`, without a shape that the host would have to know."""
    by_class = labels.argsort(stable=True)
    ordered, labels = labels[by_class], labels.contiguous()
    start = torch.searchsorted(ordered, labels)
    return Classes(torch.searchsorted(ordered, labels, right=True) - start, start, by_class)


def class_mates(classes: Classes) -> Positives:
    """All other rows of each row's class.

    k is the size of the largest class where a look at it costs nothing: in eager mode on the CPU. On a GPU the host
    would wait, and a traced graph has one shape for all labels: there k is n.
    """
    size, start, by_class = classes
    n = len(size)
    look = n > 0 and size.device.type == "cpu" and not torch.compiler.is_compiling()
    place = torch.arange(int(size.max()) if look else n, device=size.device)
    index = by_class[(start[:, None] + place).clamp(max=n - 1)]
    own = torch.arange(n, device=size.device)[:, None]
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
    order = row_order(to_negatives)
    values = to_negatives.gather(1, order)
    place = torch.searchsorted(values, thresholds, right=True)
    none = place == len(values)
    place.clamp_(max=len(values) - 1)
    return values.gather(1, place).masked_fill_(none, torch.inf), order.gather(1, place)


def row_order(x: Float[Tensor, "m n"]) -> Int64[Tensor, "m n"]:
    """Columns of each row by ascending value; on the CPU NumPy's vector instructions take a fifth of torch's time."""
    if x.device.type != "cpu":
        return x.argsort(dim=1)
    return torch.from_numpy(np.argsort(x.numpy(), axis=1))
