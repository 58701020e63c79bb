"""Which images stand for a class, found in embedding space, and how they are kept: the closest, farthest, foreign."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from embedding_core.metrics.distances import at_least_float32

THUMBNAIL = 48
"""Longest side of a thumbnail in pixels."""


class Ranked(NamedTuple):
    """Images in an order, with the cosine it rests on."""

    indices: Int[Tensor, " k"]
    similarities: Float[Tensor, " k"]


class ClassExemplars(NamedTuple):
    """Images by their cosine to the mean direction of one class."""

    label: int
    n: int
    """Images of the class."""
    closest: Ranked
    """Of the class, nearest first."""
    farthest: Ranked
    """Of the class, farthest first."""
    foreign: Ranked
    """Of other classes, nearest first."""


def class_exemplars(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, k: int, classes: Sequence[int] | None = None
) -> list[ClassExemplars]:
    """The k closest, farthest and foreign images of each class, by ascending label; fewer where there are fewer.

    The mean direction is that of the sum of the class's unit embeddings. Equal similarities are ordered by index. For
    each class all images are ranked.

    Args:
        z: embeddings of any length.
        labels: class per row.
        k: >= 1.
        classes: labels wanted, in that order; None: all there are.

    Source: study 2, which looked for them in the UMAP plane instead.
    """
    unit = F.normalize(at_least_float32(z), dim=1)
    found = []
    for label in labels.unique().tolist() if classes is None else classes:
        own = labels == label
        similarity = unit @ F.normalize(unit[own].sum(dim=0), dim=0)
        falling, rising = similarity.argsort(descending=True, stable=True), similarity.argsort(stable=True)
        orders = falling[own[falling]], rising[own[rising]], falling[~own[falling]]
        closest, farthest, foreign = (Ranked(order[:k], similarity[order[:k]]) for order in orders)
        found.append(ClassExemplars(label, int(own.sum()), closest, farthest, foreign))
    return found


def thumbnail(image: UInt8[Tensor, "c h w"]) -> bytes:
    """PNG of a grey or colour image, made smaller where a side exceeds `THUMBNAIL`."""
    array = image.cpu().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[:, :, 0] if len(image) == 1 else array)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
