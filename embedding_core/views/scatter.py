"""Embeddings in the plane as rows of the store: points of each projection, axes and ellipses of the PCA."""

from collections.abc import Callable, Iterator, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.storage.result_tables import Row
from embedding_core.views.projections import UMAP_MIN_POINTS, Principal, class_ellipses, tsne, umap
from embedding_core.views.sampling import SHOWN_POINTS, drawn, images_shown

PROJECTIONS = ("pca", "umap", "tsne")


def point_rows(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    principal: Principal,
    *,
    name_of: Callable[[int], str],
    seed: int,
    projections: Sequence[str] = ("pca",),
    most: int = SHOWN_POINTS,
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
    rows = drawn(labels, "points", size=min(most, SHOWN_POINTS), seed=seed)
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


def ellipse_rows(labels: Int[Tensor, " n"], principal: Principal, *, name_of: Callable[[int], str]) -> Iterator[Row]:
    """The axes of a PCA plane and the ellipse of each class shown."""
    for axis, share in enumerate(principal.explained):
        yield {"view": "pca_axis", "item": axis, "value": share, "n": len(labels)}
    shown = images_shown(labels)
    for ellipse in class_ellipses(principal.points[shown], labels[shown]):
        shape = {name: getattr(ellipse, name) for name in ("x", "y", "width", "height", "angle", "n")}
        of = {"class_id": ellipse.label, "class_name": name_of(ellipse.label)}
        yield {"view": "ellipse", "item": ellipse.label, **of, **shape, "value": ellipse.area}
