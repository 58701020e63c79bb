"""`sweeps/koleo_accum.py` with a signal that it sends itself, or on nodes that fail every trial: see `kills.py`."""

import json
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from embedding_core.storage.result_tables import Row
from sweeps.cli import session
from sweeps.cli.main import main
from sweeps.koleo_accum import DESIGN
from trainables.embedding import EmbeddingTrainable

SIGNAL = "KOLEO_BENCHMARK_SIGNAL"
"""Variable with the arguments of `interrupt_in`, as JSON."""
SICK = "KOLEO_BENCHMARK_SICK"
"""Set on a node that fails every trial."""


class FailsOnSickNodes(EmbeddingTrainable):
    """Ends in an error at once where the node is sick."""

    def _start(self) -> Iterator[Row]:
        if SICK in os.environ:
            raise OSError(5, "Input/output error", f"/scratch/{self.config['trial_id']}")
        return super()._start()


def interrupt_in(place: str, call: int, after_s: float, number: int, note: str) -> None:
    """Send this process a signal while it is in a function between stages, or soon after.

    Args:
        place: dotted name of the function, which its callers look up by its last part.
        call: which call of it, from 1.
        after_s: seconds from the call to the signal.
        number: of the signal.
        note: file that then holds when it was sent, in seconds of the monotonic clock.
    """
    owner, _, name = place.rpartition(".")
    act, calls = getattr(pkgutil.resolve_name(owner), name), count(1)

    def send() -> None:
        Path(note).write_text(str(time.monotonic()))
        os.kill(os.getpid(), signal.Signals(number))

    def called(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == call:
            threading.Timer(after_s, send).start()
        return act(*arguments, **keywords)

    setattr(pkgutil.resolve_name(owner), name, called)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts this in the background ignores it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if SIGNAL in os.environ:
        interrupt_in(**json.loads(os.environ[SIGNAL]))
    session.Sweep = partial(session.Sweep, trainable=FailsOnSickNodes)  # type: ignore[misc,assignment]
    sys.exit(main(DESIGN))
