"""Dicts to a typed Arrow table: the one place where values meet the schema."""

import datetime
import math
import numbers
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from embedding_core.config.plugin_fields import plugin_fields
from embedding_core.errors import Faults, unknown
from embedding_core.storage.result_tables import Row
from sweeps.results.endings import END_REASONS
from sweeps.results.schema import KEYS, SCHEMA_VERSION, TABLES, is_plugin_column, plugin_columns

VERSION_KEY: Final = b"schema_version"

_MAY_BE_NULL: Final = ("k",)
"""Key columns that some rows do not have; two rows without one are the same row."""

_MISFITS: Final = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What `pa.array` raises for a value that is not of the type."""


def schema_of(table: str) -> pa.Schema:
    """Columns of `table` as they are stored, schema version in the metadata.

    Of `trials` also the fields of the plug-ins in use; files keep them whoever reads.

    Raises:
        Faults: unknown table, with the nearest known one.
    """
    if table not in TABLES:
        raise Faults([unknown("table", table, TABLES)])
    own = plugin_columns(plugin_fields()) if table == "trials" else []
    return pa.schema([*TABLES[table], *own], metadata={VERSION_KEY: str(SCHEMA_VERSION)})


def cast(table: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as the explicit schema of `table`, in the order given.

    Absent columns become null. NaN and infinities become null, because engines disagree on them; where the table has
    `is_finite` the row's flag is then False. A flag given as False stays False.

    Raises:
        Faults: unknown table or columns (with the nearest known one), values that are not of the column's type, an
            unknown `end_reason`, a row without its key. All at once.
    """
    schema = schema_of(table)
    given = {name for row in rows for name in row}
    faults = [unknown(f"column of `{table}`", name, schema.names) for name in sorted(given - set(schema.names))]
    finite = [_finite(row, flagged="is_finite" in schema.names) for row in rows]
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in finite]
        if is_plugin_column(field.name):
            values = [float(value) if isinstance(value, bool) else value for value in values]
        faults += _domain_faults(table, field.name, values)
        try:
            columns.append(_column(field.type, values))
        except _MISFITS:
            faults.append(f"`{table}.{field.name}` must be {field.type}, but got {_misfit(field.type, values)!r}.")
    if faults:
        raise Faults(faults)
    return pa.Table.from_arrays(columns, schema=schema)


def _finite(row: Row, *, flagged: bool) -> dict[str, Any]:
    """The row with non-finite numbers as None, and its flag."""
    bad = {name for name, value in row.items() if _is_not_finite(value)}
    cleaned = {name: None if name in bad else value for name, value in row.items()}
    if flagged and (bad or row.get("is_finite") is None):
        cleaned["is_finite"] = not bad
    return cleaned


def _is_not_finite(value: object) -> bool:
    is_float = isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral)
    return is_float and not math.isfinite(value)  # type: ignore[arg-type]


def _column(type_: pa.DataType, values: list[Any]) -> pa.Array:
    """Stricter than Arrow, which takes 1.5 for 1, True for 1, 1 for a microsecond after 1970, a local time for UTC."""
    given = [value for value in values if value is not None]
    fits = pa.types.is_boolean(type_) or not any(isinstance(value, bool) for value in given)
    if pa.types.is_integer(type_):
        fits = fits and all(int(value) == value for value in given)
    if pa.types.is_timestamp(type_):
        fits = fits and all(isinstance(value, datetime.datetime) and value.tzinfo for value in given)
    if not fits:
        raise TypeError(type_)
    return pa.array(values, type_)


def _misfit(type_: pa.DataType, values: list[Any]) -> object:
    """The first value that the column cannot hold."""
    for value in values:
        try:
            _column(type_, [value])
        except _MISFITS:
            return value
    raise AssertionError("each value fits, but not all of them")


def _domain_faults(table: str, column: str, values: list[Any]) -> list[str]:
    if column == "end_reason":
        return [unknown(column, str(v), END_REASONS) for v in values if v is not None and v not in END_REASONS]
    needed = column in KEYS.get(table, ()) and column not in _MAY_BE_NULL
    return [f"Each row of `{table}` needs `{column}`."] if needed and None in values else []
