"""What is computed once per machine and kept in the user's cache folder, named by the hash of what it comes from."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.places import obstacle, private_temporary

T = TypeVar("T")


class CacheUnwritable(Faults, StorageError):
    """The disk of the cache failed or is full: it may pass."""


def cache_dir() -> Path:
    """Folder of the cache: $EMBED_CACHE_DIR, else the user's cache folder, a temporary one where that is read-only."""
    named = os.environ.get("EMBED_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "koleo-sweeps"
    return users if obstacle(users) is None else private_temporary() or users


def lend_cache(variable: str, own: Path) -> None:
    """Point a library to a folder in this cache, by its environment variable, where it cannot write its own.

    Args:
        variable: names the library's folder; what the user has set stays.
        own: where it would write without.
    """
    if not os.environ.get(variable) and obstacle(own) is not None:
        os.environ[variable] = str(cache_dir() / variable.lower())


def folder_of(key: str) -> Path:
    """Where the entry of a key is, or would be."""
    return cache_dir() / hashlib.sha256(key.encode()).hexdigest()


def entry(key: str, *, read: Callable[[Path], T | None], write: Callable[[Path], None]) -> T:
    """What `read` makes of the entry of `key`; `write` is called only if it is not there.

    Safe under many processes: the first writes under a lock, the others wait and read the same files.

    Args:
        key: everything that the entry depends on.
        read: folder of the entry -> its contents; None: missing, or not whole.
        write: fills an empty folder.

    Raises:
        CacheUnwritable: for now, at least.
        Exception: what `write` raises.
    """
    folder = folder_of(key)
    found = read(folder)
    try:
        if found is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                found = read(folder)  # by a process that held the lock before
                if found is None:
                    _publish(folder, write)
                    found = read(folder)
    except Faults:  # of `write`: NotFetched is an OSError too
        raise
    except OSError as error:
        where = "free some space, or name another folder with EMBED_CACHE_DIR"
        raise CacheUnwritable([f"The cache, {folder.parent}, cannot be written ({error}): {where}."]) from error
    assert found is not None, folder
    return found


def remembered(key: str, compute: Callable[[], T]) -> T:
    """What `compute` returns, if JSON can hold it; computed once, unless the cache cannot be written."""
    name = "value.json"
    computed: list[T] = []

    def read(folder: Path) -> list[T] | None:
        try:
            return [json.loads((folder / name).read_text())]
        except (OSError, ValueError):
            return None

    def write(folder: Path) -> None:
        computed.append(compute())
        (folder / name).write_text(json.dumps(computed[0]))

    try:
        return entry(key, read=read, write=write)[0]
    except CacheUnwritable:
        return computed[0] if computed else compute()


def _publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Write beside and rename, so that a killed process leaves no half-written entry under the final name."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed process; the lock is ours
    partial.mkdir()
    try:
        write(partial)
        shutil.rmtree(folder, ignore_errors=True)  # there, but not whole
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
