"""Whoever watches the rows of a sweep from Python: shown each, and never able to end a run."""

from collections.abc import Callable
from typing import Final

from rich.console import Console

from embedding_core.storage.result_tables import Row
from sweeps.results.schema import CURVES
from trainables.run_label import RunLabel

COLUMNS: Final = tuple(name for name in CURVES.names if name not in ("trial_id", "attempt"))


class Watcher:
    """Calls a function with each row of each trial, as long as it raises nothing."""

    def __init__(self, on_row: Callable[[Row], None] | None, console: Console) -> None:
        self._on_row, self._console = on_row, console

    def on_result(self, label: RunLabel, result: Row) -> None:
        """Show a row of the loop, with the stage, id and cell of its trial."""
        if self._on_row is None or "epoch" not in result:
            return
        row = {name: result[name] for name in COLUMNS if name in result}
        try:
            self._on_row({"stage": label.stage, "trial_id": label.trial_id, "cell_id": label.cell_id, **row})
        except Exception as error:  # noqa: BLE001 - whatever a stranger's function raises: a trial is worth more
            self._on_row = None
            text = f"`on_row` raised {type(error).__name__}: {error}. It is not called again; the sweep goes on."
            self._console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
