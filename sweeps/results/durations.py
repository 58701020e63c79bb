"""How long something takes, as people say it."""

from typing import Final

IN_SECONDS: Final = 180.0
"""Shorter times are given in seconds."""


def time_text(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 h`; `seconds`: at least 0."""
    if seconds < IN_SECONDS:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join([f"{hours:,} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0))
