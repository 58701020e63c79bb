"""Cosine distances within classes and between them, however many classes: no matrix of them where they are many."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.metrics.distances import at_least_float32, class_distances, class_sums, intra_inter

MATRIX_CLASSES = 2048
"""Up to which the distances of all pairs of classes are computed (32 MiB each time); the numbers are the same without,
but for rounding."""


def class_spread(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean cosine distance within each class, and from each class to the others; classes in ascending order of label.

    Within excludes self pairs, and is NaN for a class of one image; to the others is the mean of the class's mean
    distances to each of them, NaN for a single class. All are NaN if an embedding is.

    Args:
        z: embeddings.
        labels: class per row.
    """
    z = at_least_float32(z)
    classes, member = labels.unique(return_inverse=True)
    c = len(classes)
    if c <= MATRIX_CLASSES:
        distances = class_distances(z, labels, metric="cosine")
        others = ~torch.eye(c, dtype=torch.bool, device=z.device)
        return distances.diagonal(), distances[others].view(c, c - 1).mean(dim=1)
    unit = F.normalize(z, dim=1).double()
    if unit.isnan().any():
        unknown = z.new_full((c,), math.nan)
        return unknown, unknown
    sums, sizes, squares = class_sums(unit, member, c)
    intra = 1 - (sums.square().sum(dim=1) - squares) / (sizes * sizes - sizes)
    intra.masked_fill_(sizes == 1, math.nan)  # not what rounding leaves of 0 / 0
    # The mean cosine of two classes is the product of their mean rows: those of all the others are added up first.
    means = sums / sizes[:, None]
    inter = 1 - (means * (means.sum(dim=0) - means)).sum(dim=1) / (c - 1)
    return intra.to(z.dtype), inter.to(z.dtype)


def mean_class_spread(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> tuple[float, float]:
    """Means over the classes of `class_spread`, in which classes weigh equally; those of one image have no within."""
    if len(labels.unique()) <= MATRIX_CLASSES:
        return intra_inter(class_distances(z, labels, metric="cosine"))
    intra, inter = class_spread(z, labels)
    return intra.nanmean().item(), inter.mean().item()
