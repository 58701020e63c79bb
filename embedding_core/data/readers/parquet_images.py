"""Parquet files of encoded images in the Hugging Face layout: `image: struct<bytes, path>` and `label: int64`."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from embedding_core.data.readers.decode import decode_image
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import ImageRows
from embedding_core.data.readers.parquet_columns import (
    chosen_columns,
    columns_told,
    encoded_images,
    is_text,
    parquet_schema,
    unreadable,
)
from embedding_core.errors import Faults
from embedding_core.wording import plural

MAX_CLASSES = 1_000_000
"""Where no class list says how many there are: a label beyond is damage, not a class."""


def decode_parquet(
    *files: Path, image_size: int | None = None, unlabelled: bool = False, after: Sequence[Path] = ()
) -> Decoded:
    """Images and labels of Parquet files, by way of this machine's cache.

    The image column may be called `image` or `img`, the label column `label`, `labels` or `fine_label`. Class names
    come from the schema metadata, else they are the numbers; a class listed there may be without images.

    Args:
        files: the shards of one split.
        image_size: pixels a side that all images are fitted to; None: see `write_images`.
        unlabelled: whether a label may be -1.
        after: files of another split, whose labels come first where labels are names (text, or numbers that are no
            places in a list): equal names are one class in both.

    Raises:
        Faults: not Parquet, wrong columns, labels outside the class list or of another kind than those of the other
            split, a class none of whose rows is an image.
    """
    content = hashlib.sha256(repr(unlabelled).encode())
    for file in files:
        try:
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise Faults([f"{file} cannot be read: {error}"]) from error
    before = _names_before(files[0], after) if after else []
    if before:
        content.update(repr(sorted(set(before))).encode())
    return cached(content.hexdigest(), lambda: _rows(files, -1 if unlabelled else 0, before), image_size=image_size)


def _rows(files: tuple[Path, ...], lowest: int, before: Sequence[str] = ()) -> ImageRows:
    tables: list[pa.Table] = []
    faults: list[str] = []
    for file in files:
        try:
            tables.append(_read(file))
        except Faults as error:
            faults += error.faults
    where = str(files[0] if len(files) == 1 else files[0].parent)
    if not faults and any(table.schema != tables[0].schema for table in tables):
        faults.append(f"{where}: all shards must have the columns of the first, {columns_told(tables[0].schema)}.")
    if not faults and not any(table.num_rows for table in tables):
        faults.append(f"{where} has no rows.")
    if faults:
        raise Faults(faults)
    starts = [0, *accumulate(table.num_rows for table in tables)]
    labels, class_names = _labels(files[0], tables, before)
    encoded = [scalar for table in tables for chunk in encoded_images(table[0]).chunks for scalar in chunk]

    def name(row: int) -> str:
        shard = bisect_right(starts, row) - 1
        return f"{files[shard]}: row {row - starts[shard]}"

    def picture(row: int) -> Image.Image:
        if not encoded[row].is_valid:
            raise ValueError("no bytes")
        return decode_image(memoryview(encoded[row].as_buffer()))

    outside = np.flatnonzero((labels < lowest) | (labels >= len(class_names)))
    if len(outside):
        first = int(outside[0])
        remedy = (
            "Numbers that are no places in a list (article numbers, say) are read as names where they are stored as "
            "text."
            if labels[first] >= 0
            else "Leave rows out whose class is not known."
        )
        faults = [
            f"{where}: {plural(len(outside), 'label')} {'lies' if len(outside) == 1 else 'lie'} outside the "
            f"{plural(len(class_names), 'class')}; the first is {labels[first]} "
            f"in {name(first).removeprefix(f'{where}: ')}. {remedy}"
        ]
    return ImageRows(labels, class_names, picture, name, where, tuple(faults))


def _labels(
    file: Path, tables: Sequence[pa.Table], before: Sequence[str]
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Label of each row, and the names of the classes."""
    if not is_text(tables[0].schema.field(1).type):
        labels = np.concatenate([table[1].to_numpy() for table in tables]).astype(np.int64)
        return labels, _class_names(file, tables[0], labels)
    names = [name for table in tables for name in table[1].cast(pa.string()).to_pylist()]
    first = sorted(set(before))
    class_names = (*first, *sorted(set(names) - set(first)))
    label_of = {name: label for label, name in enumerate(class_names)}
    return np.array([label_of[name] for name in names], np.int64), class_names


