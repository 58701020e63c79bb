"""Parquet files of encoded images in the Hugging Face layout: `image: struct<bytes, path>` and `label: int64`."""

import hashlib
import json
import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from embedding_core.data.readers.decode import decode_image
from embedding_core.data.readers.folders import counted
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import ImageRows
from embedding_core.errors import Faults

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")

SPLIT_NAMES: Final = {"train": ("train", "training"), "test": ("test", "testing", "validation", "valid", "val")}
"""What a split may be called, the best first."""

MAX_CLASSES = 1_000_000
"""Where no class list says how many there are: a label beyond is damage, not a class."""


@dataclass(frozen=True, slots=True)
class ParquetSet:
    """`<folder>/{train,test}.parquet`, or shards such as `<folder>/data/train-00000-of-00002.parquet`.

    Shards may lie in any one folder below, as the hub stores sets (`plain_text`, `default`, ...), or in `<folder>`
    itself. Where there is no test split, `validation` or `valid` is it.
    """

    folder: Path
    unlabelled: bool = False
    """Whether a label may be -1."""

    def files(self, split: str) -> tuple[Path, ...]:
        """Files of a split, in order; none: there is no such split.

        Raises:
            Faults: not the shards 0, 1, ... that the names announce.
        """
        for name in SPLIT_NAMES[split]:
            whole = self.folder / f"{name}.parquet"
            if os.path.lexists(whole):  # a link that leads nowhere is there too: reading it will tell
                return (whole,)
            found = {folder: shards for folder in self._folders() if (shards := _shards(folder, name))}
            if len(found) > 1:
                raise Faults([f"{self.folder} must hold one set, but {', '.join(sorted(f.name for f in found))} each "
                              f"hold shards of the {name} split: name one of them as the data set."])  # fmt: skip
            if found:
                return next(iter(found.values()))
        return ()

    def _folders(self) -> list[Path]:
        """Where shards may lie."""
        try:
            below = [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except OSError:
            below = []
        return [self.folder, *sorted(below)]

    def told(self) -> str:
        """What was taken for what, and what was passed over, in a line.

        Raises:
            Faults: see `decoded`.
        """
        parts: list[str] = []
        over: dict[str, None] = {}
        for split in ("train", "test"):
            if files := self.files(split):
                schema = _schema(files[0])
                chosen = _chosen(files[0], schema)
                where = str(files[0].relative_to(self.folder)) + (
                    f" and {len(files) - 1} more" if len(files) > 1 else ""
                )
                classes = _by_class(files, chosen[1])
                parts.append(
                    f"{sum(map(parquet_rows, files)):,} {split} images of {len(classes):,} classes "
                    f"({counted(classes)}) of {where}, columns {' and '.join(chosen)}"
                )
                over |= dict.fromkeys(f"column {name}" for name in schema.names if name not in chosen)
        return "; ".join([*parts, *([f"passed over: {', '.join(over)}"] if over else [])])

    def found(self) -> bool:
        """Whether there is a file of either split."""
        return bool(self.files("train") or self.files("test"))

    def test_size(self) -> int | None:
        """Rows of the test files, which stay undecoded; None: there are none."""
        files = self.files("test")
        return sum(parquet_rows(file) for file in files) if files else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """See `decode_parquet`."""
        files = self.files(split)
        if not files:
            missing = self.folder / f"{split}.parquet"
            raise Faults([f"Data set `{self.folder.name}` has no {split} split: {missing} does not exist."])
        first = self.files("train") if split == "test" else ()
        return decode_parquet(*files, image_size=image_size, unlabelled=self.unlabelled, after=first)


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
        Faults: not Parquet, wrong columns, labels outside the class list, a class none of whose rows is an image.
    """
    content = hashlib.sha256(repr(unlabelled).encode())
    for file in files:
        try:
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise Faults([f"{file} cannot be read: {error}"]) from error
    before = [name for file in after for name in _names_in(file)] if after and _names_in(files[0]) else []
    if before:
        content.update(repr(sorted(set(before))).encode())
    return cached(content.hexdigest(), lambda: _rows(files, -1 if unlabelled else 0, before), image_size=image_size)


def parquet_rows(file: Path) -> int:
    """Rows of a Parquet file, from its footer alone.

    Raises:
        Faults: not Parquet.
    """
    try:
        rows: int = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error
    return rows


def _shards(folder: Path, split: str) -> tuple[Path, ...]:
    try:
        files = sorted(folder.glob(f"{split}-*.parquet"))
    except OSError as error:
        raise Faults([f"{folder} cannot be listed: {error}"]) from error
    named = [re.fullmatch(rf"{split}-(\d{{5}})-of-(\d{{5}})(-[0-9a-f]+)?\.parquet", file.name) for file in files]
    numbers = [(int(match[1]), int(match[2])) for match in named if match]
    if numbers and numbers != [(i, len(numbers)) for i in range(numbers[0][1])]:
        shown = ", ".join(file.name for file in files)
        raise Faults([f"{folder} must hold every shard of the {split} split once, but holds {shown}."])
    return tuple(file for file, match in zip(files, named, strict=True) if match)


def parquet_schema(file: Path) -> pa.Schema:
    """Columns of a Parquet file, from its footer alone.

    Raises:
        Faults: not Parquet.
    """
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: Exception) -> Faults:
    """What to say of a file that is no Parquet, or damaged."""
    return Faults([f"{file} is not a readable Parquet file (truncated?): {error}"])


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
        faults.append(f"{where}: all shards must have the columns of the first, {_columns(tables[0].schema)}.")
    if not faults and not any(table.num_rows for table in tables):
        faults.append(f"{where} has no rows.")
    if faults:
        raise Faults(faults)
    starts = [0, *accumulate(table.num_rows for table in tables)]
    if _is_text(tables[0].schema.field(1).type):
        names = [name for table in tables for name in table[1].cast(pa.string()).to_pylist()]
        first = sorted(set(before))
        class_names = (*first, *sorted(set(names) - set(first)))
        label_of = {name: label for label, name in enumerate(class_names)}
        labels = np.array([label_of[name] for name in names], np.int64)
    else:
        labels = np.concatenate([table[1].to_numpy() for table in tables]).astype(np.int64)
        class_names = _class_names(files[0], tables[0], labels)
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
        faults = [
            f"{where}: {len(outside)} labels lie outside the {len(class_names)} classes; the first is "
            f"{labels[outside[0]]} in {name(int(outside[0])).removeprefix(f'{where}: ')}. Numbers that are no places "
            "in a list (article numbers, say) are read as names where they are stored as text."
        ]
    return ImageRows(labels, class_names, picture, name, where, tuple(faults))


def _read(file: Path) -> pa.Table:
    """The image column, then the label column."""
    try:
        with pq.ParquetFile(file) as parquet:
            image, label = _chosen(file, parquet.schema_arrow)
            table = parquet.read(columns=[image, label]).select([image, label])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) from error
    if table[1].null_count:
        raise Faults([f"{file}: {table[1].null_count} rows have no label."])
    return table


def _chosen(file: Path, schema: pa.Schema) -> tuple[str, str]:
    """Names of the image column and the label column."""
    faults: list[str] = []
    image: str | None = None
    try:
        image = image_column(file, schema)
    except Faults as error:
        faults += error.faults
    labels = label_columns(schema)
    if len(labels) != 1:
        faults.append(_no_column(file, schema, "label: int64", LABEL_COLUMNS))
    if faults or image is None:
        raise Faults(faults)
    return image, labels[0]


def image_column(file: Path, schema: pa.Schema) -> str:
    """Name of the one column of encoded images.

    Raises:
        Faults: none, or several.
    """
    found = [field.name for field in schema if field.name in IMAGE_COLUMNS and _holds_bytes(field.type)]
    if len(found) != 1:
        raise Faults([_no_column(file, schema, "image: struct<bytes, path>", IMAGE_COLUMNS)])
    name: str = found[0]
    return name


def label_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns of labels."""
    return [field.name for field in schema if field.name in LABEL_COLUMNS and _is_label(field.type)]


def _no_column(file: Path, schema: pa.Schema, column: str, names: tuple[str, ...]) -> str:
    others = " or ".join(f"`{name}`" for name in names[1:])
    return (
        f"{file} must have one column `{column}` (or {others} in its place), but its columns are {_columns(schema)}. "
        "Name the one that is meant so, in the type that it has there."
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_label(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) or _is_text(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    """Text, or a dictionary of it: pandas' categories."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def encoded_images(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Encoded images of an image column; null where it or its bytes are."""
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    return column.cast(pa.large_binary()) if pa.types.is_binary_view(column.type) else column


def _names_in(file: Path) -> list[str]:
    """The labels in a file that are text; none of other labels.

    Raises:
        Faults: see `decode_parquet`.
    """
    schema = _schema(file)
    label = _chosen(file, schema)[1]
    if not _is_text(schema.field(label).type):
        return []
    try:
        found = pq.read_table(file, columns=[label])[label].cast(pa.string())
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error
    return [name for name in pc.unique(found).to_pylist() if name is not None]


def _by_class(files: Sequence[Path], label: str) -> dict[str, int]:
    """Rows by the name of their class."""
    try:
        tables = [pq.read_table(file, columns=[label]) for file in files]
    except (pa.ArrowException, OSError) as error:
        raise unreadable(files[0], error) from error
    found: Counter[Any] = Counter(value for table in tables for value in table[label].to_pylist())
    if _is_text(tables[0][label].type) or not found:
        return {str(name): n for name, n in found.items()}
    names = _class_names(files[0], tables[0], np.array([value or 0 for value in found]))
    return {names[value] if value in range(len(names)) else str(value): n for value, n in found.items()}


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) from error


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


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
