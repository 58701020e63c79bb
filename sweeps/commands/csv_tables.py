"""The tables of a sweep as CSV files."""

import base64
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.types as kinds

from sweeps.results import store
from sweeps.results.schema import TABLES


def write_tables(results_dir: Path, out: Path) -> dict[str, int]:
    """Write each table of the store as `out/TABLE.csv`: the latest attempt of each row, a header alone without any.

    What has no value is an empty cell. Lists are JSON, images are base64.

    Args:
        results_dir: folder of the sweep.
        out: existing folder.

    Returns:
        Rows by table.

    Raises:
        Faults: as `store.read` does.
        OSError: e.g. disk full.
    """
    counts = {}
    for name in TABLES:
        table = store.read(results_dir, name)
        pa_csv.write_csv(_flat(table), out / f"{name}.csv")
        counts[name] = table.num_rows
    return counts


def _flat(table: pa.Table) -> pa.Table:
    """With texts in place of what CSV has no notation for."""
    columns = [_texts(column) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if kinds.is_list(column.type):
        return pa.array((None if value is None else json.dumps(value) for value in column.to_pylist()), pa.string())
    if kinds.is_binary(column.type):
        images = column.to_pylist()
        return pa.array((None if png is None else base64.b64encode(png).decode() for png in images), pa.string())
    return column
