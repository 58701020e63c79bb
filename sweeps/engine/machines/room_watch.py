"""Waiting for room, and no longer than agreed: a quota of zero or a type that is sold out never says so by itself."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

import ray
from ray.tune.experiment import Trial
from rich.console import Console

from embedding_core.errors import Faults

SAY_AFTER_S: Final = 180.0
"""Longer than a machine takes to boot and to join."""

_STATUS_TIMEOUT_S: Final = 20.0
_WHY_LINES: Final = 6


class RoomWatch:
    """Says why all trials wait, once, and ends the sweep when they have done so for too long."""

    def __init__(
        self,
        console: Console,
        *,
        deadline_s: float,
        why: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up while Ray is up.

        Args:
            console: to say it on.
            deadline_s: seconds without a running trial; 0: for ever.
            why: what the autoscaler says.
            clock: seconds, never going back.
        """
        self._console, self._deadline_s, self._why, self._clock = console, deadline_s, why or autoscaler_says, clock
        self._ran = clock()
        self._said = False

    def check(self, trials: Sequence[Trial]) -> None:
        """To be called again and again, with all trials.

        Raises:
            Faults: for as long as agreed no trial has had room.
        """
        # Not all of them after each row: the first one that runs says enough.
        if any(trial.status == Trial.RUNNING for trial in trials) or all(t.status != Trial.PENDING for t in trials):
            self._ran, self._said = self._clock(), False
            return
        waited_s = self._clock() - self._ran
        if self._deadline_s and waited_s >= self._deadline_s:
            raise Faults([no_room(waited_s, self._why())])
        if not self._said and waited_s >= SAY_AFTER_S:
            self._said = True
            text = f"No trial has had room for {waited_s:.0f} s. {self._why()}"
            self._console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def no_room(waited_s: float, why: str) -> str:
    """A sentence on a wait that has been given up."""
    text = f"No trial has had room for {waited_s / 60:.3g} min"
    return f"{text} (`--room-deadline`). {why} `--resume` goes on, once there is room."


def autoscaler_says() -> str:
    """Its own reason, as `ray status` has it."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--verbose", "--address"]
    try:
        address = ray.get_runtime_context().gcs_address
        told = subprocess.run(
            [*command, address], capture_output=True, text=True, timeout=_STATUS_TIMEOUT_S, check=True
        )
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f"The autoscaler cannot be asked: {type(error).__name__}."
    return reason_in(told.stdout)


def reason_in(status: str) -> str:
    """What a report of `ray status` says of machines that do not come, else of what is asked for."""
    lines = status.splitlines()
    for heading in ("Recent failures:", "Pending:", "Pending Demands:"):
        at = lines.index(heading) + 1 if heading in lines else len(lines)
        below = [line.strip() for line in takewhile(lambda line: line.startswith(" "), lines[at:])]
        told = [line for line in below if not line.startswith("(no ")]
        if told:
            return f"The autoscaler says: {heading} {'; '.join(told[:_WHY_LINES])}."
    return "The autoscaler gives no reason: see `ray status` and the monitor's log on the head."
