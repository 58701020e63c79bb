"""What runs, what ended how, the best value, images per second and the time left; plain lines without a terminal."""

import time
from collections import Counter
from typing import Final

from ray.tune.experiment import Trial
from rich.console import Console
from rich.live import Live
from rich.table import Table

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.results.durations import time_text
from trainables.run_label import RunLabel

LINE_EVERY_S = 60.0
"""Seconds between lines, without a terminal."""

LIVE_EVERY_S = 1.0
"""Between two states of the display, on one."""

PURPOSES: Final = {
    "search": "try settings, and stop those that fall behind",
    "tune": "find the best settings of every cell, separately in each replicate",
    "confirm": "train the cells on fresh seeds; effects come from these runs alone",
}
"""What each stage is for."""


class Progress:
    """Live display of one stage."""

    def __init__(
        self, stage: str, *, planned: int, images_per_trial: int, ended: Counter[str], measure: str, console: Console
    ) -> None:
        """Set up.

        Args:
            stage: which.
            planned: trials of the stage in all.
            images_per_trial: forwarded by one that is not stopped.
            ended: trials before this start, by ending.
            measure: column of the rows of which the best value is shown.
            console: to show it on.
        """
        self._stage, self._planned, self._images_per_trial = stage, planned, images_per_trial
        self._measure = measure
        self._ended = Counter(ended)
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._images: dict[str, int] = {}
        self._images_here = 0
        self._alive: Counter[str] = Counter()
        self._best: float | None = None
        self._started = self._shown = time.monotonic()

    def start(self) -> None:
        """Say what the stage is for, and show the display."""
        if self._live is not None:
            self._live.start()
            self._show()
        else:
            self._print(f"{self._title()} ({plural(self._planned, 'trial')})")

    def on_result(self, label: RunLabel, result: Row) -> None:
        """Count images; remember the best value."""
        seen = int(result.get("images_seen", 0))
        self._images_here += seen - self._images.get(label.trial_id, 0)
        self._images[label.trial_id] = seen
        value = result[self._measure]
        if value == value and (self._best is None or value > self._best):
            self._best = value

    def on_stored(self, row: Row) -> None:
        """Count a final row of `trials`."""
        self._images.pop(row["trial_id"], None)
        self._ended[row["end_reason"]] += 1

    def refresh(self, trials: list[Trial]) -> None:
        """Show the state, also where nothing happens: without a node there are no results for as long as it takes."""
        every_s = LINE_EVERY_S if self._live is None else LIVE_EVERY_S
        if time.monotonic() - self._shown >= every_s:
            self._count(trials)
            self._show()

    def stop(self, trials: list[Trial]) -> None:
        """Take the display down, leave its last state as a line."""
        self._count(trials)
        if self._live is not None:
            self._live.stop()
        self._print(self._line())

    def _count(self, trials: list[Trial]) -> None:
        """By Tune's status: a trial whose node died waits again."""
        self._alive = Counter(trial.status for trial in trials)

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        else:
            self._print(self._line())

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _title(self) -> str:
        return f"{self._stage}: {PURPOSES.get(self._stage, 'run what is planned')}"

    def _facts(self) -> dict[str, str]:
        elapsed = time.monotonic() - self._started
        rate = self._images_here / elapsed if elapsed > 0 else 0.0
        endings = ", ".join(f"{count} {reason}" for reason, count in sorted(self._ended.items())) or "none yet"
        waiting = self._alive[Trial.PENDING]
        alive = f"{self._alive[Trial.RUNNING]} running" + (f", {waiting} waiting to start" if waiting else "")
        facts = {"trials": f"{self._ended.total()}/{self._planned} ended ({endings}), {alive}"}
        if self._best is not None:
            facts |= {f"best {self._measure}": f"{self._best:.4f}", "images/s": f"{rate:,.0f}"}
        left = self._time_left(rate)
        return facts | ({"time left": left} if left else {})

    def _time_left(self, rate: float) -> str:
        """An upper bound: trials that ASHA stops see fewer images. Empty while nobody knows: all wait for room, say."""
        if rate <= 0 or (self._alive[Trial.PENDING] and not self._alive[Trial.RUNNING]):
            return ""
        left = (self._planned - self._ended.total()) * self._images_per_trial - sum(self._images.values())
        return f"at most {time_text(max(left, 0) / rate)}" if left > 0 else ""

    def _line(self) -> str:
        return f"{self._stage}: " + "; ".join(f"{name} {value}" for name, value in self._facts().items())

    def _table(self) -> Table:
        table = Table(title=self._title(), show_header=False, title_justify="left")
        for name, value in self._facts().items():
            table.add_row(name, value)
        return table
