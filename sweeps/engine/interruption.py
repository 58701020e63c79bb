"""What ends a sweep in good order, whatever it is doing: Ctrl-C, SIGTERM, a closed terminal, the end of its time."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP not where it was ignored at the start: so `nohup` has it."""

TUNES = signal.SIGUSR1
"""Tune takes it for a wish to stop; from its first run on, and for ever."""


class Interrupted(Exception):
    """A wait within Tune's loop, or the loop itself, is over because the sweep is to end."""


class Interruption:
    """The wish to end this process's sweep: a context in whose block signals and the time budget express it.

    Outside Tune's loop it is a KeyboardInterrupt where the signal arrives: all that is written is there whole or not
    at all. Within, where running trials are to be let go, the loop is left after its step and waits with their next
    attempt; whoever asks again does not wait for that. To be entered in the main thread.
    """

    def __init__(self, budget_s: float | None = None) -> None:
        """Args: budget_s: seconds from entering it after which the sweep is to end; None: no limit."""
        self.asked = False
        self.budget_spent = False
        """Whether it was the time budget that asked."""
        self._budget_s = budget_s
        self._in_loop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        ours = SIGNALS if self._budget_s is None else (*SIGNALS, signal.SIGALRM)
        self._before = {number: signal.getsignal(number) for number in ours}
        self.handle()
        if self._budget_s is not None:
            signal.setitimer(signal.ITIMER_REAL, self._budget_s)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._budget_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        _restore(self._before)
        self._before = {}

    def handle(self) -> None:
        """Take the signals, within the block; once more after Ray has started or stopped, for it takes SIGTERM away."""
        for number, before in self._before.items():
            if number != signal.SIGHUP or before is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    @contextmanager
    def within_loop(self) -> Iterator[None]:
        """A run of Tune, which takes signals and does not give them back."""
        before: dict[int, Any] = {number: signal.getsignal(number) for number in (*SIGNALS, TUNES)}
        self._in_loop = True
        try:
            yield
        finally:
            self._in_loop = False
            _restore(before)

    def check(self) -> None:
        """Between two things to do: whoever swallows a KeyboardInterrupt does not keep the sweep going."""
        if self.asked:
            raise KeyboardInterrupt

    def check_loop(self) -> None:
        """Leave Tune's loop, if that is wished.

        Raises:
            Interrupted: the sweep is to end.
        """
        if self.asked:
            raise Interrupted("The sweep is to end.")

    def pause(self, seconds: float) -> None:
        """Between two attempts at something, within Tune's loop.

        Raises:
            Interrupted: the sweep is to end.
        """
        self.check_loop()
        time.sleep(seconds)
        self.check_loop()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        self.budget_spent |= number == signal.SIGALRM and not again
        if again or not self._in_loop:
            raise KeyboardInterrupt


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        # None: not installed from Python, so that it cannot be put back from here.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
