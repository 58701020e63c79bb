"""Waiting for what comes back by itself: a full disk that somebody clears, a share that is gone for a minute."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 600.0
"""Long enough for a server to restart or a person to delete something; short beside a sweep."""

PAUSE_S = 1.0
"""Between attempts, in seconds."""

_Result = TypeVar("_Result")

_logger = logging.getLogger(__name__)


def patiently(
    act: Callable[[], _Result],
    *,
    what: str,
    patience_s: float = PATIENCE_S,
    kinds: tuple[type[Exception], ...] = (OSError,),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Result:
    """Result of `act`, which is called again after each error of these kinds until `patience_s` seconds are over.

    Args:
        act: harmless to call again after it has failed.
        what: beginning of the message that tells of the wait, once; goes to the log.
        patience_s: seconds from the first failure, >= 0.
        kinds: errors that may pass by themselves.
        clock: seconds, never going back.
        sleep: takes seconds.

    Raises:
        Exception: the last error of these kinds, or at once any other.
    """
    failed_at: float | None = None
    while True:
        try:
            result = act()
        except kinds as error:
            if failed_at is None:
                failed_at = clock()
                _logger.warning("%s: %s. Trying again for %g s.", what, str(error).rstrip("."), patience_s)
            if clock() - failed_at >= patience_s:
                raise
            sleep(PAUSE_S)
        else:
            if failed_at is not None:
                _logger.warning("%s: it works again after %.0f s.", what, clock() - failed_at)
            return result
