"""Where checkpoints and hand-over files lie: a folder that every node sees, or an object store."""

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from embedding_core.errors import Faults
from embedding_core.storage.retry import PATIENCE_S

MARKER: Final = ".checkpoints"
"""File in the root of a folder. Where a share is not mounted the folder may be there, empty and of another disk."""

DAMAGED: Final = ".damaged"
"""Suffix of a file that could not be read and was put aside."""

_logger = logging.getLogger(__name__)


class Depot(Protocol):
    """Files by name, `search/t00012.pt`. A file is there whole or not at all, whenever a process is killed.

    Every method but `delete` raises an OSError while the place is not to be reached.
    """

    def prepare(self) -> None:
        """Make the place ready, and make sure that it can be written; for the driver, before trials start."""

    def check(self) -> None:
        """Make sure that a place once made ready is still there and can be written; nothing is made."""

    def tidy(self, stage: str) -> None:
        """Delete the half-copied files that killed processes left."""

    def is_empty(self) -> bool:
        """Whether no run has left anything."""

    def put(self, file: Path, name: str) -> None:
        """Move a local file there, in place of an older one."""

    def get(self, name: str, file: Path) -> bool:
        """Copy to a local file, whose folder exists; False where nothing has that name."""

    def put_aside(self, name: str) -> None:
        """Rename a file that cannot be read, if it is there; one put aside earlier is replaced."""

    def delete(self, name: str) -> None:
        """Delete if there; one that cannot be deleted stays, which the log says."""


class Folder:
    """A folder; files appear by renaming."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the folder."""
        self._root.mkdir(parents=True, exist_ok=True)
        (self._root / MARKER).write_text("Checkpoints of a sweep; deleted as its trials end.\n")

    def check(self) -> None:
        """Write the marker that is there."""
        self._there(MARKER)
        self.prepare()

    def tidy(self, stage: str) -> None:
        """Those that nobody has written to for long: a process that the driver does not see may yet be copying."""
        try:
            for partial in (self._root / stage).glob(".*.*.*"):  # and not `.nfs...`, by which a share keeps open files
                if time.time() - partial.stat().st_mtime > PATIENCE_S:
                    partial.unlink()
        except OSError as error:
            _logger.warning("Half-copied files stay: %s", error)

    def is_empty(self) -> bool:
        """Whether no run has left anything."""
        return not any(self._root.glob("*/*"))

    def put(self, file: Path, name: str) -> None:
        """A rename on the same disk, else a copy first."""
        target = self._there(name)
        target.parent.mkdir(exist_ok=True)
        if file.stat().st_dev == target.parent.stat().st_dev:
            file.replace(target)
            return
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with file.open("rb") as source, partial.open("wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())  # else a power cut could leave the new name with no contents
            partial.replace(target)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        file.unlink()

    def get(self, name: str, file: Path) -> bool:
        """Copy to a local file; False where nothing has that name."""
        there = self._there(name)
        if not there.is_file():
            return False
        shutil.copyfile(there, file)
        return True

    def put_aside(self, name: str) -> None:
        """Rename."""
        there = self._there(name)
        if there.is_file():
            there.replace(self._there(name + DAMAGED))

    def delete(self, name: str) -> None:
        """Delete if there."""
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("%s stays: %s", name, error)

    def _there(self, name: str) -> Path:
        if not (self._root / MARKER).is_file():
            text = f"the share of {self._root} is not mounted here, or the checkpoints are gone"
            raise FileNotFoundError(f"{text}; to go on without them, make the file {self._root / MARKER}")
        return self._root / name


class Bucket:
    """An object store, reached through Arrow; credentials come from the environment."""

    def __init__(self, uri: str) -> None:
        """Args: uri: as for `pyarrow.fs.FileSystem.from_uri`, without credentials.

        Raises:
            OSError: there is no such store.
        """
        self._uri = uri
        self._store, path = fs.FileSystem.from_uri(uri)
        self._root = path.rstrip("/")
        self._local = fs.LocalFileSystem()

    def prepare(self) -> None:
        """Write and delete an object."""
        with self._store.open_output_stream(f"{self._root}/{MARKER}") as stream:
            stream.write(b"\n")
        self._store.delete_file(f"{self._root}/{MARKER}")

    def check(self) -> None:
        """The same: there is nothing to be made beforehand."""
        self.prepare()

    def tidy(self, stage: str) -> None:
        """Nothing: an upload that was cut off never appears."""

    def is_empty(self) -> bool:
        """Whether no run has left anything."""
        found = self._store.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        return not any(one.is_file for one in found)

    def put(self, file: Path, name: str) -> None:
        """Upload; an object appears when its upload is complete."""
        self._copy(str(file), self._local, f"{self._root}/{name}", self._store)
        file.unlink()

    def get(self, name: str, file: Path) -> bool:
        """Download; False where nothing has that name."""
        if self._store.get_file_info(f"{self._root}/{name}").type != fs.FileType.File:
            return False
        self._copy(f"{self._root}/{name}", self._store, str(file), self._local)
        return True

    def put_aside(self, name: str) -> None:
        """Copy and delete: object stores do not rename."""
        if self._store.get_file_info(f"{self._root}/{name}").type == fs.FileType.File:
            self._store.move(f"{self._root}/{name}", f"{self._root}/{name}{DAMAGED}")

    def delete(self, name: str) -> None:
        """Delete if there."""
        try:
            if self._store.get_file_info(f"{self._root}/{name}").type == fs.FileType.File:
                self._store.delete_file(f"{self._root}/{name}")
        except OSError as error:
            _logger.warning("%s stays: %s", name, error)

    @staticmethod
    def _copy(source: str, source_store: fs.FileSystem, target: str, target_store: fs.FileSystem) -> None:
        # Unlike copying through Python's streams, whose `with` completes an upload even after an error.
        fs.copy_files(source, target, source_filesystem=source_store, destination_filesystem=target_store)


def depot_at(where: str) -> Depot:
    """The depot at an absolute folder or a URI.

    Raises:
        OSError: no such store.
    """
    return Bucket(where) if is_uri(where) else Folder(Path(where))


def is_uri(where: str) -> bool:
    """Whether this names an object store and not a folder."""
    return "://" in where


def below(where: str, name: str) -> str:
    """The place `name` below another one; a URI keeps its query."""
    if not is_uri(where):
        return str(Path(where) / name)
    parts = urlsplit(where)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def checked(where: str, *, make: bool = True) -> Depot:
    """The depot, ready to be written.

    Args:
        where: absolute folder or URI.
        make: a folder that is not there; else it must have been made before, with what it holds.

    Raises:
        Faults: credentials in a URI, no such store, or one that cannot be written; a folder that is no longer there.
    """
    if is_uri(where) and "@" in urlsplit(where).netloc:
        raise Faults(["`--checkpoints` must not hold credentials, which every log would show: use the environment."])
    try:
        depot = depot_at(where)
        if make:
            depot.prepare()
        else:
            depot.check()
    except (OSError, pa.ArrowException) as error:
        raise Faults([f"`--checkpoints` must be a place that can be written, but `{where}` is not: {error}"]) from error
    return depot
