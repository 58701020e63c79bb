"""Whoever watches the rows of a sweep from Python: shown each."""

from collections.abc import Callable
from typing import Final

from embedding_core.storage.result_tables import Row
from sweeps.results.schema import CURVES
from trainables.run_label import RunLabel

COLUMNS: Final = tuple(name for name in CURVES.names if name not in ("trial_id", "attempt"))


class Watcher:
    """Calls a function with each row of each trial."""

    def __init__(self, on_row: Callable[[Row], None] | None) -> None:
        self._on_row = on_row

    def on_result(self, label: RunLabel, result: Row) -> None:
        """Show a row of the loop, with the stage, id and cell of its trial."""
        if self._on_row is not None and "epoch" in result:
            row = {name: result[name] for name in COLUMNS if name in result}
            self._on_row({"stage": label.stage, "trial_id": label.trial_id, "cell_id": label.cell_id, **row})
