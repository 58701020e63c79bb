"""A run's checkpoint and hand-over file: written in a folder of its machine, kept in the checkpoint store."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from embedding_core.storage import result_tables
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.retry import patiently
from trainables.checkpoint_store import DAMAGED, CheckpointStore
from trainables.run_label import RunLabel

_logger = logging.getLogger(__name__)


class RunFiles:
    """Every method raises a StorageError while the checkpoint store is out of reach; `keep` waits it out first."""

    def __init__(self, label: RunLabel, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Args: folder: of this process alone. pause: takes the seconds between two attempts to keep a file."""
        self._label, self._folder, self._pause = label, folder, pause
        self.save_to = folder / "run.pt"
        """Where the loop is to write."""
        self._held_out = result_tables.beside(self.save_to)
        for left in (self.save_to, self._held_out):
            left.unlink(missing_ok=True)  # of a process that was killed before it kept them
        with _storage_errors():
            self._checkpoint_store = CheckpointStore.at(label.checkpoint_dir)

    def fetch(self) -> Path | None:
        """The checkpoint to go on from, until the next `fetch` or `keep`; None: there is none."""
        file, name = self._folder / "resume.pt", self._label.checkpoint
        with _storage_errors():
            return file if self._checkpoint_store.get(name, file) else None

    def keep(self) -> None:
        """Move what the loop has written, if anything; the checkpoint last, for it says that the rest is there."""
        (self._folder / "resume.pt").unlink(missing_ok=True)
        self._put(self._held_out, self._label.held_out)
        self._put(self.save_to, self._label.checkpoint)

    def put_aside(self, why: str) -> None:
        """The checkpoint cannot be read; the run starts anew."""
        name = self._label.checkpoint
        _logger.error("%s starts anew, its checkpoint is put aside as %s: %s", name, name + DAMAGED, why)
        with _storage_errors():
            self._checkpoint_store.put_aside(name)

    def _put(self, file: Path, name: str) -> None:
        if file.exists():
            with _storage_errors():
                put = partial(self._checkpoint_store.put, file, name)
                patiently(put, what=f"{name} cannot be kept", sleep=self._pause)


class NotMounted(StorageError):
    """The folder of the checkpoints is not what it was for whoever made it."""


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Says of an error that it is the checkpoint store's."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotMounted(str(error)) from error
    except OSError as error:
        raise StorageError(str(error)) from error
