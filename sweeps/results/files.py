"""Where the files of a sweep lie, and how one appears: whole, under a name nobody else took.

    <results>/<name>/schema_version
    <results>/<name>/v1/<table>/stage=<stage>/rows-<number>.parquet   of any trials; closed, never changed
    <results>/<name>/v1/contrasts/contrasts.parquet                   replaced as a whole
    <results>/<name>/compact/                                         copies of many files in one: see `snapshots`
    <results>/<name>/_staging/                                        unfinished files

Older sweeps have a file for each trial and attempt, `<trial_id>-a<attempt>-<number>.parquet`.

DuckDB and polars read every file their glob meets, dot-files included, so an unfinished one must not lie under `v1`.
"""

import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from embedding_core.errors import Faults, unknown
from sweeps.results.rows import VERSION_KEY
from sweeps.results.schema import SCHEMA_VERSION, STAGES

MARKER: Final = "schema_version"
STAGING: Final = "_staging"
LOCK: Final = ".lock"
"""File that the driver of a sweep holds locked."""

CONTRASTS_FILE: Final = "contrasts.parquet"

STALE_S: Final = 60.0
"""A report may be rendered, and its contrasts be staged, while a driver starts; no write takes this long."""

UNREADABLE: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for a damaged file depends on its bytes."""

_NAME: Final = re.compile(r"rows-(?P<seq>\d{8,})\.parquet")
_OF_ONE_TRIAL: Final = re.compile(r"(?P<trial_id>.+)-a(?P<attempt>\d+)-(?P<seq>\d{5,})\.parquet")
_TRIAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Part(NamedTuple):
    """What the name of a published file says; of two with rows of one attempt the later has the higher number."""

    seq: int
    trial_id: str = ""
    """Whose rows these are, if older code wrote them; else empty."""
    attempt: int = 0
    """Likewise."""

    @property
    def file_name(self) -> str:
        """The name, the inverse of `parse`."""
        if not self.trial_id:
            return f"rows-{self.seq:08d}.parquet"
        return f"{self.trial_id}-a{self.attempt}-{self.seq:05d}.parquet"

    @classmethod
    def parse(cls, file_name: str) -> "Part | None":
        """The parts of a file name; None if it is not one of ours."""
        if match := _NAME.fullmatch(file_name):
            return cls(int(match["seq"]))
        match = _OF_ONE_TRIAL.fullmatch(file_name)
        return cls(int(match["seq"]), match["trial_id"], int(match["attempt"])) if match else None


def table_dir(results_dir: Path, table: str) -> Path:
    """Folder of one table, for globs: `<results_dir>/v1/<table>`."""
    return results_dir / f"v{SCHEMA_VERSION}" / table


def stage_dir(results_dir: Path, table: str, stage: str) -> Path:
    """Folder of one table's files of one stage."""
    return table_dir(results_dir, table) / f"stage={stage}"


def parts(results_dir: Path, table: str, stage: str) -> list[Part]:
    """Published files of one table and stage, sorted; [] where nothing is published."""
    try:
        names = os.listdir(stage_dir(results_dir, table, stage))
    except FileNotFoundError:
        return []
    return sorted(part for name in names if (part := Part.parse(name)))


def check_stage(stage: str) -> None:
    """Refuse a stage that does not exist.

    Raises:
        Faults: names the nearest stage.
    """
    if stage not in STAGES:
        raise Faults([unknown("stage", stage, STAGES)])


def check_trial(trial_id: str, attempt: int) -> None:
    """Refuse what files cannot be named after.

    Raises:
        Faults: `trial_id` is not letters, digits, `_`, `.` and `-`, or `attempt` is not at least 1.
    """
    faults = []
    if not _TRIAL_ID.fullmatch(trial_id):
        faults.append(f"`trial_id` must be letters, digits, `_`, `.` and `-`, but got {trial_id!r}.")
    if attempt < 1:
        faults.append(f"`attempt` must be at least 1, but got {attempt}.")
    if faults:
        raise Faults(faults)


def check_ids(trial_ids: Iterable[str | None], where: str) -> None:
    """Refuse rows whose `trial_id` would lead out of a folder: files, checkpoints too, are named after it.

    Raises:
        Faults: names the first of them and where it is from.
    """
    for trial_id in trial_ids:
        if trial_id is None or not _TRIAL_ID.fullmatch(trial_id):
            raise Faults([f"{where} has rows of a trial {trial_id!r}, which is no trial's id: move those files away."])


