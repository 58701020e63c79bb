"""Snapshots: rows of many published files in one, so that a large sweep reads fast. What is published stays as it is.

    <results>/<name>/compact/<table>/stage=<stage>.parquet              what `scan.compact` leaves of a finished sweep
    <results>/<name>/compact/<table>/stage=<stage>.<number>.parquet     added while it runs

Each names the files that it covers, so a reader takes its rows for theirs, and those of no file twice: a snapshot that
covers what another has covered is passed over, and what no snapshot covers is read from the files. That holds whatever
is written, replaced, deleted or left half done meanwhile.
"""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from embedding_core.errors import Faults
from sweeps.results import files
from sweeps.results.rows import schema_of
from sweeps.results.schema import is_plugin_column

SEQ: Final = "_seq"
"""Column that carries the number of a row's file, which settles duplicates within an attempt."""

_COVERS: Final = b"covers"
"""Metadata key of a snapshot: JSON list of the file names whose rows it holds."""


def whole(results_dir: Path, table: str, stage: str) -> Path:
    """The snapshot of all that is published."""
    return results_dir / "compact" / table / f"stage={stage}.parquet"


def added(results_dir: Path, table: str, stage: str) -> list[Path]:
    """Those that were added while the sweep ran, in their order."""
    pattern = re.compile(rf"stage={stage}\.\d+\.parquet")
    return sorted(path for path in whole(results_dir, table, stage).parent.glob("*") if pattern.fullmatch(path.name))


def read(
    results_dir: Path, table: str, stage: str, columns: Sequence[str] | None
) -> tuple[list[pa.Table], frozenset[str]]:
    """Rows of the snapshots that serve, `SEQ` with them, and the names of the files that these rows are from.

    Args:
        results_dir: folder of the sweep.
        table: one of KEYS.
        stage: one of STAGES.
        columns: to read; None: all of the table, and fields of plug-ins.

    Raises:
        Faults: a damaged snapshot; names it.
    """
    rows: list[pa.Table] = []
    covered: frozenset[str] = frozenset()
    for path in (whole(results_dir, table, stage), *added(results_dir, table, stage)):
        found = _read(path, table, columns, known=covered)
        if found is not None:
            rows.append(found[0])
            covered |= found[1]
    return rows, covered


def _read(
    path: Path, table: str, columns: Sequence[str] | None, *, known: Collection[str]
) -> tuple[pa.Table, frozenset[str]] | None:
    """Rows of a snapshot and the files that they are from; None where it cannot serve beside those that are known."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            # Code older than a column may have covered files that have it: then the files must be read again.
            if not set(schema_of(table).names) <= set(schema.names):
                return None
            covers = frozenset(json.loads(schema.metadata[_COVERS]))
            if not covers.isdisjoint(known):
                return None  # its successor is there already, and it is about to go
            return file.read([*asked(columns, table, schema.names), SEQ]), covers
    except FileNotFoundError:
        return None
    except files.UNREADABLE as error:
        raise Faults([f"`{path}` is damaged: delete it, nothing is lost with a snapshot ({error})."]) from error


def write(results_dir: Path, path: Path, table: str, rows: pa.Table, covers: Sequence[str]) -> None:
    """Put a snapshot in its place, whole or not at all.

    Args:
        results_dir: folder of the sweep.
        path: one of `whole` and `added`, or a further one.
        table: one of KEYS.
        rows: all rows of the files, with `SEQ`.
        covers: names of the files.

    Raises:
        OSError: e.g. disk full; names the file, and what was there serves.
    """
    metadata = {**(schema_of(table).metadata or {}), _COVERS: json.dumps(list(covers)).encode()}
    files.publish_over(results_dir, path, files.parquet(rows.replace_schema_metadata(metadata)))


def next_added(results_dir: Path, table: str, stage: str) -> Path:
    """Where the next one goes that is added while the sweep runs."""
    there = added(results_dir, table, stage)
    number = int(there[-1].name.split(".")[1]) + 1 if there else 0
    return whole(results_dir, table, stage).with_suffix(f".{number:06d}.parquet")


def asked(columns: Sequence[str] | None, table: str, there: Sequence[str]) -> list[str]:
    """Names of the columns to read of a file that has those `there`; those it lacks are left out on reading."""
    if columns is not None:
        return list(columns)
    known = schema_of(table).names
    return [*known, *(name for name in there if is_plugin_column(name) and name not in known)]
