"""Labelled images that are still encoded -> one array of pixels on disk, a block in memory at a time."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedding_core.data.readers.decode import fit
from embedding_core.data.readers.sentences import MAX_FAULTS, few
from embedding_core.errors import Faults
from embedding_core.storage import local_cache
from embedding_core.storage.atomic_write import StorageError, whole
from embedding_core.wording import plural

DEFAULT_SIDE = 64
"""Pixels a side where the images of a set differ in size and none was asked for."""

WHY = " is not an image: "
"""Between the name of a row and what is wrong with it."""

BLOCK_BYTES = 2**25
"""Of pixels in memory at a time, about."""

BLOCK_ROWS = 1024

TASKS = 64
"""Parts of a block handed to threads. Handing over a single small image takes as long as decoding it."""


@dataclass(frozen=True, slots=True)
class ImageRows:
    """Images with a class each, decoded one at a time."""

    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    picture: Callable[[int], Image.Image]
    """Image of a row, of mode `L` or `RGB`; a ValueError says why it is none."""

    name: Callable[[int], str]
    """What an error calls a row."""

    where: str
    """What an error calls the whole."""

    faults: tuple[str, ...] = ()
    """Wrong besides the images; told together with those that are broken."""

    def at(self, places: npt.NDArray[np.int64]) -> "ImageRows":
        """Those at `places`, in that order."""
        picture, name = (lambda i: self.picture(int(places[i]))), (lambda i: self.name(int(places[i])))
        return replace(self, labels=self.labels[places], picture=picture, name=name)

    def told(self, broken: Mapping[int, str]) -> tuple[str, ...]:
        """A sentence for each row that is no image. `broken`: row -> why."""
        return tuple(f"{self.name(row)}{WHY}{why}." for row, why in broken.items())


@dataclass(frozen=True, slots=True)
class _Layout:
    """What every image of a set becomes."""

    height: int
    width: int
    channels: int
    fitted: bool
    """Whether images are fitted to the square; otherwise they have this size."""

    def widened(self, image: Image.Image) -> "_Layout":
        """The layout that takes `image` too: colour as soon as one has it, a square as soon as sizes differ."""
        layout = self if image.mode == "L" else replace(self, channels=3)
        if self.fitted or image.size == (self.width, self.height):
            return layout
        return _square(DEFAULT_SIDE, layout.channels)


def _square(side: int, channels: int = 1) -> _Layout:
    return _Layout(side, side, channels, fitted=True)


def write_images(file: Path, rows: ImageRows, *, image_size: int | None) -> tuple[ImageRows, dict[int, str]]:
    """Decode all rows that are images into the `.npy` file uint8 [n, c, h, w].

    Grey only if all are grey. With an `image_size` all are fitted to it; without, images of one size stay as they are,
    and images of several sizes are fitted to `DEFAULT_SIDE`.

    Returns:
        The rows that are there; and why each other is no image.

    Raises:
        Faults: `rows.faults`; a class, or a set, none of whose rows is an image.
        OSError: the file cannot be written.
    """
    layout = _square(image_size) if image_size else _natural(rows)
    broken: dict[int, str] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the interpreter lock
        # Sizes and colours are known for sure only once decoded. Layouts only widen: three passes at most, mostly one.
        while (wider := _fill(file, rows, layout, broken, pool)) != layout:
            layout = wider
        broken = dict(sorted(broken.items()))
        kept = rows.at(np.setdiff1d(np.arange(len(rows.labels)), [*broken])) if broken else rows
        faults = [*rows.faults, *(_emptied(rows, kept) if broken else ())]
        if faults:
            raise Faults([*faults, *listed(rows.told(broken), rows.where)])
        if broken:
            _fill(file, kept, layout, {}, pool)
    return kept, broken


def _emptied(rows: ImageRows, kept: ImageRows) -> list[str]:
    """Classes that lose all of their images: no data set to go on with, whatever is left of the others."""
    if not len(kept.labels):
        return [f"{rows.where}: none of the {plural(len(rows.labels), 'image')} can be read."]
    gone = ~np.isin(rows.labels, kept.labels) & (rows.labels >= 0)
    if not gone.any():
        return []
    lost, sizes = np.unique(rows.labels[gone], return_counts=True)
    names = [rows.class_names[c] if 0 <= c < len(rows.class_names) else str(c) for c in lost]
    counts = [f"{name} ({n})" for name, n in zip(names, sizes, strict=True)]
    more = f" and {len(counts) - MAX_FAULTS} more" if len(counts) > MAX_FAULTS else ""
    return [f"{rows.where}: no image of the class {', '.join(counts[:MAX_FAULTS])}{more} can be read."]


def _natural(rows: ImageRows) -> _Layout:
    """Size of the first image that is one."""
    for row in range(len(rows.labels)):
        try:
            image = rows.picture(row)
        except ValueError:
            continue
        return _Layout(image.height, image.width, len(image.getbands()), fitted=False)
    return _square(1)


def _fill(file: Path, rows: ImageRows, layout: _Layout, broken: dict[int, str], pool: Executor) -> _Layout:
    """Write `file`, or stop at an image that asks for a wider layout, which is returned; `broken`: what is no image."""
    n, shape = len(rows.labels), (layout.channels, layout.height, layout.width)
    block = max(1, min(BLOCK_ROWS, BLOCK_BYTES // math.prod(shape)))
    # Written as a stream: a full disk is an error there, but kills the process that writes through a memory map.
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape)}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, n, block):
            pixels = np.zeros((min(block, n - start), *shape), np.uint8)
            step = max(1, block // TASKS)
            spans = [range(i, min(i + step, len(pixels))) for i in range(0, len(pixels), step)]
            for wider in pool.map(partial(_decode, rows, layout, pixels, start, broken), spans):
                if wider != layout:
                    return wider
            stream.write(pixels.data)
        stream.flush()
        os.fsync(stream.fileno())  # or a power cut could leave black images under a good name
    return layout


def listed(broken: Sequence[str], where: str) -> list[str]:
    """The first of what is broken, and where all are listed if there are more."""
    file = list_file(broken) if len(broken) > MAX_FAULTS else None
    clause = f"; all are listed in {file}" if file else ""
    more = len(broken) - MAX_FAULTS
    wrong = "more row is not an image" if more == 1 else "more rows are not images"
    return few(broken, f"{where}: {more} {wrong}{clause}.")


def list_file(named: Sequence[str]) -> Path | None:
    """A file in this machine's cache with these lines; None where none can be written."""
    text = "\n".join(named) + "\n"
    file = local_cache.cache_dir() / f"broken-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}.txt"
    try:
        with whole(file) as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
    except StorageError:
        return None
    return file


def _decode(
    rows: ImageRows, layout: _Layout, pixels: npt.NDArray[np.uint8], start: int, broken: dict[int, str], span: range
) -> _Layout:
    """Decode rows into the `span` of `pixels`, which begin with row `start`; the layout they need."""
    for i in span:
        try:
            image = rows.picture(start + i)
        except ValueError as error:
            broken[start + i] = str(error)
            continue
        if (wider := layout.widened(image)) != layout:
            return wider
        if layout.fitted:
            image = fit(image, layout.width)
        values = np.asarray(image if layout.channels == 1 else image.convert("RGB"))
        pixels[i] = values if layout.channels == 1 else values.transpose(2, 0, 1)
    return layout
