"""Files to one Arrow table: the published files of a table and stage, or a snapshot and the files newer than it."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedding_core.errors import Faults
from sweeps.results import files
from sweeps.results.rows import schema_of
from sweeps.results.schema import KEYS, is_plugin_column

SEQ: Final = "_seq"
"""Column that carries a row's file number, which settles duplicates within an attempt."""

_COVERS: Final = b"covers"
"""Metadata key of a snapshot: JSON list of the file names whose rows it holds."""


def read_file(path: Path, columns: Sequence[str] | None, table: str) -> pa.Table:
    """The file's rows, those of `columns` that it has; None: all of the table's, and fields of plug-ins.

    Raises:
        Faults: the file is not whole; names it.
    """
    try:
        with pq.ParquetFile(path) as file:
            # Columns it does not have are left out.
            return file.read(_asked(columns, table, file.schema_arrow.names), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise Faults([f"`{path}` is damaged: move it away to read the rest without its rows ({error})."]) from error


def _asked(columns: Sequence[str] | None, table: str, there: Sequence[str]) -> list[str]:
    if columns is not None:
        return list(columns)
    known = schema_of(table).names
    return [*known, *(name for name in there if is_plugin_column(name) and name not in known)]


def scan(results_dir: Path, table: str, stage: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, list[str]]:
    """Every row published, duplicates included, and the names of the files they are from.

    Rows have `columns` (None: as for `read_file`) and `SEQ` and are sorted by key, attempt, file and place in the file:
    of two rows with the same key the later one counts.

    Raises:
        Faults: a damaged file, or rows of what cannot be a trial; names it.
    """
    # The snapshot before the list of files: a file published in between is then read on its own.
    old, covered = _read_snapshot(files.snapshot_path(results_dir, table, stage), table, columns)
    fresh = [part for part in files.parts(results_dir, table, stage) if part.file_name not in covered]
    folder = files.stage_dir(results_dir, table, stage)
    with ThreadPoolExecutor() as pool:
        new = list(pool.map(lambda part: read_file(folder / part.file_name, columns, table), fresh))
    seq = np.repeat(np.array([part.seq for part in fresh], dtype=np.int64), [rows.num_rows for rows in new])
    # First the empty table, whose columns and metadata are those of this code; a column an older file lacks is null.
    rows = pa.concat_tables([_no_rows(table, columns), *new], promote_options="default").append_column(SEQ, [seq])
    if old is not None:
        rows = pa.concat_tables([rows, old], promote_options="default")
    files.check_ids(pc.unique(rows["trial_id"]).to_pylist(), f"`{folder}`")
    # A stable sort: rows of one file keep their order.
    order = [(name, "ascending") for name in (*KEYS[table], "attempt", SEQ)]
    return rows.combine_chunks().sort_by(order), sorted(covered | {part.file_name for part in fresh})


def compact(results_dir: Path | str) -> list[Path]:
    """Write a snapshot of each table and stage that grew, so that a large sweep reads fast; return the paths.

    Published files stay as they are, and `store.read` returns the same with a snapshot or without. A snapshot may be
    deleted at any time.

    Raises:
        Faults: no sweep there, or a damaged file.
        OSError: e.g. disk full; names the file, and the older snapshot still serves.
    """
    results_dir = Path(results_dir)
    files.check_sweep(results_dir)
    written = []
    for table in KEYS:
        for folder in sorted(files.table_dir(results_dir, table).glob("stage=*/")):
            stage = folder.name.removeprefix("stage=")
            path = files.snapshot_path(results_dir, table, stage)
            schema = schema_of(table)
            _, covered = _read_snapshot(path, table, ())
            rows, names = scan(results_dir, table, stage)
            if set(names) == covered:
                continue
            metadata = {**schema.metadata, _COVERS: json.dumps(names).encode()}
            files.publish_over(results_dir, path, files.parquet(rows.replace_schema_metadata(metadata)))
            written.append(path)
    return written


def _read_snapshot(path: Path, table: str, columns: Sequence[str] | None) -> tuple[pa.Table | None, set[str]]:
    """Rows of the snapshot and the files they cover; None and {} without a snapshot that can serve."""
    if not path.exists():
        return None, set()
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            # Code older than a column may have covered files that have it: then the files must be read again.
            if not set(schema_of(table).names) <= set(schema.names):
                return None, set()
            return file.read([*_asked(columns, table, schema.names), SEQ]), set(json.loads(schema.metadata[_COVERS]))
    except (pa.ArrowException, OSError) as error:
        raise Faults([f"`{path}` is damaged: delete it, nothing is lost with a snapshot ({error})."]) from error


def _no_rows(table: str, columns: Sequence[str] | None) -> pa.Table:
    schema = schema_of(table)
    return pa.schema([schema.field(name) for name in columns or schema.names], metadata=schema.metadata).empty_table()