def _read(file: Path) -> pa.Table:
    """The image column, then the label column."""
    try:
        with pq.ParquetFile(file) as parquet:
            image, label = chosen_columns(file, parquet.schema_arrow)
            table = parquet.read(columns=[image, label]).select([image, label])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) from error
    without = table[1].null_count
    if is_text(table[1].type):
        without += pc.sum(pc.equal(table[1].cast(pa.string()), "")).as_py() or 0
    elif table[1].type == pa.uint64() and (pc.max(table[1]).as_py() or 0) > np.iinfo(np.int64).max:
        raise Faults([f"{file}: labels must fit int64, but the largest is {pc.max(table[1])}."])
    if without:
        raise Faults([f"{file}: {plural(without, 'row')} {'has' if without == 1 else 'have'} no label."])
    return table


def _names_before(file: Path, after: Sequence[Path]) -> list[str]:
    """The labels of another split, where they and those of `file` are text; none of other labels.

    Raises:
        Faults: see `decode_parquet`.
    """
    if not _has_names(after[0]):
        return []
    if not _has_names(file):
        raise Faults([f"Labels of {after[0]} are names, but those of {file} are numbers, and which stands for which is "
                      "not said: store both as names."])  # fmt: skip
    return [name for each in after for name in _names_in(each)]


def _has_names(file: Path) -> bool:
    schema = parquet_schema(file)
    return is_text(schema.field(chosen_columns(file, schema)[1]).type)


def _names_in(file: Path) -> list[str]:
    """The labels in a file, which are text."""
    label = chosen_columns(file, parquet_schema(file))[1]
    try:
        found = pq.read_table(file, columns=[label])[label].cast(pa.string())
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error
    return [name for name in pc.unique(found).to_pylist() if name is not None]


def label_counts(files: Sequence[Path], label: str) -> dict[str, int]:
    """Rows by the name of their class; classes of one name are told apart by their labels.

    Args:
        files: the shards of one split.
        label: name of the column of labels.

    Raises:
        Faults: not Parquet.
    """
    try:
        tables = [pq.read_table(file, columns=[label]) for file in files]
    except (pa.ArrowException, OSError) as error:
        raise unreadable(files[0], error) from error
    found: Counter[Any] = Counter(value for table in tables for value in table[label].to_pylist())
    if is_text(tables[0][label].type) or not found:
        return {str(name): n for name, n in found.items()}
    listed = _class_names(files[0], tables[0], np.array([value or 0 for value in found]))
    names = {value: listed[value] if value in range(len(listed)) else str(value) for value in found}
    often = Counter(names.values())
    return {f"{name} ({value})" if often[name] > 1 else name: found[value] for value, name in names.items()}


def _class_names(file: Path, table: pa.Table, labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """From the schema metadata (`class_names`, or Hugging Face's own), else the numbers."""
    metadata = table.schema.metadata or {}
    names: object
    try:
        if b"class_names" in metadata:
            names = json.loads(metadata[b"class_names"])
        else:
            features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            names = features.get(table.column_names[-1], {}).get("names")
    except (ValueError, AttributeError, RecursionError) as error:
        raise Faults([f"{file}: the class names in its schema metadata cannot be read: {error}."]) from error
    if names is None:
        return tuple(str(i) for i in range(min(int(labels.max()) + 1, MAX_CLASSES)))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Faults([f"{file}: the class names in its schema metadata must be a list of texts."])
    return tuple(names)
