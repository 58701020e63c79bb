"""Files of an object store, brought to this machine once: what is decoded and memory-mapped must lie on a disk."""

from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from embedding_core.errors import Faults
from embedding_core.storage import local_cache


def fetched(uri: str, name: str) -> Path:
    """Folder in this machine's cache that holds what is below `uri`/`name`, under that name; copied if it has changed.

    Args:
        uri: `s3://bucket/prefix`, say; credentials come from the environment.
        name: of a folder there.

    Raises:
        Faults: no such place, no files in it, or no room here.
    """
    try:
        filesystem, root = fs.FileSystem.from_uri(uri)
        base = f"{root.rstrip('/')}/{name}"
        there = filesystem.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Faults([f"The data root {uri} cannot be read: {error}"]) from error
    listed = sorted((one.path, one.size, one.mtime_ns) for one in there if one.is_file)
    if not listed:
        wanted = "a folder of Parquet files, or of class folders"
        raise Faults([f"The data root {uri} has no files in `{name}`: put {wanted}, there, or name another root."])

    def write(folder: Path) -> None:
        try:
            for path, *_ in listed:
                target = folder / name / path.removeprefix(f"{base}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.copy_files(
                    path, str(target), source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem()
                )
        except (OSError, pa.ArrowException) as error:
            raise Faults([f"{uri}/{name} cannot be copied to {folder}: {error}"]) from error

    return local_cache.entry(
        f"fetched {uri} {name} {listed}", read=lambda folder: folder if (folder / name).is_dir() else None, write=write
    )
