"""Where checkpoints and hand-over files lie: a folder that every node sees, or an object store."""

import errno
import logging
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import whole
from embedding_core.storage.retry import PATIENCE_S

MARKER: Final = ".checkpoints"
"""File in the root of a folder. Where a share is not mounted the folder may be there, empty and of another disk."""

DAMAGED: Final = ".damaged"
"""Suffix of a file that could not be read and was put aside."""

DELETED_AT_ONCE: Final = 16
"""Requests to an object store that are under way side by side."""

_LOCAL: Final = fs.LocalFileSystem()

_logger = logging.getLogger(__name__)


class CheckpointStore:
    """Files by name, `search/t00012.pt`. A file is there whole or not at all, whenever a process is killed.

    In a folder it appears by renaming, in an object store when its upload is complete. Every method but `tidy`,
    `delete` and `delete_all` raises an OSError while the place is not to be reached.
    """

    def __init__(self, filesystem: fs.FileSystem, root: str) -> None:
        """Args: root: path of the place in this file system."""
        self._filesystem, self._root = filesystem, root.rstrip("/")
        self._is_folder = isinstance(filesystem, fs.LocalFileSystem)

    @classmethod
    def at(cls, where: str) -> Self:
        """The store at an absolute folder or a URI, whose credentials come from the environment; nothing is made.

        Raises:
            OSError, pyarrow.ArrowException: no such store.
        """
        return cls(*fs.FileSystem.from_uri(where))

    @classmethod
    def ready(cls, where: str, *, make: bool = True) -> Self:
        """The store at an absolute folder or a URI, once it can be written; for the driver, before trials start.

        Args:
            where: as for `at`.
            make: a folder that is not there; else it must have been made before, with what it holds.

        Raises:
            Faults: credentials in a URI, no such store, or one that cannot be written; a folder that is gone.
        """
        if _is_uri(where) and "@" in urlsplit(where).netloc:
            text = "`--checkpoints` must not hold credentials, which every log would show: use the environment."
            raise Faults([text])
        try:
            store = cls.at(where)
            store._prepare(make=make)
        except (OSError, ValueError, pa.ArrowException) as error:
            text = f"`--checkpoints` must be a place that can be written, but `{where}` is not: {error}"
            raise Faults([text]) from error
        return store

    def _prepare(self, *, make: bool) -> None:
        marker = f"{self._root}/{MARKER}"
        if self._is_folder and make:
            self._filesystem.create_dir(self._root, recursive=True)
        elif self._is_folder:
            self._path(MARKER)
        with self._filesystem.open_output_stream(marker) as stream:
            stream.write(b"Checkpoints of a sweep; deleted as its trials end.\n")
        if not self._is_folder:  # which nobody forgets to mount
            self._filesystem.delete_file(marker)

    def tidy(self, stage: str) -> None:
        """Delete what killed processes left half-copied; an upload that was cut off never appears.

        Those that nobody has written to for long: a process that the driver does not see may yet be copying.
        """
        if not self._is_folder:
            return
        try:
            for partial in Path(self._root, stage).glob(".*.*.*"):  # not `.nfs...`, by which a share keeps open files
                if time.time() - partial.stat().st_mtime > PATIENCE_S:
                    partial.unlink()
        except OSError as error:
            _logger.warning("Half-copied files stay: %s", error)

    def is_empty(self) -> bool:
        """Whether no run has left anything; every name has a folder of its stage."""
        found = self._filesystem.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        return not any(one.is_file and one.path.count("/") > self._root.count("/") + 1 for one in found)

    def runs(self, stage: str) -> set[str]:
        """Trial ids of the runs of a stage that have left a file."""
        found = self._filesystem.get_file_info(fs.FileSelector(f"{self._root}/{stage}", allow_not_found=True))
        return {one.base_name.partition(".")[0] for one in found if one.is_file and not one.base_name.startswith(".")}

    def put(self, file: Path, name: str) -> None:
        """Move a local file there, in place of an older one."""
        path = self._path(name)
        if self._is_folder:
            _move(file, Path(path))
        else:
            # Unlike copying through Python's streams, whose `with` completes an upload even after an error.
            fs.copy_files(str(file), path, source_filesystem=_LOCAL, destination_filesystem=self._filesystem)
            file.unlink()

    def get(self, name: str, file: Path) -> bool:
        """Copy to a local file, whose folder exists; False where nothing has that name."""
        path = self._path(name)
        if not self._has(path):
            return False
        fs.copy_files(path, str(file), source_filesystem=self._filesystem, destination_filesystem=_LOCAL)
        return True

    def put_aside(self, name: str) -> None:
        """Rename a file that cannot be read, if it is there; one put aside earlier is replaced."""
        path = self._path(name)
        if self._has(path):
            self._filesystem.move(path, path + DAMAGED)

    def delete(self, name: str) -> None:
        """Delete if there; one that cannot be deleted stays, which the log says."""
        try:
            self._filesystem.delete_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            _logger.warning("%s stays: %s", name, error)

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete those that are there: each folder is listed once, and they go side by side."""
        wanted = set(names)
        selectors = [fs.FileSelector(f"{self._root}/{one}", allow_not_found=True) for one in _folders(wanted)]
        try:
            found = [one.path for selector in selectors for one in self._filesystem.get_file_info(selector)]
        except OSError as error:
            _logger.warning("%d files stay: %s", len(wanted), error)
            return
        there = wanted & {path.removeprefix(f"{self._root}/") for path in found}
        with ThreadPoolExecutor(DELETED_AT_ONCE) as pool:
            list(pool.map(self.delete, sorted(there)))

    def _has(self, path: str) -> bool:
        return bool(self._filesystem.get_file_info(path).type == fs.FileType.File)

    def _path(self, name: str) -> str:
        """Path of a file in a place that is there."""
        if self._is_folder and not self._has(f"{self._root}/{MARKER}"):
            text = f"the share of {self._root} is not mounted here, or the checkpoints are gone"
            raise FileNotFoundError(f"{text}; to go on without them, make the file {self._root}/{MARKER}")
        return f"{self._root}/{name}"


def _folders(names: Iterable[str]) -> set[str]:
    return {name.rpartition("/")[0] for name in names}


def below(where: str, name: str) -> str:
    """The place `name` below another one; a URI keeps its query."""
    if not _is_uri(where):
        return str(Path(where) / name)
    parts = urlsplit(where)
    return urlunsplit(
        (parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{quote(name)}", parts.query, parts.fragment)
    )


def _is_uri(where: str) -> bool:
    """Whether this names an object store and not a folder."""
    return "://" in where


def _move(file: Path, target: Path) -> None:
    """A rename, else a copy first; tried, as bind mounts of one disk have its number and yet no renames across."""
    target.parent.mkdir(exist_ok=True)
    try:
        file.replace(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    with file.open("rb") as source, whole(target) as copy:
        shutil.copyfileobj(source, copy)
    file.unlink()
