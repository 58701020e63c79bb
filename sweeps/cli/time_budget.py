"""A limit on wall time that ends a sweep as Ctrl-C does."""

import os
import signal
from types import FrameType


class Budget:
    """Interrupts this process after some seconds, once; to be made in its main thread."""

    def __init__(self, seconds: float | None) -> None:
        """Args: seconds: from now; None: no limit."""
        self.spent = False
        """Whether it was this that interrupted."""
        self._limited = seconds is not None
        if seconds is not None:
            signal.signal(signal.SIGALRM, self._interrupt)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def cancel(self) -> None:
        """Interrupt no more."""
        if self._limited:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.spent = True
        os.kill(os.getpid(), signal.SIGINT)
