"""`results/latest`: a link to the sweep that was started, or gone on with, last."""

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = "latest"


def point_to(folder: Path) -> None:
    """Let the link beside a sweep's folder lead to it. Never fails: some file systems have no links.

    What has that name and is no such link is left alone.
    """
    link, partial = folder.with_name(NAME), folder.with_name(f".{NAME}-{uuid.uuid4().hex[:8]}")
    if folder.name == NAME or (os.path.lexists(link) and followed(link) == link):
        return
    with suppress(OSError):
        os.symlink(folder.name, partial)
        try:
            os.replace(partial, link)  # at once: whoever follows it finds the earlier sweep or this one
        except OSError:
            partial.unlink()


def followed(path: Path) -> Path:
    """The folder beside it that `latest` leads to, so that nothing is named after the link; any other path as it is."""
    target = Path(os.readlink(path)) if path.name == NAME and path.is_symlink() else path
    return path.parent / target if target.parts == (target.name,) else path
