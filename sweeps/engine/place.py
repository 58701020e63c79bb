"""Where a sweep keeps its checkpoints, and that a resume finds them there again."""

from pathlib import Path
from typing import Final

from embedding_core.faults import Faults
from trainables.depot import below, checked

NAME: Final = "checkpoints_at"
"""File beside the plan, if they are not in the sweep's folder. The plan says what is run, and its hash not where."""


def settled(folder: Path, asked: str | None, *, resume: bool) -> str:
    """Absolute folder or URI of the checkpoints, ready to be written; empty: in the sweep's own folder.

    Args:
        folder: of the sweep.
        asked: absolute folder or URI below which each sweep has a place of its name.
        resume: whether the sweep has been started before; then it keeps its place.

    Raises:
        Faults: a place that cannot be written, one that an earlier sweep has filled, or another than before.
    """
    file = folder / NAME
    there = file.read_text().strip() if resume and file.is_file() else ""
    wanted = below(asked, folder.name) if asked else there
    if resume and wanted != there:
        kept = there or "the sweep's own folder"
        raise Faults([f"A resumed sweep keeps its checkpoints in {kept}, but got {wanted}: leave `--checkpoints` out."])
    if wanted and not checked(wanted).is_empty() and not resume:
        text = f"`{wanted}` holds the checkpoints of an earlier sweep, which this one would take for its own"
        raise Faults([f"{text}: delete them, or give another `--name`."])
    return wanted


def remember(folder: Path, place: str) -> None:
    """For a resume."""
    if place:
        (folder / NAME).write_text(f"{place}\n")
