"""The Parquet store of one sweep: one writer, any number of readers in any engine, killed at any time."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from embedding_core.storage.result_tables import Row
from sweeps.results import files, scan
from sweeps.results.endings import END_REASONS
from sweeps.results.files import Part
from sweeps.results.rows import cast, schema_of
from sweeps.results.scan import attempts_of, read_file
from sweeps.results.scan import compact as compact  # part of the store's public names
from sweeps.results.schema import KEYS, SCHEMA_VERSION, STAGES
from sweeps.results.snapshots import SEQ

COMPACT_AFTER: Final = 64
"""Published files of a table and stage after which a running driver adds a snapshot of them."""

LOST_WITH: Final = {
    "trials": "the trial whose end it held runs again, with the settings that it had; all others stay.",
    "curves": "epochs are missing from some curves; no outcome of a trial is lost.",
    "rungs": "ASHA decides without the values in it; no outcome of a trial is lost.",
}
"""What a damaged file costs, by table; the driver gives each final row of `trials` a file of its own."""

LOST_ROWS: Final = "its rows are missing from the report; no outcome of a trial is lost."


class Store:
    """What the driver writes through. Every file is complete when it appears and never changes after."""

    def __init__(self, results_dir: Path) -> None:
        self.results_dir = results_dir
        self._next_seq: dict[tuple[str, str], int] = {}
        """By table and stage."""
        self._not_compact: Counter[tuple[str, str]] = Counter()
        """Files published since the last snapshot, likewise."""

    @classmethod
    def create(cls, results_dir: Path | str) -> Self:
        """Start a sweep in the folder `<results>/<name>`, made if need be.

        Raises:
            Faults: the folder already holds a sweep, or cannot be written.
        """
        results_dir = Path(results_dir)
        taken = Faults(
            [f"`{results_dir}` already holds a sweep: continue it with `--resume`, or give another `--name`."]
        )
        try:
            if files.holds_sweep(results_dir):
                raise taken
            results_dir.mkdir(parents=True, exist_ok=True)
            files.publish_new(results_dir, results_dir / files.MARKER, f"{SCHEMA_VERSION}\n".encode())
        except OSError as error:
            if isinstance(error, FileExistsError) and files.holds_sweep(results_dir):
                raise taken from None  # Another driver was faster.
            raise Faults(
                [f"`{results_dir}` cannot be written ({error.strerror}): give another `--results`."]
            ) from error
        return cls(results_dir)

    @classmethod
    def open(cls, results_dir: Path | str) -> Self:
        """Continue the sweep in the folder `<results>/<name>`.

        Raises:
            Faults: no sweep there (names the nearest one beside it), or one of another schema version.
        """
        files.check_sweep(Path(results_dir))
        return cls(Path(results_dir))

    def tidy(self) -> list[str]:
        """Delete what a killed writer left half-written, and put aside what has been damaged since; for a driver that
        starts, and is the one writer.

        Returns:
            A sentence on each file that was put aside, and what is lost with it.

        Raises:
            Faults: a damaged snapshot; names it.
        """
        files.tidy(self.results_dir)
        return [
            f"`{path}` is damaged, and now lies below `{self.results_dir / scan.DAMAGED}`: "
            + LOST_WITH.get(path.parts[-3], LOST_ROWS)
            for path in scan.put_aside_damaged(self.results_dir)
        ]

    def write(self, table: str, stage: str, trial_id: str, attempt: int, rows: Sequence[Row]) -> Path | None:
        """Publish rows of one trial as one new file, and return its path; None if there are no rows.

        Args:
            table: any table but `contrasts`.
            stage: one of STAGES.
            trial_id: letters, digits, `_`, `.` and `-`.
            attempt: >= 1: 1 + the highest already published for the trial, see `attempts`.
            rows: values by column; `trial_id` and `attempt` are filled in. See `rows.cast` for what happens to them.

        Raises:
            Faults: unknown names, values that do not fit; nothing is written.
            OSError: e.g. disk full; names the file, and nothing is written.
        """
        return self.publish(table, stage, check_rows(table, stage, trial_id, attempt, rows))

    def publish(self, table: str, stage: str, content: pa.Table) -> Path | None:
        """As `write`, of rows of any trials that `check_rows` has cast for this table and stage.

        Raises:
            OSError: as `write` does.
        """
        if not content.num_rows:
            return None
        key = (table, stage)
        if key not in self._next_seq:
            there = [part.seq for part in files.parts(self.results_dir, table, stage) if not part.trial_id]
            self._next_seq[key] = max(there, default=-1) + 1
        while True:
            part = Part(self._next_seq[key])
            path = files.stage_dir(self.results_dir, table, stage) / part.file_name
            try:
                files.publish_new(self.results_dir, path, files.parquet(content))
                published = True
            except FileExistsError:
                published = False  # a second driver's
            self._next_seq[key] = part.seq + 1  # not after another error: no number is left out
            if published:
                self._not_compact[key] += 1
                return path

    def compact_new(self) -> None:
        """Add a snapshot wherever enough files have been published since the last one; it never fails.

        Without it reading is slower and nothing else: a disk that is full, or a file that is damaged, is left to
        whoever needs it.
        """
        for (table, stage), published in list(self._not_compact.items()):
            if published >= COMPACT_AFTER:
                self._not_compact[table, stage] = 0
                with suppress(OSError, Faults):
                    scan.compact_new(self.results_dir, table, stage)

    def replace(self, table: Literal["contrasts"], rows: Sequence[Row]) -> Path:
        """Put these rows, in this order, in place of the whole table; same rows, same bytes.

        Raises:
            Faults: a table that grows instead, unknown columns, values that do not fit; nothing is written.
            OSError: e.g. disk full; names the file, which is then as it was.
        """
        content = cast(table, rows)
        if table in KEYS:
            raise Faults([f"`{table}` grows by `Store.write` and is never replaced."])
        path = files.table_dir(self.results_dir, table) / files.CONTRASTS_FILE
        files.publish_over(self.results_dir, path, files.parquet(content))
        return path


def check_rows(table: str, stage: str, trial_id: str, attempt: int, rows: Sequence[Row]) -> pa.Table:
    """The rows as `Store.write` would store them.

    Raises:
        Faults: as `Store.write` does.
    """
    schema_of(table)
    if table not in KEYS:
        raise Faults([f"`{table}` belongs to no trial: write it with `Store.replace`."])
    files.check_stage(stage)
    files.check_trial(trial_id, attempt)
    ids = {"trial_id": trial_id, "attempt": attempt}
    for row in rows:
        if any(row.get(name, value) != value for name, value in ids.items()):
            raise Faults([f"A row of {row.get('trial_id')}, attempt {row.get('attempt')}, was given under {ids}."])
    return cast(table, [{**row, **ids} for row in rows])


def read(
    results_dir: Path | str,
    table: str,
    *,
    attempts: Literal["latest", "all"] = "latest",
    stage: str | None = None,
) -> pa.Table:
    """All rows of a table, in a fixed order: stage, then the table's key (then attempt, then age).

    Args:
        results_dir: folder of the sweep, `<results>/<name>`; it may be written at the same time.
        table: one of TABLES.
        attempts: `latest`: one row per stage and key, the latest attempt's, and of equal attempts the last written.
            `all`: every row ever published.
        stage: only this one of STAGES; None: all.

    Returns:
        The columns of `TABLES[table]`, those of `trials` that are fields of plug-ins, and, except for `contrasts`,
        `stage` as a string. No rows where none are written.

    Raises:
        Faults: no sweep there, another schema version, unknown table or stage, a damaged file (names it).
    """
    results_dir = Path(results_dir)
    schema = schema_of(table)
    if attempts not in ("latest", "all"):
        raise Faults([unknown("attempts", attempts, ("latest", "all"))])
    if table not in KEYS and stage is not None:
        raise Faults([f"`{table}` has no stages, but got stage={stage!r}."])
    files.check_sweep(results_dir)
    if table not in KEYS:
        path = files.table_dir(results_dir, table) / files.CONTRASTS_FILE
        return read_file(path, None, table) if path.exists() else schema.empty_table()
    if stage is not None:
        files.check_stage(stage)
    found = []
    for name in STAGES if stage is None else (stage,):
        rows, _ = scan.scan(results_dir, table, name)
        rows = _latest(rows, KEYS[table]) if attempts == "latest" else rows
        found.append(rows.drop_columns([SEQ]).append_column("stage", pa.repeat(name, rows.num_rows)))
    return pa.concat_tables(found, promote_options="default")


def _latest(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The last row of each key, in the order of `rows`."""
    numbered = rows.select(list(key)).append_column("row", [np.arange(rows.num_rows)])
    # Grouping, unlike comparing neighbours, takes two nulls for the same.
    last = numbered.group_by(list(key), use_threads=False).aggregate([("row", "max")])["row_max"]
    return rows.take(np.sort(last.to_numpy()))


