"""Which file system holds a folder: SQLite's write-ahead log is memory that processes share, so never on a network."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")

LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})
"""Types that are known to be of this machine; one that is not here may be a network's (nfs4, lustre, fuse.sshfs)."""


def is_local(folder: Path) -> bool:
    """Whether an existing folder is known to lie on a disk of this machine; no where the kernel does not say."""
    return _type_of(folder.resolve()) in LOCAL


def _type_of(folder: Path) -> str | None:
    """Of the innermost mount above the folder; of several on the same place the last, which hides the others."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    types = {Path(_unescaped(point)): kind for _, point, kind, *_ in (line.split(" ") for line in lines)}
    return next((types[place] for place in (folder, *folder.parents) if place in types), None)


def _unescaped(point: str) -> str:
    """The kernel writes blanks and backslashes in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
