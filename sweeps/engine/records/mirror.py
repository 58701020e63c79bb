"""A copy of a sweep's folder in another place, such as an object store: results outlive the machine of their driver."""

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import fs

from embedding_core.errors import Faults
from sweeps.results import files
from trainables.checkpoint_store import below

EVERY_S: Final = 600.0
"""Most seconds of results that a machine takes with it."""

LOOK_S: Final = 5.0
"""Between looks whether another stage has begun."""

PASSED_OVER: Final = (files.LOCK, files.STAGING, "checkpoints", "ray")
"""What is of one driver alone; checkpoints have places of their own."""

LAST: Final = "trials"
"""Table that says which trials have ended: copied after all that a trial leaves, as it stood before."""

BESIDE_DATABASE: Final = ("-wal", "-shm", "-journal")

_LOCAL: Final = fs.LocalFileSystem()


class Mirror:
    """Copies what has changed; a database as of one moment, for the driver writes to it meanwhile."""

    def __init__(self, folder: Path, where: str) -> None:
        """Of a folder that may not be there yet.

        Args:
            folder: of the sweep.
            where: absolute folder or URI, in which the copy gets the folder's name; credentials from the environment.

        Raises:
            Faults: no such place.
        """
        self._folder = folder
        self._copied: dict[Path, tuple[int, int]] = {}
        try:
            self._filesystem, root = fs.FileSystem.from_uri(below(where, folder.name))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise Faults([f"`--mirror` must be a folder or a URI such as s3://bucket/prefix: {error}"]) from error
        self._root = root.rstrip("/")

    def check(self, *, new: bool) -> None:
        """Make sure that the copy can be written.

        Args:
            new: whether the sweep begins, so that what is there is another's.

        Raises:
            Faults: it cannot, or would mix two sweeps.
        """
        marker = f"{self._root}/.mirror"
        try:
            there = self._filesystem.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
            self._filesystem.create_dir(self._root, recursive=True)
            with self._filesystem.open_output_stream(marker) as stream:
                stream.write(b"The copy of a sweep's folder.\n")
        except (OSError, pa.ArrowException) as error:
            raise Faults([f"`--mirror` must be a place that can be written: {error}"]) from error
        if new and any(one.is_file and one.path != marker for one in there):
            raise Faults([f"`--mirror` holds another sweep in {self._root}: give this one another `--name`."])

    def copy(self) -> None:
        """Copy what has changed since the last time; a file that is gone stays in the copy.

        Raises:
            OSError, pyarrow.ArrowException: the place is not to be reached; what is missing is copied the next time.
        """
        ended = [path for path in self._files() if LAST in path.relative_to(self._folder).parts]
        others = [path for path in self._files() if LAST not in path.relative_to(self._folder).parts]
        for path in (*others, *ended):
            try:
                found = path.stat()
                state = found.st_mtime_ns, found.st_size
                # What a database has committed may stand beside it.
                if self._copied.get(path) != state or path.suffix == ".db":
                    self._put(path, f"{self._root}/{path.relative_to(self._folder).as_posix()}")
            except FileNotFoundError:
                if path.exists():  # it is the place that is gone
                    raise
                continue
            self._copied[path] = state

    def stages_begun(self) -> int:
        """How many stages have rows: one more, and the stage before it has ended."""
        return len(list(files.table_dir(self._folder, LAST).glob("stage=*")))

    def _files(self) -> list[Path]:
        found = []
        for folder, folders, names in os.walk(self._folder):
            if Path(folder) == self._folder:
                folders[:] = [name for name in folders if name not in PASSED_OVER]
                names = [name for name in names if name not in PASSED_OVER]
            found += [Path(folder) / name for name in names if not name.endswith(BESIDE_DATABASE)]
        return sorted(found)

    def _put(self, path: Path, target: str) -> None:
        folder, _, name = target.rpartition("/")
        self._filesystem.create_dir(folder, recursive=True)
        with tempfile.TemporaryDirectory() as scratch:
            whole = path
            if path.suffix == ".db":
                whole = Path(scratch) / path.name
                with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(whole)) as copy:
                    source.backup(copy)
            # An object appears at once; a file is put in place once it is whole.
            partial = target
            if isinstance(self._filesystem, fs.LocalFileSystem):
                partial = f"{self._root}/{files.STAGING}/{name}"
                self._filesystem.create_dir(f"{self._root}/{files.STAGING}", recursive=True)
            fs.copy_files(str(whole), partial, source_filesystem=_LOCAL, destination_filesystem=self._filesystem)
            if partial != target:
                self._filesystem.move(partial, target)


@contextmanager
def mirrored(
    folder: Path, where: str | None, note: Callable[[str], None], *, new: bool, every_s: float = EVERY_S
) -> Iterator[None]:
    """Keep a copy while the sweep runs: every ten minutes, after each stage, and at the end, whatever ended it.

    Args:
        folder: of the sweep.
        where: see `Mirror`; None: no copy is kept.
        note: told once of each time that the place cannot be reached, which ends nothing.
        new: see `Mirror.check`.
        every_s: seconds between two copies at most.

    Raises:
        Faults: see `Mirror`.
    """
    if where is None:
        yield
        return
    mirror, over = Mirror(folder, where), threading.Event()
    mirror.check(new=new)
    keeper = threading.Thread(target=_keep, args=(mirror, note, over, every_s), name="mirror", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(mirror: Mirror, note: Callable[[str], None], over: threading.Event, every_s: float) -> None:
    copied, begun, reached = time.monotonic(), mirror.stages_begun(), True
    while True:
        ended = over.wait(LOOK_S)
        stages = mirror.stages_begun()
        if not ended and stages <= max(begun, 1) and time.monotonic() - copied < every_s:
            continue
        try:
            mirror.copy()
            reached = True
        except (OSError, sqlite3.Error, pa.ArrowException) as error:
            if reached or ended:
                note(f"The mirror could not be brought up to date ({error}); it is tried again.")
            reached = False
        copied, begun = time.monotonic(), stages
        if ended:
            return
