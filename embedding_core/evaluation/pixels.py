"""What raw pixels are worth, beside embeddings: it follows from the images alone, so a machine measures it once."""

from jaxtyping import Int64
from torch import Tensor

from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.image_sets import ImageSet
from embedding_core.data.image_subset import ImageSubset
from embedding_core.evaluation import rows
from embedding_core.evaluation.classifiers import drawn_for_pixels, raw_pixels
from embedding_core.metrics.verification import verification_by_class
from embedding_core.storage.local_cache import remembered
from embedding_core.storage.result_tables import Row

VERSION = 1
"""Part of the cache key: raise it when the same images must give other numbers."""


def ranked(part: ImageSet) -> list[Row]:
    """Verification, retrieval and leave-one-out classification by pixels."""

    def compute() -> list[Row]:
        pixels = raw_pixels(part.images)
        return rows.ranking(pixels, part.labels, verification_by_class(pixels, part.labels))

    return rows.of_pixels(remembered(f"ranked pixels {VERSION} {part.sha256}", compute))


def classified(train: ImageSubset, test: ImageSet, *, seed: int) -> list[Row]:
    """The test images classified by what is fitted to the pixels of training images, or of a draw of them."""
    values = raw_pixels(test.images[:1]).shape[1]
    kept: Int64[Tensor, " m"] = drawn_for_pixels(len(train.labels), values, seed=seed)
    images, labels = train.images(kept).cpu(), train.labels[kept]

    def compute() -> list[Row]:
        return rows.classified(raw_pixels(images), labels, raw_pixels(test.images), test.labels)

    key = f"classified pixels {VERSION} {tensors_sha256(images, labels)} {test.sha256}"
    return rows.of_pixels(remembered(key, compute))
