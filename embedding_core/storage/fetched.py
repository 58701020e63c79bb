"""Files of an object store, brought to this machine once: what is decoded and memory-mapped must lie on a disk."""

import os
import re
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import fs

from embedding_core.errors import Faults
from embedding_core.storage import local_cache
from embedding_core.storage.atomic_write import StorageError

LISTING: Final = "EMBED_LISTING"
"""Variable with a name that no other start of a sweep has: its processes on one machine share one listing of a set, and
so train on the files that were there when the first of them looked. Without it each call lists again."""

REFUSALS: Final = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "INVALID_SIGNATURE", "NO_SUCH_BUCKET",
    "MISSING_AUTHENTICATION_TOKEN", "PERMISSION_DENIED", "REQUEST_EXPIRED", "REQUEST_TIME_TOO_SKEWED",
    "SIGNATURE_DOES_NOT_MATCH", "UNAUTHENTICATED",
)  # fmt: skip
"""Answers of a store that is up, as Arrow spells them; waiting does not mend what they name."""

UNNAMED_REFUSAL: Final = re.compile(r"HTTP status (30[18]|40[0135])\b")
"""Status of those that Arrow has no name for: credentials that have expired, a bucket of another region."""


class NotFetched(Faults, StorageError):
    """The object store does not answer, or there is no room for its files: it may pass."""


def fetched(uri: str, name: str) -> Path:
    """Folder in this machine's cache that holds what is below `uri`/`name`, under that name; copied if it has changed.

    Args:
        uri: `s3://bucket/prefix`, say; credentials come from the environment.
        name: of a folder there.

    Raises:
        NotFetched: for now, at least.
        Faults: no such place, none for these credentials, or no files in it.
    """
    start = os.environ.get(LISTING)
    if start:
        listed = local_cache.remembered(f"listed {start} {uri} {name}", lambda: _listed(uri, name))
        listed = [(path, size, changed) for path, size, changed in listed]  # JSON has no tuples
    else:
        listed = _listed(uri, name)

    def write(folder: Path) -> None:
        try:
            filesystem, base = _opened(uri, name)
            for path, *_ in listed:
                target = folder / name / path.removeprefix(f"{base}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.copy_files(
                    path, str(target), source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem()
                )
        except (OSError, pa.ArrowException) as error:
            raise _failed(f"{uri}/{name} cannot be copied to {folder}", error) from error

    return local_cache.entry(
        f"fetched {uri} {name} {listed}", read=lambda folder: folder if (folder / name).is_dir() else None, write=write
    )


def _listed(uri: str, name: str) -> list[tuple[str, int, int]]:
    """Path, size and time of change (ns) of each file there.

    Raises:
        NotFetched, Faults: as `fetched`.
    """
    try:
        filesystem, base = _opened(uri, name)
        there = filesystem.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _failed(f"The data root {uri} cannot be read", error) from error
    found: list[tuple[str, int, int]] = [(one.path, one.size, one.mtime_ns) for one in there if one.is_file]
    if not found:
        wanted = "a folder of Parquet files, or of class folders"
        raise Faults([f"The data root {uri} has no files in `{name}`: put {wanted}, there, or name another root."])
    return sorted(found)


def _opened(uri: str, name: str) -> tuple[fs.FileSystem, str]:
    """The object store, and the path of a folder in it."""
    filesystem, root = fs.FileSystem.from_uri(uri)
    return filesystem, f"{root.rstrip('/')}/{name}"


def _failed(what: str, error: Exception) -> Faults:
    said = str(error)
    refused = any(name in said for name in REFUSALS) or UNNAMED_REFUSAL.search(said)
    return (NotFetched if isinstance(error, OSError) and not refused else Faults)([f"{what}: {error}"])
