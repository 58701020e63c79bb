"""What lies in a folder: the folders and images that are a user's own, and what is passed over."""

import os
from collections import Counter
from pathlib import Path
from typing import Final

from embedding_core.data.readers.decode import SUFFIXES
from embedding_core.errors import Faults
from embedding_core.wording import plural

NOT_THE_USERS: Final = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""Folders that archives, file managers and file systems leave, with images of theirs in them."""


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its suffix, unless it is hidden."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def folders_in(path: Path) -> list[str]:
    """Names of the user's own folders in `path`, sorted; none where that is no folder.

    Raises:
        Faults: it cannot be listed.
    """
    if not path.is_dir():
        return []
    try:
        return sorted(name for name in os.listdir(path) if not _passed_over(name) and os.path.isdir(path / name))
    except OSError as error:
        raise Faults([f"{path} cannot be listed: {error}"]) from error


def images_below(folder: Path) -> list[Path]:
    """Image files at any depth, sorted, but for hidden ones and those of archives, file managers and file systems.

    Raises:
        Faults: a folder that cannot be listed.
    """

    def cannot_list(error: OSError) -> None:
        raise Faults([f"{error.filename} cannot be listed: {error}"]) from error

    files, entered = [], set(map(str, Path(os.path.realpath(folder)).parents))
    for path, folders, names in os.walk(folder, onerror=cannot_list, followlinks=True):
        real = os.path.realpath(path)
        if real in entered:  # links may lead back, or up to where the other classes are
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        files += [Path(path, name) for name in names if is_image(name)]
    return sorted(files)


def other_files(path: Path) -> list[str]:
    """Files below `path` that are no images by their suffix, counted by it, the most frequent first: `2 .csv`."""
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not _passed_over(name)]
        found.update(Path(n).suffix.lower() for n in names if not n.startswith(".") and not is_image(n))
    return [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in found.most_common()]


def instead(path: Path) -> str:
    """What is there where class folders were looked for, to go on a sentence."""
    if path.is_file():
        return ": it is a file; an archive has to be unpacked"
    if not path.is_dir():
        return ": there is no such folder"
    loose = sum(map(is_image, os.listdir(path)))
    there = [*([plural(loose, "image")] if loose else []), *other_files(path)]
    return f", but {', '.join(there)}" if there else ""


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in NOT_THE_USERS
