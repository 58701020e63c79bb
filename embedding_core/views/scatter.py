"""Embeddings in the plane as rows of the store: points of each projection, axes and ellipses of the PCA."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.errors import unknown
from embedding_core.storage.result_tables import Row
from embedding_core.views.optional_rows import OptionalRows
from embedding_core.views.projections import UMAP_MIN_POINTS, Principal, class_ellipses, tsne, umap
from embedding_core.views.sampling import SHOWN_POINTS, drawn, images_shown

PROJECTIONS = ("pca", "umap", "tsne")


def point_rows(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    principal: Principal,
    *,
    name_of: Callable[[int], str],
    split: str,
    seed: int,
    optional: OptionalRows,
    projections: Sequence[str] = ("pca",),
    most: int = SHOWN_POINTS,
) -> list[Row]:
    """A row per point of each projection that can be computed; PCA of all rows, UMAP and t-SNE of those shown.

    Args:
        z: finite embeddings on the CPU.
        labels: class per row.
        principal: the PCA of `z`.
        name_of: a class's name by its label.
        split: what `optional` is told that a failed projection is of.
        seed: of the points shown and of the projections.
        optional: is told of a projection that fails.
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

    def points(name: str) -> Iterator[Row]:
        for item, (row, (x, y)) in enumerate(zip(rows.tolist(), plane[name]().tolist(), strict=True)):
            label = int(labels[row])
            of = {"class_id": label, "class_name": name_of(label), "image_index": row}
            yield {"view": name, "item": item, "rank": 0, "seed": seed, **of, "x": x, "y": y, "n": len(rows)}

    # Of fewer points UMAP has nothing to lay out.
    wanted = [name for name in projections if name != "umap" or len(rows) >= UMAP_MIN_POINTS]
    return [row for name in wanted for row in optional.of(f"{name} ({split})", partial(points, name))]


def ellipse_rows(labels: Int[Tensor, " n"], principal: Principal, *, name_of: Callable[[int], str]) -> Iterator[Row]:
    """The axes of a PCA plane and the ellipse of each class shown."""
    for axis, share in enumerate(principal.explained):
        yield {"view": "pca_axis", "item": axis, "value": share, "n": len(labels)}
    shown = images_shown(labels)
    for ellipse in class_ellipses(principal.points[shown], labels[shown]):
        shape = {name: getattr(ellipse, name) for name in ("x", "y", "width", "height", "angle", "n")}
        of = {"class_id": ellipse.label, "class_name": name_of(ellipse.label)}
        yield {"view": "ellipse", "item": ellipse.label, **of, **shape, "value": ellipse.area}
