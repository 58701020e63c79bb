"""Views of embeddings, computed where the model is: rows of the store, which the figures are drawn from."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.data.image_sets import ImageSet
from embedding_core.metrics.class_spread import class_spread
from embedding_core.metrics.distances import at_least_float32, class_distances
from embedding_core.metrics.embedding_statistics import singular_values
from embedding_core.metrics.neighbours import Neighbours, top_k_neighbours
from embedding_core.metrics.retrieval import label_hit_rates
from embedding_core.storage.result_tables import Row
from embedding_core.transforms.colour import grey_copies
from embedding_core.views.exemplars import Ranked, class_exemplars, thumbnail
from embedding_core.views.optional_rows import OptionalRows
from embedding_core.views.projections import Principal, class_ellipses, pca
from embedding_core.views.sampling import images_shown, shown_classes, shown_queries
from embedding_core.views.scatter import ellipse_rows, point_rows

IMAGES_PER_CLASS = 5
"""Closest, farthest and foreign images of each class."""

SHOWN_NEIGHBOURS = 5
"""Nearest others of an image (study 4 looked at five)."""

DISTANCE_VIEWS = {"class_distance": "cosine", "class_distance_l2": "l2", "class_distance_angular": "angular"}
"""Distance of each view of the pairs of classes."""


class ViewTables(NamedTuple):
    """Rows by table of the store, without the ids of the trial."""

    views: list[Row]
    eval_groups: list[Row]
    embeddings: list[Row]


def compute_views(
    z: Float[Tensor, "n d"],
    images: ImageSet,
    *,
    split: str,
    seed: int,
    projections: Sequence[str] = ("pca",),
    grey_z: Float[Tensor, "q d"] | None = None,
    optional: OptionalRows | None = None,
) -> ViewTables:
    """The views of one split as rows.

    `image_index` is the place in `images`. A seed picks the same images whatever the embeddings are, so that arms can
    be laid side by side.

    Args:
        z: embeddings of `images` in evaluation mode, all finite.
        images: the images of the split, at least two.
        split: its name, `test` or `unseen`.
        seed: of the points and queries that are shown, and of the projections.
        projections: some of PROJECTIONS. Distances, ellipses, sheets and spectrum are always there.
        grey_z: embeddings of the grey copies of `shown_queries`, for the neighbours they find; None: no such sheet.
        optional: is told of views that fail, which are left out; the log is in any case.

    Raises:
        ValueError: not one finite embedding for each of two or more images, or an unknown projection.
    """
    z = at_least_float32(z.detach().cpu())
    finite = int(z.isfinite().all(dim=1).sum())
    if not 2 <= finite == len(z) == len(images.labels):
        counts = f"{len(images.labels)} images and {len(z)} embeddings, {finite} of them finite"
        raise ValueError(f"Views need two images or more and a finite embedding for each, but got {counts}.")
    subject, optional = _Subject(z, images, seed, pca(z)), optional or OptionalRows()
    nearest = top_k_neighbours(z, z, k=min(SHOWN_NEIGHBOURS, len(z) - 1), exclude_self=True)
    principal, name_of = subject.principal, images.name_of
    points = point_rows(
        z, images.labels, principal, split=split, seed=seed, projections=projections, name_of=name_of, optional=optional
    )
    others: dict[str, Callable[[], Iterable[Row]]] = {
        "ellipses": lambda: ellipse_rows(images.labels, principal, name_of=name_of),
        "distances": lambda: _distances(subject),
        "exemplars": lambda: _exemplars(subject),
        "neighbours": lambda: _neighbours(subject, nearest),
        "neighbours of grey copies": lambda: _grey_neighbours(subject, grey_z) if grey_z is not None else (),
        "spectrum": lambda: _spectrum(subject),
    }
    views = [*points, *(row for what, make in others.items() for row in optional.of(f"{what} ({split})", make))]
    groups = optional.of(f"groups ({split})", lambda: _groups(subject, nearest))
    common = {"split": split}
    return ViewTables(
        views=[{**common, "seed": seed, "rank": 0, **row} for row in views],
        eval_groups=[{**common, **row} for row in groups],
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

    @property
    def labels(self) -> Int[Tensor, " n"]:
        return self.images.labels

    @cached_property
    def shown(self) -> list[int]:
        return shown_classes(self.labels)

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


def _distances(subject: _Subject) -> Iterator[Row]:
    own = images_shown(subject.labels)
    for view, metric in DISTANCE_VIEWS.items():
        matrix = class_distances(subject.z[own], subject.labels[own], metric=metric).tolist()
        for row, of_row in zip(subject.shown, matrix, strict=True):
            for column, value in zip(subject.shown, of_row, strict=True):
                of = {**subject.class_of(row), **subject.other(column)}
                yield {"view": view, "item": row, "rank": column, **of, "value": value}


def _exemplars(subject: _Subject) -> Iterator[Row]:
    for found in class_exemplars(subject.z, subject.labels, k=IMAGES_PER_CLASS, classes=subject.shown):
        for view in ("closest", "farthest", "foreign"):
            ranked: Ranked = getattr(found, view)
            of = {"view": view, "item": found.label, **subject.class_of(found.label), "n": found.n}
            yield from ({**of, "rank": rank, **image} for rank, image in enumerate(subject.ranked(ranked)))


def _neighbours(subject: _Subject, nearest: Neighbours) -> Iterator[Row]:
    """Rank 0 is the query itself."""
    for item, query in enumerate(shown_queries(subject.labels, seed=subject.seed).tolist()):
        others = Ranked(nearest.indices[query], nearest.similarities[query])
        yield from _sheet(subject, "neighbours", item, subject.image(query), others)


def _grey_neighbours(subject: _Subject, grey_z: Tensor) -> Iterator[Row]:
    """As `_neighbours`; the query is grey, the others are in colour."""
    rows = shown_queries(subject.labels, seed=subject.seed)
    nearest = top_k_neighbours(
        at_least_float32(grey_z.detach().cpu()), subject.z, k=min(SHOWN_NEIGHBOURS, len(subject.z) - 1), own=rows
    )
    grey = grey_copies(subject.images.images[rows])
    for item, query in enumerate(rows.tolist()):
        shown = {**subject.image(query), "thumbnail": thumbnail(grey[item])}
        others = Ranked(nearest.indices[item], nearest.similarities[item])
        yield from _sheet(subject, "neighbours_grey", item, shown, others)


def _sheet(subject: _Subject, view: str, item: int, query: Row, others: Ranked) -> Iterator[Row]:
    of = {"view": view, "item": item, **subject.class_of(query["other_class_id"]), "n": len(subject.z)}
    yield {**of, "rank": 0, **query}
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
    spread = [values.tolist() for values in class_spread(subject.z, labels)]
    of_class = by_class(labels, torch.arange(len(labels))).each()
    ellipses = class_ellipses(subject.principal.points, labels)
    for ellipse, images, intra, inter in zip(ellipses, of_class, *spread, strict=True):
        of = {**subject.class_of(ellipse.label), "n": ellipse.n}
        yield {**of, "metric": "intra", "value": intra}
        yield {**of, "metric": "inter", "value": inter}
        yield {**of, "metric": "ellipse_area", "value": ellipse.area}
        yield {**of, "metric": "ellipse_area_scaled", "value": ellipse.area / plane if plane else math.nan}
        for n, rate in rates.items():
            own = rate[images]
            if len(own) > 1:  # nothing could be right for an image alone in its class
                se = own.std().item() / math.sqrt(len(own))
                yield {**of, "metric": "hit_rate", "k": n, "value": own.mean().item(), "se": se}
