"""Parquet files of encoded images -> uint8 arrays, decoded once per machine into a memory-mapped cache."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from PIL import Image

from embedding_core.faults import Faults

DECODER_VERSION = 1
"""Part of the cache key: raise it when the same file must decode to other arrays."""

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")

MAX_FAULTS = 5
"""Rows named one by one; the rest are counted."""

Decoded = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...]]
"""images [n, c, h, w], labels [n], class names."""


def cache_dir() -> Path:
    """Folder of decoded data sets: $EMBED_CACHE_DIR, else the user's cache folder."""
    named = os.environ.get("EMBED_CACHE_DIR")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "koleo-sweeps"
    return base.expanduser()


def decode_parquet(file: Path) -> Decoded:
    """Images and labels of a Parquet file with columns `image: struct<bytes, path>` and `label: int64`.

    Safe under many processes: the first decodes under a lock, the others wait and map the same file.

    Raises:
        Faults: not Parquet, wrong columns, rows that are no images, sizes that differ, labels outside the class list.
    """
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
    except OSError as error:
        raise Faults([f"{file} cannot be read: {error}"]) from error
    digest.update(f"decoder {DECODER_VERSION}".encode())
    folder = cache_dir() / digest.hexdigest()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                _publish(folder, *_decode(file))
    except OSError as error:
        where = "free some space, or name another folder with EMBED_CACHE_DIR"
        raise Faults(
            [f"The cache of decoded images, {folder.parent}, cannot be written ({error}): {where}."]
        ) from error
    # Copy-on-write maps give torch a writable array without ever touching the file.
    images = np.load(folder / "images.npy", mmap_mode="c")
    labels = np.load(folder / "labels.npy")
    return images, labels, tuple(json.loads((folder / "class_names.json").read_text()))


def parquet_rows(file: Path) -> int:
    """Rows of a Parquet file, from its footer alone.

    Raises:
        Faults: not Parquet.
    """
    try:
        rows: int = pq.read_metadata(file).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error
    return rows


def _unreadable(file: Path, error: Exception) -> Faults:
    return Faults([f"{file} is not a readable Parquet file (truncated?): {error}"])


def _publish(folder: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], names: Iterable[str]) -> None:
    """Write beside and rename, so that a killed process leaves no half-written entry under the final name."""
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix="staging-"))
    try:
        np.save(staging / "images.npy", images)
        np.save(staging / "labels.npy", labels)
        (staging / "class_names.json").write_text(json.dumps(list(names)))
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone after the rename, half-written after a full disk


def _decode(file: Path) -> Decoded:
    table = _read(file)
    labels = table["label"].to_numpy().astype(np.int64)
    class_names = _class_names(table.schema, labels)
    faults = _label_faults(file, labels, class_names)
    encoded = table["image"].combine_chunks().field("bytes")
    with ThreadPoolExecutor() as pool:  # Pillow decodes without holding the interpreter lock
        images = list(pool.map(_decode_one, (scalar.as_buffer() for scalar in encoded)))
    broken = ((row, image) for row, image in enumerate(images) if isinstance(image, str))
    count = sum(isinstance(image, str) for image in images)
    faults += [f"{file}: row {row} is not an image: {why}." for row, why in islice(broken, MAX_FAULTS)]
    if count > MAX_FAULTS:
        faults.append(f"{file}: {count - MAX_FAULTS} more rows are not images.")
    if faults:
        raise Faults(faults)
    return _stack(file, [image for image in images if not isinstance(image, str)]), labels, class_names


def _read(file: Path) -> pa.Table:
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error
    faults = []
    image = table.schema.field("image").type if "image" in table.column_names else None
    if image is None or not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        faults.append(f"{file} must have a column `image: struct<bytes, path>`, but its columns are {_columns(table)}.")
    if "label" not in table.column_names or not pa.types.is_integer(table.schema.field("label").type):
        faults.append(f"{file} must have a column `label: int64`, but its columns are {_columns(table)}.")
    elif table["label"].null_count:
        faults.append(f"{file}: {table['label'].null_count} rows have no label.")
    if not table.num_rows:
        faults.append(f"{file} has no rows.")
    if faults:
        raise Faults(faults)
    return table


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in table.schema)


def _class_names(schema: pa.Schema, labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """From the schema metadata (`class_names`, or Hugging Face's own), else the numbers."""
    metadata = schema.metadata or {}
    if b"class_names" in metadata:
        return tuple(json.loads(metadata[b"class_names"]))
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = features.get("label", {}).get("names")
    return tuple(names) if names else tuple(str(i) for i in range(int(labels.max()) + 1))


def _label_faults(file: Path, labels: npt.NDArray[np.int64], class_names: tuple[str, ...]) -> list[str]:
    outside = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if not len(outside):
        return []
    row = outside[0]
    return [
        f"{file}: {len(outside)} labels lie outside the {len(class_names)} classes; the first is {labels[row]} "
        f"in row {row}."
    ]


def _decode_one(encoded: pa.Buffer | None) -> npt.NDArray[np.uint8] | str:
    """[h, w, 3] or, for 8-bit grey, [h, w]; a sentence where that fails."""
    if encoded is None:
        return "no bytes"
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return np.asarray(eight_bit(image) if image.mode == "L" else eight_bit(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error)


def eight_bit(image: Image.Image) -> Image.Image:
    """`image`, unless conversion to 8 bits would clip it: Pillow turns a 16-bit image almost wholly white.

    Raises:
        ValueError: more than 8 bits a channel.
    """
    if image.mode not in EIGHT_BIT_MODES:
        raise ValueError(f"its mode {image.mode} has more than 8 bits a channel")
    return image


def _stack(file: Path, images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """[n, c, h, w]; grey only if all are."""
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        shown = ", ".join(f"{h}x{w}" for h, w in sorted(sizes)[:MAX_FAULTS])
        raise Faults([f"{file}: all images must have one size, but there are {len(sizes)}: {shown}, ..."])
    if all(image.ndim == 2 for image in images):
        return np.stack(images)[:, None]
    colour = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
    return np.ascontiguousarray(np.stack(colour).transpose(0, 3, 1, 2))
