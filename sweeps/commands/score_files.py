"""Reads a table of scores from a file of anybody's: CSV, Parquet or JSON lines."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from embedding_core.errors import Faults, unknown
from sweeps.commands.score_table import ScoreTable, few, number_of, repeated

DELIMITERS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What some write between the columns of a CSV file instead of commas."""


def read_scores(path: Path) -> ScoreTable:
    """The table in a file, at least a row of it.

    Raises:
        Faults: no such file, one of another kind, one that cannot be read as what its name says, or one without rows.
    """
    if not path.is_file():
        raise Faults([_missing(path)])
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Faults([f"`{path}` must be a sweep's folder or a file that ends in {', '.join(READERS)}."])
    try:
        table = reader(path)
    except UnicodeDecodeError as error:
        raise Faults(
            [f"`{path}` must be UTF-8, but holds {error.object[error.start]:#04x} at {error.start}."]
        ) from error
    names = list(filter(None, table.columns))
    if not names:
        raise Faults([f"`{path}` must hold a table of scores, but is empty."])
    if not table.places:
        raise Faults([f"`{path}` must hold a row of scores, but has none below its columns {', '.join(names)}."])
    return table


def _missing(path: Path) -> str:
    beside = path.parent.glob("*") if path.parent.is_dir() else ()
    known = [file.name for file in beside if file.suffix.lower() in READERS]
    return f"`{path}` does not exist." + (f" {unknown('file', path.name, known)}" if known else "")


def _csv(path: Path) -> ScoreTable:
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a byte order mark
        lines = _csv_lines(csv.reader(file, skipinitialspace=True), path)
        _, header = next(lines, (0, []))
        _check_header(path, header)
        rows = list(lines)
    uneven = [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(header)]
    if uneven:
        raise Faults([f"`{path}`: every row must have as many cells as the header, {len(header)}, but {few(uneven)}."])
    columns = {name: [row[i] or None for _, row in rows] for i, name in enumerate(header)}
    return ScoreTable(str(path), columns, [f"line {line}" for line, _ in rows])


def _csv_lines(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank."""
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise Faults([f"`{path}` is no CSV from line {reader.line_num} on: {error}."]) from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    line = ",".join(header)
    other = [words for sign, words in DELIMITERS.items() if sign in line and len(header) == 1]
    if other:
        raise Faults([f"`{path}` must have commas between its columns, but its first line {line!r} has {other[0]}."])
    if header and all(number_of(name) is not None for name in header):
        raise Faults([f"`{path}` must begin with the names of its columns, but its first line is {line!r}."])
    _check_names(path, header)


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = repeated(filter(None, names))  # pandas leaves an index without a name
    if twice:
        raise Faults([f"`{path}`: each column needs a name of its own, but these are repeated: {few(twice)}."])


def _parquet(path: Path) -> ScoreTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise Faults([f"`{path}` cannot be read as Parquet: {error}."]) from error
    _check_names(path, table.column_names)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return ScoreTable(str(path), columns, [f"row {i + 1}" for i in range(table.num_rows)])


def _json_lines(path: Path) -> ScoreTable:
    rows: dict[str, dict[str, Any]] = {}
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                rows[f"line {number}"] = _json_object(path, number, line)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return ScoreTable(str(path), {name: [row.get(name) for row in rows.values()] for name in names}, list(rows))


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Faults([f"`{path}`: line {number} must be a JSON object, but cannot be read: {error}."]) from error
    if not isinstance(row, dict):
        raise Faults([f"`{path}`: line {number} must be a JSON object, but is {line.strip()[:40]!r}."])
    return row


READERS: Final[dict[str, Callable[[Path], ScoreTable]]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
"""By the ending of a file's name."""
