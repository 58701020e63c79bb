"""Clocks that disagree: signatures are refused, and times in tables and logs are out of order."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

from sweeps.doctor.finding import Finding, ok, red

MOST_S: Final = 30.0
"""Between two clocks. AWS refuses from five minutes."""


def compared(theirs: float, whose: str, *, ours: float | None = None) -> Finding:
    """This machine's clock against another's.

    Args:
        theirs: seconds since 1970.
        whose: for the sentence.
        ours: likewise; None: now.
    """
    ahead = (time.time() if ours is None else ours) - theirs
    text = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} {whose}"
    if abs(ahead) <= MOST_S:
        return ok("clock", f"within {MOST_S:.0f} s of {whose}")
    return red("clock", text, "set it by the network, `timedatectl set-ntp true`")


def of_header(date: str) -> float:
    """Seconds since 1970 of an HTTP Date header.

    Raises:
        ValueError: not one.
    """
    return parsedate_to_datetime(date).timestamp()
