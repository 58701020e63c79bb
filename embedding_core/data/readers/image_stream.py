"""Encoded images one after another, from files or Parquet: no more of them is in memory than is looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from embedding_core.data.readers.decode import SUFFIXES, decode_image
from embedding_core.data.readers.folders import picture_of
from embedding_core.data.readers.listing import images_below
from embedding_core.data.readers.parquet_columns import (
    encoded_images,
    image_column,
    label_columns,
    parquet_rows,
    parquet_schema,
    unreadable,
)
from embedding_core.errors import Faults

ROWS = 16
"""Of a Parquet file, read at a time: photographs are megabytes each."""

BUFFER_BYTES = 2**20
"""Of a column, read ahead; Arrow would otherwise hold a whole row group."""


@dataclass(frozen=True, slots=True)
class StreamedImage:
    """An image that is decoded when it is asked for."""

    path: str
    """Of its file, or `FILE#ROW` in Parquet."""
    label: int | None
    """None where there is none."""
    picture: Callable[[], Image.Image]
    """Upright, of mode `L` or `RGB`; a ValueError says why it is none."""


@dataclass(frozen=True, slots=True)
class ImageStream:
    """Images of one place, in an order that stays the same."""

    files: tuple[Path, ...]

    @classmethod
    def of(cls, source: Path) -> "ImageStream":
        """Of an image, a Parquet file, or a folder: the images in it (see `images_below`), or else its Parquet files.

        Parquet files have a column of images in the Hugging Face layout, and perhaps one of labels.

        Raises:
            Faults: nothing there, Parquet files that cannot be read or have no such column, or no rows.
        """
        if not source.is_dir():
            files = [source]
        else:
            files = images_below(source)
            files = files or sorted(file for file in source.rglob("*.parquet") if not file.name.startswith("."))
        faults = [] if files else [f"{source} holds no images ({', '.join(SUFFIXES)}) and no Parquet files."]
        for file in files:
            if file.suffix == ".parquet":
                try:
                    image_column(file, parquet_schema(file))
                except Faults as error:
                    faults += error.faults
        if faults:
            raise Faults(faults)
        stream = cls(tuple(files))
        if not len(stream):
            raise Faults([f"{source} has no rows."])
        return stream

    def __len__(self) -> int:
        return sum(parquet_rows(file) if file.suffix == ".parquet" else 1 for file in self.files)

    def __iter__(self) -> Iterator[StreamedImage]:
        for file in self.files:
            if file.suffix == ".parquet":
                yield from _rows_of(file)
            else:
                yield StreamedImage(str(file), None, partial(picture_of, file))


def _rows_of(file: Path) -> Iterator[StreamedImage]:
    schema = parquet_schema(file)
    columns = [image_column(file, schema)]
    labels = [name for name in label_columns(schema) if pa.types.is_integer(schema.field(name).type)][:1]
    row = 0
    try:
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as parquet:
            for batch in parquet.iter_batches(ROWS, columns=[*columns, *labels], use_threads=False):
                numbers = batch[labels[0]].to_pylist() if labels else [None] * len(batch)
                for encoded, label in zip(encoded_images(batch[columns[0]]), numbers, strict=True):
                    yield StreamedImage(f"{file}#{row}", label, partial(_of_row, encoded))
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error


def _of_row(encoded: pa.Scalar) -> Image.Image:
    if not encoded.is_valid:
        raise ValueError("no bytes")
    return decode_image(memoryview(encoded.as_buffer()))
