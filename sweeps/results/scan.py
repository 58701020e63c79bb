"""Files to one Arrow table: the published files of a table and stage, or snapshots and the files that none covers."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedding_core.errors import Faults
from sweeps.results import files, snapshots
from sweeps.results.files import Part
from sweeps.results.rows import schema_of
from sweeps.results.schema import KEYS, STAGES
from sweeps.results.snapshots import SEQ

AT_ONCE: Final = 256
"""Published files that are copied into one snapshot while a sweep runs; its driver does nothing else meanwhile."""

DAMAGED: Final = "damaged"
"""Folder beside `v1` for files that could not be read when a driver started; nobody reads there."""

_IDS: Final = ["trial_id", "attempt"]


def read_file(path: Path, columns: Sequence[str] | None, table: str) -> pa.Table:
    """The file's rows, those of `columns` that it has; None: all of the table's, and fields of plug-ins.

    Raises:
        Faults: the file is not whole; names it.
    """
    try:
        with pq.ParquetFile(path) as file:
            # Columns it does not have are left out.
            return file.read(snapshots.asked(columns, table, file.schema_arrow.names), use_threads=False)
    except files.UNREADABLE as error:
        raise Faults([f"`{path}` is damaged: move it away to read the rest without its rows ({error})."]) from error


def scan(results_dir: Path, table: str, stage: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, list[str]]:
    """Every row published, duplicates included, and the names of the files they are from.

    Rows have `columns` (None: as for `read_file`) and `SEQ` and are sorted by key, attempt, file and place in the file:
    of two rows with the same key the later one counts.

    Raises:
        Faults: a damaged file, or rows of what cannot be a trial; names it.
    """
    # The snapshots before the list of files: a file published in between is then read on its own.
    old, covered = snapshots.read(results_dir, table, stage, columns)
    fresh = [part for part in files.parts(results_dir, table, stage) if part.file_name not in covered]
    new = _rows_of(results_dir, table, stage, fresh, columns)
    # First the empty table, whose columns and metadata are those of this code; a column an older file lacks is null.
    rows = pa.concat_tables([_no_rows(table, columns), new, *old], promote_options="default")
    files.check_ids(pc.unique(rows["trial_id"]).to_pylist(), f"`{files.stage_dir(results_dir, table, stage)}`")
    # A stable sort: rows of one file keep their order.
    order = [(name, "ascending") for name in (*KEYS[table], "attempt", SEQ)]
    return rows.combine_chunks().sort_by(order), sorted(covered | {part.file_name for part in fresh})


def attempts_of(results_dir: Path, table: str, stage: str) -> dict[str, int]:
    """The highest attempt that a table and stage have rows of, by trial id; of a file of one trial its name tells.

    Raises:
        Faults: a damaged file of several, or rows of what cannot be a trial; names it.
    """
    folder = files.stage_dir(results_dir, table, stage)
    old, covered = snapshots.read(results_dir, table, stage, _IDS)
    fresh = [part for part in files.parts(results_dir, table, stage) if part.file_name not in covered]
    new = _rows_of(results_dir, table, stage, [part for part in fresh if not part.trial_id], _IDS)
    rows = pa.concat_tables([_no_rows(table, _IDS), new, *old], promote_options="default").select(_IDS)
    highest = rows.group_by("trial_id").aggregate([("attempt", "max")])
    found = dict(zip(highest["trial_id"].to_pylist(), highest["attempt_max"].to_pylist(), strict=True))
    files.check_ids(found, f"`{folder}`")
    for part in fresh:
        if part.trial_id:
            found[part.trial_id] = max(part.attempt, found.get(part.trial_id, 0))
    return found


def put_aside_damaged(results_dir: Path) -> list[Path]:
    """Move each published file that cannot be read, and that no snapshot covers, to the same place below `DAMAGED`.

    Returns:
        Where they were.

    Raises:
        Faults: a damaged snapshot, or a file that the disk does not give; names it.
        OSError: e.g. no right to move one; names it.
    """
    moved = []
    for table, stage in product(KEYS, STAGES):
        _, covered = snapshots.read(results_dir, table, stage, ())
        for part in files.parts(results_dir, table, stage):
            path = files.stage_dir(results_dir, table, stage) / part.file_name
            if part.file_name not in covered and not _is_whole(path, table):
                aside = results_dir / DAMAGED / path.relative_to(results_dir)
                aside.parent.mkdir(parents=True, exist_ok=True)
                # The highest number is given again once its file has gone, and the next one may be damaged too.
                names = (aside.with_stem(f"{aside.stem}-{n}") if n > 1 else aside for n in count(1))
                path.rename(next(name for name in names if not name.exists()))
                moved.append(path)
    return moved


def _is_whole(path: Path, table: str, *, again: bool = True) -> bool:
    """Whether what is in a file can be read; `again`: with a second try where memory was short.

    Raises:
        Faults: the file itself cannot be, as its disk fails, say.
    """
    try:
        read_file(path, None, table)
    except Faults as error:
        if getattr(error.__cause__, "errno", None) is not None:  # Arrow's own errors have none
            raise
        # A damaged length asks for more memory than there is, too, but does so each time.
        return again and isinstance(error.__cause__, MemoryError) and _is_whole(path, table, again=False)
    return True


def written_at(results_dir: Path, table: str, stage: str, row: Mapping[str, Any]) -> float:
    """When the file was published that a row is from, in seconds since 1970.

    Args:
        results_dir: folder of the sweep.
        table: one of KEYS.
        stage: one of STAGES.
        row: of `scan`, with its ids and `SEQ`.
    """
    folder = files.stage_dir(results_dir, table, stage)
    own = folder / Part(row[SEQ], row["trial_id"], row["attempt"]).file_name
    return (own if own.exists() else folder / Part(row[SEQ]).file_name).stat().st_mtime


def compact(results_dir: Path | str) -> list[Path]:
    """Write one snapshot of each table and stage that grew, in place of those there were; return the paths.

    Published files stay as they are, and `store.read` returns the same with a snapshot or without. A snapshot may be
    deleted at any time.

    Raises:
        Faults: no sweep there, or a damaged file.
        OSError: e.g. disk full; names the file, and the older snapshots still serve.
    """
    results_dir = Path(results_dir)
    files.check_sweep(results_dir)
    written = []
    for table in KEYS:
        for folder in sorted(files.table_dir(results_dir, table).glob("stage=*/")):
            stage = folder.name.removeprefix("stage=")
            path, parted = snapshots.whole(results_dir, table, stage), snapshots.added(results_dir, table, stage)
            _, covered = snapshots.read(results_dir, table, stage, ())
            rows, names = scan(results_dir, table, stage)
            if set(names) == covered and not parted:
                continue
            snapshots.write(results_dir, path, table, rows, names)
            for part in parted:  # only now: whoever reads meanwhile passes over what is there twice
                part.unlink(missing_ok=True)
            written.append(path)
    return written


def compact_new(results_dir: Path, table: str, stage: str) -> None:
    """Add a snapshot of the oldest `AT_ONCE` published files that none covers yet.

    Raises:
        Faults: a damaged file.
        OSError: e.g. disk full; names the file, and nothing has changed.
    """
    _, covered = snapshots.read(results_dir, table, stage, ())
    fresh = [part for part in files.parts(results_dir, table, stage) if part.file_name not in covered][:AT_ONCE]
    rows = _rows_of(results_dir, table, stage, fresh, None)
    # With all columns of this code, so that it can tell the snapshot from one of older code.
    rows = pa.concat_tables([_no_rows(table, None), rows], promote_options="default")
    names = [part.file_name for part in fresh]
    snapshots.write(results_dir, snapshots.next_added(results_dir, table, stage), table, rows, names)


def _rows_of(
    results_dir: Path, table: str, stage: str, parts: Sequence[Part], columns: Sequence[str] | None
) -> pa.Table:
    """All rows of published files, and `SEQ`."""
    folder = files.stage_dir(results_dir, table, stage)
    with ThreadPoolExecutor() as pool:
        new = list(pool.map(lambda part: read_file(folder / part.file_name, columns, table), parts))
    seq = np.repeat(np.array([part.seq for part in parts], dtype=np.int64), [rows.num_rows for rows in new])
    rows = pa.concat_tables([_no_rows(table, columns), *new], promote_options="default")
    return rows.append_column(SEQ, [seq])


def _no_rows(table: str, columns: Sequence[str] | None) -> pa.Table:
    schema = schema_of(table)
    return pa.schema([schema.field(name) for name in columns or schema.names], metadata=schema.metadata).empty_table()
