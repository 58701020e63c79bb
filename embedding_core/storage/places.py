"""Where this process may write, found out without writing anything."""

import os
import tempfile
from pathlib import Path


def obstacle(folder: Path) -> Path | None:
    """What keeps files from being made in a folder that may not be there yet: the folder, or the nearest one above it.

    Returns:
        A file in the way, or a folder that is read-only or somebody else's; None: nothing is.
    """
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return None if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else there


def private_temporary() -> Path | None:
    """A folder of this user's in the temporary one, made if need be; None where there is none that only they can write.

    What others could have put there would be loaded as compiled code.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"koleo-sweeps-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if own and folder.is_dir() and not folder.is_symlink() and obstacle(folder) is None else None
