"""What a check finds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embedding_core.storage.places import obstacle

State = Literal["ok", "note", "red"]
"""As it should be; worth knowing, and no obstacle; in the way of a sweep."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    check: str
    """What was looked at."""
    state: State
    found: str
    remedy: str = ""
    """What to do about it; of a red line always."""


def ok(check: str, found: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", found)


def note(check: str, found: str, remedy: str = "") -> Finding:
    """No obstacle."""
    return Finding(check, "note", found, remedy)


def red(check: str, found: str, remedy: str) -> Finding:
    """In the way."""
    return Finding(check, "red", found, remedy)


def writable(what: str, folder: Path, remedy: str, *, without: str = "") -> Finding:
    """Whether a folder can be written, or made where it is to be.

    Args:
        what: looked at.
        folder: absolute.
        remedy: where it cannot.
        without: how sweeps do without it; where they cannot, the finding is red and not a note.
    """
    hindrance = obstacle(folder)
    if hindrance is None:
        return ok(what, f"{folder} can be written")
    text = f"{folder} cannot be written, because of {hindrance}"
    return note(what, f"{text}: {without}", remedy) if without else red(what, text, remedy)
