"""What a check finds."""

from dataclasses import dataclass
from typing import Literal

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
