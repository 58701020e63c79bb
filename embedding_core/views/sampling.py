"""Which classes, points and queries are shown of a split: drawn by seed, whatever the embeddings are."""

import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from embedding_core.seeding import generator

SHOWN_CLASSES = 20
"""Most classes that matrices, sheets and projections show: those with the most images."""

SHOWN_POINTS = 1000
"""Most points that a projection shows; seeded UMAP runs on one thread and needs half a minute for 4,000."""

SHOWN_QUERIES = 8
"""Images whose neighbours are shown."""


def shown_classes(labels: Int[Tensor, " n"]) -> list[int]:
    """Labels of the largest classes, ascending."""
    classes, sizes = labels.unique(return_counts=True)
    largest = sizes.argsort(descending=True, stable=True)[:SHOWN_CLASSES]
    return sorted(classes[largest].tolist())


def images_shown(labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Which images are of the classes shown."""
    return torch.isin(labels, torch.tensor(shown_classes(labels)))


def drawn(labels: Int[Tensor, " n"], role: str, *, size: int, seed: int) -> Int64[Tensor, " m"]:
    """Up to `size` images of the classes shown, at random."""
    rows = images_shown(labels).nonzero()[:, 0]
    order = torch.randperm(len(rows), generator=generator(seed, "views", role))
    return rows[order[:size]]


def shown_queries(labels: Int[Tensor, " n"], *, seed: int) -> Int64[Tensor, " q"]:
    """The images whose neighbours are shown."""
    return drawn(labels, "queries", size=SHOWN_QUERIES, seed=seed)
