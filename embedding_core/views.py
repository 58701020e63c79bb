"""Views of embeddings, computed where the model is: rows of the store, which the figures are drawn from."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.data import ImageSet
from embedding_core.distances import at_least_float32
from embedding_core.evaluate import class_distances, singular_values
from embedding_core.faults import unknown
from embedding_core.pictures import Ranked, class_images, thumbnail
from embedding_core.projections import UMAP_MIN_POINTS, Principal, class_ellipses, pca, tsne, umap
from embedding_core.retrieval import Neighbours, label_hit_rates, top_k_neighbours
from embedding_core.seeding import generator

PROJECTIONS = ("pca", "umap", "tsne")

VIEW_SAMPLE = 1000
"""Most points that a projection shows; seeded UMAP runs on one thread and needs half a minute for 4,000."""

VIEW_CLASSES = 20
"""Most classes that matrices, sheets and projections show: those with the most images."""

IMAGES_PER_CLASS = 5
"""Closest, farthest and foreign images of each class."""

QUERIES = 8
"""Images whose neighbours are shown."""

NEIGHBOURS = 5
"""Nearest others of an image (study 4 looked at five)."""

Row = dict[str, Any]
"""Values by column name; what does not apply is absent."""


class Tables(NamedTuple):
    """Rows by table of the store, without the ids of the trial."""

    views: list[Row]
    eval_groups: list[Row]
    embeddings: list[Row]


def compute(
    z: Float[Tensor, "n d"], images: ImageSet, *, split: str, seed: int, projections: Sequence[str] = ("pca",)
) -> Tables:
    """The views of one split as rows.

    `image_index` is the place in `images`. A seed picks the same images whatever the embeddings are, so that arms can
    be laid side by side.

    Args:
        z: embeddings of `images` in evaluation mode, all finite.
        images: the images of the split, at least two.
        split: its name, `test` or `unseen`.
        seed: of the points and queries that are shown, and of the projections.
        projections: some of PROJECTIONS. Distances, ellipses, sheets and spectrum are always there.

    Raises:
        ValueError: not one finite embedding for each of two or more images, or an unknown projection.
    """
    for name in projections:
        if name not in PROJECTIONS:
            raise ValueError(unknown("projection", name, PROJECTIONS))
    z = at_least_float32(z.detach().cpu())
    finite = int(z.isfinite().all(dim=1).sum())
    if not 2 <= finite == len(z) == len(images.labels):
        counts = f"{len(images.labels)} images and {len(z)} embeddings, {finite} of them finite"
        raise ValueError(f"Views need two images or more and a finite embedding for each, but got {counts}.")
    subject = _Subject(z, images, seed, pca(z), class_distances(z, images.labels, metric="cosine"))
    nearest = top_k_neighbours(z, z, k=min(NEIGHBOURS, len(z) - 1), exclude_self=True)
    views = [
        *_points(subject, projections),
        *_ellipses(subject),
        *_distances(subject),
        *_class_images(subject),
        *_neighbours(subject, nearest),
        *_spectrum(subject),
    ]
    common = {"split": split}
    return Tables(
        views=[{**common, "seed": seed, "rank": 0, **row} for row in views],
        eval_groups=[{**common, **row} for row in _groups(subject, nearest)],
        embeddings=[
            {**common, "image_index": i, "label": label, "embedding": vector}
            for i, (label, vector) in enumerate(zip(images.labels.tolist(), z.float().numpy(), strict=True))
        ],
    )


@dataclass(frozen=True)
class _Subject:
    """One split's images and embeddings, with what several views rest on."""

    z: Float[Tensor, "n d"]
    images: ImageSet
    seed: int
    principal: Principal
    distances: Float[Tensor, "c c"]

    @property
    def labels(self) -> Int[Tensor, " n"]:
        return self.images.labels

    @cached_property
    def shown(self) -> list[int]:
        """Labels of the largest classes, ascending."""
        classes, sizes = self.labels.unique(return_counts=True)
        largest = sizes.argsort(descending=True, stable=True)[:VIEW_CLASSES]
        return sorted(classes[largest].tolist())

    def class_of(self, label: int) -> Row:
        return {"class_id": label, "class_name": self.images.name_of(label)}

    def other(self, label: int) -> Row:
        return {"other_class_id": label, "other_class_name": self.images.name_of(label)}

    def image(self, index: int) -> Row:
        return {
            "image_index": index,
            **self.other(int(self.labels[index])),
            "thumbnail": thumbnail(self.images.images[index]),
        }

    def ranked(self, images: Ranked) -> Iterator[Row]:
        for index, similarity in zip(images.indices.tolist(), images.similarities.tolist(), strict=True):
            yield {"value": similarity, **self.image(index)}

    def drawn(self, role: str, size: int) -> Int[Tensor, " m"]:
        """Up to `size` images of the classes shown, at random."""
        rows = torch.isin(self.labels, torch.tensor(self.shown)).nonzero()[:, 0]
        order = torch.randperm(len(rows), generator=generator(self.seed, "views", role))
        return rows[order[:size]]


