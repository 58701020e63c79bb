"""Embeddings in the plane as rows of the store, and the draw of what is shown of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.seeding import generator
from embedding_core.views.projections import UMAP_MIN_POINTS, Principal, class_ellipses, tsne, umap

PROJECTIONS = ("pca", "umap", "tsne")

VIEW_SAMPLE = 1000
"""Most points that a projection shows; seeded UMAP runs on one thread and needs half a minute for 4,000."""

VIEW_CLASSES = 20
"""Most classes that matrices, sheets and projections show: those with the most images."""

Row = dict[str, Any]
"""Values by column name; what does not apply is absent."""


def shown_classes(labels: Int[Tensor, " n"]) -> list[int]:
    """Labels of the largest classes, ascending."""
    classes, sizes = labels.unique(return_counts=True)
    largest = sizes.argsort(descending=True, stable=True)[:VIEW_CLASSES]
    return sorted(classes[largest].tolist())


def drawn(labels: Int[Tensor, " n"], role: str, *, size: int, seed: int) -> Int64[Tensor, " m"]:
    """Up to `size` images of the classes shown, at random."""
    rows = torch.isin(labels, torch.tensor(shown_classes(labels))).nonzero()[:, 0]
    order = torch.randperm(len(rows), generator=generator(seed, "views", role))
    return rows[order[:size]]


def points(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    principal: Principal,
    *,
    name_of: Callable[[int], str],
    seed: int,
    projections: Sequence[str] = ("pca",),
    most: int = VIEW_SAMPLE,
) -> Iterator[Row]:
    """A row per point of each projection; PCA is fitted to all rows, UMAP and t-SNE to those shown.

    Args:
        z: finite embeddings on the CPU.
        labels: class per row.
        principal: the PCA of `z`.
        name_of: a class's name by its label.
        seed: of the points shown and of the projections.
        projections: some of PROJECTIONS.
        most: points of each, at most.

    Raises:
        ValueError: an unknown projection.
    """
    for name in projections:
        if name not in PROJECTIONS:
            raise ValueError(unknown("projection", name, PROJECTIONS))
    rows = drawn(labels, "points", size=min(most, VIEW_SAMPLE), seed=seed)
    plane: dict[str, Callable[[], Tensor]] = {
        "pca": lambda: principal.points[rows],
        "umap": lambda: umap(z[rows], seed=seed),
        "tsne": lambda: tsne(z[rows], seed=seed),
    }
    for name in projections:
        if name == "umap" and len(rows) < UMAP_MIN_POINTS:
            continue  # nothing to lay out
        for item, (row, (x, y)) in enumerate(zip(rows.tolist(), plane[name]().tolist(), strict=True)):
            label = int(labels[row])
            of = {"class_id": label, "class_name": name_of(label), "image_index": row}
            yield {"view": name, "item": item, "rank": 0, "seed": seed, **of, "x": x, "y": y, "n": len(rows)}


def ellipses(labels: Int[Tensor, " n"], principal: Principal, *, name_of: Callable[[int], str]) -> Iterator[Row]:
    """The axes of a PCA plane and the ellipse of each class shown."""
    for axis, share in enumerate(principal.explained):
        yield {"view": "pca_axis", "item": axis, "value": share, "n": len(labels)}
    shown = shown_classes(labels)
    for ellipse in class_ellipses(principal.points, labels):
        if ellipse.label in shown:
            shape = {name: getattr(ellipse, name) for name in ("x", "y", "width", "height", "angle", "n")}
            of = {"class_id": ellipse.label, "class_name": name_of(ellipse.label)}
            yield {"view": "ellipse", "item": ellipse.label, **of, **shape, "value": ellipse.area}
