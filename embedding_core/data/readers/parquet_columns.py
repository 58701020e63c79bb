"""Which columns of a Parquet file are its images and its labels, and what kinds of columns may be."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedding_core.errors import Faults

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


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


def chosen_columns(file: Path, schema: pa.Schema) -> tuple[str, str]:
    """Names of the image column and the label column.

    Raises:
        Faults: none of one kind, or several.
    """
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


def columns_told(schema: pa.Schema) -> str:
    """Columns with their types, as errors list them."""
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _no_column(file: Path, schema: pa.Schema, column: str, names: tuple[str, ...]) -> str:
    others = " or ".join(f"`{name}`" for name in names[1:])
    return (
        f"{file} must have one column `{column}` (or {others} in its place), but its columns are "
        f"{columns_told(schema)}. Name the one that is meant so, in the type that it has there."
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_label(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) or is_text(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def is_text(kind: pa.DataType) -> bool:
    """Text, or a dictionary of it: pandas' categories."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def encoded_images(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Encoded images of an image column; null where it or its bytes are."""
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    return column.cast(pa.large_binary()) if pa.types.is_binary_view(column.type) else column
