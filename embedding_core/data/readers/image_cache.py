"""Sets decoded once per machine into memory-mapped files, named by the hash of what they were decoded from."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock
from PIL import Image

from embedding_core.data.readers.image_rows import ImageRows, write_images
from embedding_core.errors import Faults

DECODER_VERSION = 2
"""Part of the cache key: raise it when the same file must decode to other arrays."""

Decoded = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]
"""images [n, c, h, w], labels [n], class names."""


def cache_dir() -> Path:
    """Folder of decoded data sets: $EMBED_CACHE_DIR, else the user's cache folder."""
    named = os.environ.get("EMBED_CACHE_DIR")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "koleo-sweeps"
    return base.expanduser()


def cached(content: str, rows: Callable[[], ImageRows], *, image_size: int | None) -> Decoded:
    """The decoded set, mapped from this machine's cache; `rows` is called only if it is not there.

    Safe under many processes: the first decodes under a lock, the others wait and map the same files.

    Args:
        content: hash of everything that `rows` reads.
        rows: opens the encoded images.
        image_size: pixels a side that all images are fitted to; None: see `write_images`.

    Raises:
        Faults: see `write_images`; or the cache cannot be written.
    """
    key = f"{content} decoder {DECODER_VERSION} pillow {PIL.__version__} size {image_size}"
    folder = cache_dir() / hashlib.sha256(key.encode()).hexdigest()
    decoded = _stored(folder)
    try:
        if decoded is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                decoded = _stored(folder)  # by a process that held the lock before
                if decoded is None:
                    _publish(folder, rows(), image_size)
                    decoded = _stored(folder)
    except OSError as error:
        where = "free some space, or name another folder with EMBED_CACHE_DIR"
        raise Faults(
            [f"The cache of decoded images, {folder.parent}, cannot be written ({error}): {where}."]
        ) from error
    assert decoded is not None, folder
    return decoded


def array_set(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    class_names: tuple[str, ...],
    *,
    image_size: int | None,
) -> Decoded:
    """A set that is decoded already: as it is, or fitted to squares of `image_size` by way of the cache."""
    if image_size is None or images.shape[2:] == (image_size, image_size):
        return images, labels, class_names
    digest = hashlib.sha256(repr((images.shape, class_names)).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(labels.data)

    def picture(row: int) -> Image.Image:
        return Image.fromarray(images[row, 0] if images.shape[1] == 1 else images[row].transpose(1, 2, 0))

    rows = ImageRows(labels, class_names, picture, name=str, where="array")
    return cached(digest.hexdigest(), lambda: rows, image_size=image_size)


def _stored(folder: Path) -> Decoded | None:
    """What `folder` holds; None if that is missing or not whole."""
    try:
        # Copy-on-write maps give torch a writable array without ever touching the file.
        images = np.load(folder / "images.npy", mmap_mode="c")
        labels = np.load(folder / "labels.npy")
        class_names = json.loads((folder / "class_names.json").read_text())
    except (OSError, ValueError, EOFError):
        return None
    whole = images.dtype == np.uint8 and images.ndim == 4 and labels.dtype == np.int64
    if not whole or labels.shape != images.shape[:1] or not isinstance(class_names, list):
        return None
    return images, labels, tuple(class_names)


def _publish(folder: Path, rows: ImageRows, image_size: int | None) -> None:
    """Write beside and rename, so that a killed process leaves no half-written entry under the final name."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed process; the lock is ours
    partial.mkdir()
    try:
        write_images(partial / "images.npy", rows, image_size=image_size)
        np.save(partial / "labels.npy", rows.labels)
        (partial / "class_names.json").write_text(json.dumps(rows.class_names))
        shutil.rmtree(folder, ignore_errors=True)  # there, but not whole
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