def _points(subject: _Subject, projections: Sequence[str]) -> Iterator[Row]:
    """One row per point; PCA is fitted to all images, UMAP and t-SNE to those shown."""
    rows = subject.drawn("points", VIEW_SAMPLE)
    plane: dict[str, Callable[[], Tensor]] = {
        "pca": lambda: subject.principal.points[rows],
        "umap": lambda: umap(subject.z[rows], seed=subject.seed),
        "tsne": lambda: tsne(subject.z[rows], seed=subject.seed),
    }
    for name in projections:
        if name == "umap" and len(rows) < UMAP_MIN_POINTS:
            continue  # nothing to lay out
        for item, (row, (x, y)) in enumerate(zip(rows.tolist(), plane[name]().tolist(), strict=True)):
            of = subject.class_of(int(subject.labels[row]))
            yield {"view": name, "item": item, **of, "image_index": row, "x": x, "y": y, "n": len(rows)}


def _ellipses(subject: _Subject) -> Iterator[Row]:
    for axis, share in enumerate(subject.principal.explained):
        yield {"view": "pca_axis", "item": axis, "value": share, "n": len(subject.z)}
    for ellipse in class_ellipses(subject.principal.points, subject.labels):
        if ellipse.label in subject.shown:
            shape = {name: getattr(ellipse, name) for name in ("x", "y", "width", "height", "angle", "n")}
            of = subject.class_of(ellipse.label)
            yield {"view": "ellipse", "item": ellipse.label, **of, **shape, "value": ellipse.area}


def _distances(subject: _Subject) -> Iterator[Row]:
    matrix = subject.distances.tolist()
    position = {label: i for i, label in enumerate(subject.labels.unique().tolist())}
    for row in subject.shown:
        for column in subject.shown:
            of = subject.class_of(row) | subject.other(column)
            value = matrix[position[row]][position[column]]
            yield {"view": "class_distance", "item": row, "rank": column, **of, "value": value}


def _class_images(subject: _Subject) -> Iterator[Row]:
    for found in class_images(subject.z, subject.labels, k=IMAGES_PER_CLASS):
        if found.label in subject.shown:
            for view in ("closest", "farthest", "foreign"):
                ranked: Ranked = getattr(found, view)
                of = {"view": view, "item": found.label, **subject.class_of(found.label), "n": found.n}
                yield from ({**of, "rank": rank, **image} for rank, image in enumerate(subject.ranked(ranked)))


def _neighbours(subject: _Subject, nearest: Neighbours) -> Iterator[Row]:
    """Rank 0 is the query itself."""
    for item, query in enumerate(subject.drawn("queries", QUERIES).tolist()):
        of = {"view": "neighbours", "item": item, **subject.class_of(int(subject.labels[query])), "n": len(subject.z)}
        yield {**of, "rank": 0, **subject.image(query)}
        others = Ranked(nearest.indices[query], nearest.similarities[query])
        yield from ({**of, "rank": rank, **image} for rank, image in enumerate(subject.ranked(others), start=1))


def _spectrum(subject: _Subject) -> Iterator[Row]:
    """Singular values of the uncentred embeddings, as in the effective rank."""
    for item, value in enumerate(singular_values(subject.z).tolist()):
        yield {"view": "spectrum", "item": item, "value": value, "n": len(subject.z)}


def _groups(subject: _Subject, nearest: Neighbours) -> Iterator[Row]:
    """Per class: distances, ellipse areas and what its images' nearest others are."""
    k, labels = nearest.indices.shape[1], subject.labels
    spans = subject.principal.points.amax(dim=0) - subject.principal.points.amin(dim=0)
    plane = float(spans[0] * spans[1])  # study 1 scaled both axes to 0..1 before it drew ellipses
    rates = {n: label_hit_rates(nearest.indices[:, :n], labels, labels).double() for n in (1, k)}
    for row, ellipse in enumerate(class_ellipses(subject.principal.points, labels)):
        others = torch.arange(len(subject.distances)) != row
        of = {**subject.class_of(ellipse.label), "n": ellipse.n}
        yield {**of, "metric": "intra", "value": subject.distances[row, row].item()}
        yield {**of, "metric": "inter", "value": subject.distances[row, others].mean().item()}
        yield {**of, "metric": "ellipse_area", "value": ellipse.area}
        yield {**of, "metric": "ellipse_area_scaled", "value": ellipse.area / plane if plane else math.nan}
        for n, rate in rates.items():
            own = rate[labels == ellipse.label]
            if len(own) > 1:  # nothing could be right for an image alone in its class
                se = own.std().item() / math.sqrt(len(own))
                yield {**of, "metric": "hit_rate", "k": n, "value": own.mean().item(), "se": se}