def check_sweep(results_dir: Path) -> None:
    """Refuse a folder that holds no sweep, or one of another schema version.

    Raises:
        Faults: names the nearest sweep beside it, or both versions.
    """
    found = list(_versions(results_dir))
    if not found:
        raise Faults([_missing(results_dir)])
    for version, where in found:
        if version != SCHEMA_VERSION:
            raise Faults(
                [
                    f"`{results_dir}` has schema version {version} (in `{where}`), but this code reads and writes "
                    f"version {SCHEMA_VERSION}: use the code that wrote it, or give another `--name`."
                ]
            )


def holds_sweep(results_dir: Path) -> bool:
    """Whether there is a sweep, of any schema version; False for a folder that cannot be looked into."""
    return os.path.isfile(results_dir / MARKER) or bool(_version_folders(results_dir))


def _version_folders(results_dir: Path) -> list[Path]:
    return sorted(path for path in results_dir.glob("v*/") if path.name[1:].isdecimal())


def _versions(results_dir: Path) -> Iterator[tuple[int, Path]]:
    """Each schema version the folder shows, and where: the marker, `v<N>` folders, one file in each of these."""
    marker = results_dir / MARKER
    if os.path.isfile(marker):
        text = marker.read_text().strip()
        if not text.isdecimal():
            raise Faults([f"`{marker}` must hold a schema version, but holds {text!r}."])
        yield int(text), marker
    for folder in _version_folders(results_dir):
        yield int(folder.name[1:]), folder
        yield from _version_of_a_file(folder)


def _version_of_a_file(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.rglob("*.parquet"):
        try:
            metadata = pq.read_schema(path).metadata or {}
        except UNREADABLE:
            continue  # A damaged file is `read`'s to report: the sweep can still be resumed.
        if VERSION_KEY in metadata:
            yield int(metadata[VERSION_KEY]), path
            return


def _missing(results_dir: Path) -> str:
    parent = results_dir.absolute().parent
    known = [path.name for path in parent.iterdir() if holds_sweep(path)] if parent.is_dir() else []
    there = f"`{results_dir}` " + ("holds no sweep" if results_dir.is_dir() else "does not exist")
    return (
        f"{there}. {unknown('sweep', results_dir.name, known)}" if known else f"{there}, and no sweep lies beside it."
    )


def parquet(table: pa.Table) -> bytes:
    """The table as one Parquet file; equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def publish_new(results_dir: Path, target: Path, content: bytes) -> None:
    """Make `target` appear with all of `content`, unless it exists. Survives kill -9 and power loss at any point.

    Raises:
        FileExistsError: the name is taken; nothing has changed.
        OSError: e.g. disk full; names the file, and nothing has changed.
    """
    staged = _stage(results_dir, target, content)
    try:
        # Unlike a rename, a link never replaces: of two writers with the same name one is told to take another.
        os.link(staged, target)
    finally:
        staged.unlink()
    _sync_folder(target.parent)


def publish_over(results_dir: Path, target: Path, content: bytes) -> None:
    """Make `target` hold `content`, in place of what it held; a reader sees the old or the new.

    Raises:
        OSError: e.g. disk full; names the file, which is then as it was.
    """
    staged = _stage(results_dir, target, content)
    try:
        staged.replace(target)
    except OSError:
        staged.unlink()
        raise
    _sync_folder(target.parent)


def tidy(results_dir: Path) -> None:
    """Delete the unfinished files of writers that are gone: those older than any write takes."""
    for staged in (results_dir / STAGING).glob("*.tmp"):
        if time.time() - staged.stat().st_mtime > STALE_S:
            staged.unlink(missing_ok=True)


def _stage(results_dir: Path, target: Path, content: bytes) -> Path:
    """The content on the disk, under a name of its own in the staging folder."""
    staged = results_dir / STAGING / f"{uuid.uuid4().hex}.tmp"
    staged.parent.mkdir(exist_ok=True)
    try:
        _make_folder(target.parent, below=results_dir)
        with staged.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        staged.unlink(missing_ok=True)
        # A failing write does not know its file.
        raise OSError(error.errno, error.strerror, str(target)) from error
    return staged


def _make_folder(folder: Path, *, below: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        while folder != below:
            folder = folder.parent
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Put the folder's entries on the disk; without it a crash can lose a file that was itself synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
