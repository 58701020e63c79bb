"""A file that appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class StorageError(OSError):
    """A disk or share failed, full or gone for a while: nothing wrong with what was to be stored."""


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """Stream into a file beside `file`, which takes its place at the end: a killed process leaves the old one.

    Raises:
        StorageError: e.g. disk full; the file is as it was.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut could leave the new name with no contents
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(error.errno, error.strerror, str(file)) from error
    except BaseException as error:
        partial.unlink(missing_ok=True)
        # torch's writer hides why it could not write.
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise StorageError(error.__context__.errno, error.__context__.strerror, str(file)) from error
        raise
