"""Rows too many for a result, handed from the process that trains to the one that stores: one file, whole or absent."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import whole

Row = Mapping[str, Any]
"""Values by column name; what is absent does not apply, and is null where it is stored. Everywhere the same."""

_STREAM = ".arrow"
"""Ends the name of a table's stream in the archive."""

_UNREADABLE = (OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, pa.ArrowException)
"""What `zipfile` and Arrow raise for a cut or foreign file depends on its bytes."""

SUFFIX = ".held_out"
"""Of the file itself, beside a checkpoint of the same stem."""


def beside(checkpoint: Path) -> Path:
    """The hand-over file of the run with this checkpoint."""
    return checkpoint.with_suffix(SUFFIX)


def write(file: Path, tables: Mapping[str, Sequence[Row]]) -> None:
    """Put rows by table in place of `file`: a zip with one Arrow stream per table; written aside, then renamed.

    A killed process leaves the previous file or this one. A column is of the type that all its values have; a table
    without rows is left out.

    Raises:
        StorageError: e.g. disk full; the file is as it was.
    """
    with whole(file) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, rows in tables.items():
            if rows:
                archive.writestr(name + _STREAM, _arrow(rows))


def read(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by table as they were given to `write`; what a row lacked and another had is None. Nothing is unpickled.

    Raises:
        Faults: missing, or not such a file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            contents = {name.removesuffix(_STREAM): archive.read(name) for name in archive.namelist()}
        return {name: ipc.open_stream(content).read_all().to_pylist() for name, content in contents.items()}
    except _UNREADABLE as error:
        raise Faults([f"{file} holds no rows that can be read ({type(error).__name__}: {error})."]) from error


def _arrow(rows: Sequence[Row]) -> bytes:
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in columns})
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
