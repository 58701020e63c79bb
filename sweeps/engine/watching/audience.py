"""Who only watches a sweep: progress, metrics, studies to look at, a stranger's function. None ends a run."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from sweeps.results.sweep_log import SweepLog


class Audience:
    """Tells each watcher what happens; one that raises is told of once, in the sweep's log too, and left out."""

    def __init__(self, watchers: Mapping[str, Callable[[], Any]], console: Console, log: SweepLog) -> None:
        """Bring the watchers in.

        Args:
            watchers: what a note calls each -> what makes it; it has those methods that it wants to hear of.
            console: to tell whoever reads it that one has failed.
            log: to note it in.
        """
        self._console, self._log = console, log
        self._watchers: dict[str, Any] = {}
        for name, make in watchers.items():
            self._watchers[name] = None  # until it is there
            self._safely(name, lambda name=name, make=make: self._watchers.update({name: make()}))  # type: ignore[misc]

    def hear(self, event: str, *about: Any) -> None:
        """Call the method `event` of each watcher that has one."""
        for name, watcher in list(self._watchers.items()):
            if (method := getattr(watcher, event, None)) is not None:
                self._safely(name, lambda method=method: method(*about))  # type: ignore[misc]

    def _safely(self, name: str, act: Callable[[], Any]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever a watcher raises: a trial is worth more
            self._watchers.pop(name, None)
            text = f"{name} raised {type(error).__name__}: {error}. It is not called again; the sweep goes on."
            self._log.note(text)
            self._console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
