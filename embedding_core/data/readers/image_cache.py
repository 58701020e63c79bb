"""Sets decoded once per machine into memory-mapped files, named by the hash of what they were decoded from."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from embedding_core.data.readers.image_rows import ImageRows, write_images
from embedding_core.storage import local_cache

DECODER_VERSION = 2
"""Part of the cache key: raise it when the same file must decode to other arrays."""

BROKEN = "broken.json"
"""Where an entry has the rows that are no images, each with the reason; absent where all are."""


class Decoded(NamedTuple):
    """Images of one size with a class each."""

    images: npt.NDArray[np.uint8]
    """[n, c, h, w]"""
    labels: npt.NDArray[np.int64]
    """[n]"""
    class_names: tuple[str, ...]
    broken: tuple[str, ...] = ()
    """A sentence for each row that is no image, and is left out: whoever reads must refuse them, or tell."""


def cached(content: str, rows: Callable[[], ImageRows], *, image_size: int | None) -> Decoded:
    """The decoded set, mapped from this machine's cache; `rows` is called only if it is not there.

    Args:
        content: hash of everything that `rows` reads.
        rows: opens the encoded images.
        image_size: pixels a side that all images are fitted to; None: see `write_images`.

    Raises:
        Faults: see `write_images`; or the cache cannot be written.
    """
    key = f"{content} decoder {DECODER_VERSION} pillow {PIL.__version__} size {image_size}"
    found, broken = local_cache.entry(key, read=_stored, write=lambda folder: _write(folder, rows(), image_size))
    # The same content may lie elsewhere by now, so rows have their names from today's files.
    return found._replace(broken=rows().told(broken)) if broken else found


def array_set(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    class_names: tuple[str, ...],
    *,
    image_size: int | None,
) -> Decoded:
    """A set that is decoded already: as it is, or fitted to squares of `image_size` by way of the cache."""
    if image_size is None or images.shape[2:] == (image_size, image_size):
        return Decoded(images, labels, class_names)
    digest = hashlib.sha256(repr((images.shape, class_names)).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)

    def picture(row: int) -> Image.Image:
        return Image.fromarray(images[row, 0] if images.shape[1] == 1 else images[row].transpose(1, 2, 0))

    rows = ImageRows(labels, class_names, picture, name=str, where="array")
    return cached(digest.hexdigest(), lambda: rows, image_size=image_size)


def _stored(folder: Path) -> tuple[Decoded, dict[int, str]] | None:
    """What `folder` holds, and why other rows are no images; None if that is missing or not whole."""
    try:
        # Copy-on-write maps give torch a writable array without ever touching the file.
        images = np.load(folder / "images.npy", mmap_mode="c")
        labels = np.load(folder / "labels.npy")
        class_names = json.loads((folder / "class_names.json").read_text())
        broken = dict(json.loads((folder / BROKEN).read_text()) if (folder / BROKEN).exists() else ())
    except (OSError, ValueError, EOFError):
        return None
    whole = images.dtype == np.uint8 and images.ndim == 4 and labels.dtype == np.int64
    if not whole or labels.shape != images.shape[:1] or not isinstance(class_names, list):
        return None
    return Decoded(images, labels, tuple(class_names)), broken


def _write(folder: Path, rows: ImageRows, image_size: int | None) -> None:
    kept, broken = write_images(folder / "images.npy", rows, image_size=image_size)
    np.save(folder / "labels.npy", kept.labels)
    (folder / "class_names.json").write_text(json.dumps(rows.class_names))
    if broken:
        (folder / BROKEN).write_text(json.dumps([*broken.items()]))