def attempts(results_dir: Path | str, *, stage: str | None = None, table: str | None = None) -> dict[str, int]:
    """The highest attempt with a row in any table, by trial id.

    Args:
        results_dir: folder of the sweep.
        stage: only this one; None: over all stages.
        table: only this one; None: any.

    Raises:
        Faults: no sweep there, another schema version, unknown stage, a damaged file of several trials. Of a file of
            one, as older code wrote them, the name is enough.
    """
    results_dir = Path(results_dir)
    files.check_sweep(results_dir)
    if stage is not None:
        files.check_stage(stage)
    highest: dict[str, int] = {}
    for one in KEYS if table is None else (table,):
        for name in STAGES if stage is None else (stage,):
            for trial_id, attempt in attempts_of(results_dir, one, name).items():
                highest[trial_id] = max(attempt, highest.get(trial_id, 0))
    return highest


def finished(results_dir: Path | str, stage: str, *, retry: Collection[str] = frozenset()) -> set[str]:
    """Trials of a stage that have a row in `trials` whose latest `end_reason` is not to be retried.

    Args:
        results_dir: folder of the sweep.
        stage: one of STAGES.
        retry: some of END_REASONS.

    Raises:
        Faults: no sweep there, another schema version, unknown stage or end reason, a damaged file.
    """
    results_dir = Path(results_dir)
    files.check_sweep(results_dir)
    files.check_stage(stage)
    faults = [unknown("end reason", reason, END_REASONS) for reason in retry if reason not in END_REASONS]
    if faults:
        raise Faults(faults)
    rows, _ = scan.scan(results_dir, "trials", stage, ["trial_id", "attempt", "end_reason"])
    rows = _latest(rows, KEYS["trials"])
    again = pc.is_in(rows["end_reason"], pa.array(list(retry), pa.string()))
    return set(rows.filter(pc.invert(again))["trial_id"].to_pylist())
