"""The driver's buffer: rows arrive one by one, files must be few."""

import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from embedding_core.storage.result_tables import Row
from sweeps.results.store import Store, check_rows

_Group = tuple[str, str]
"""Table and stage, whose rows share a file."""


class Buffer:
    """Collects rows, and publishes them one file per table and stage.

    Taking a row needs no disk. A row leaves the buffer only once it is published: after an OSError (disk full, say)
    call `flush` again.
    """

    def __init__(self, store: Store, *, max_age_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: max_age_s: seconds after which a row is due, >= 0. clock: seconds, never going back."""
        self._store = store
        self._max_age_s = max_age_s
        self._clock = clock
        self._rows: dict[_Group, list[pa.Table]] = {}
        self._since: dict[_Group, float] = {}

    def __len__(self) -> int:
        """Rows not yet published."""
        return sum(rows.num_rows for taken in self._rows.values() for rows in taken)

    def add(self, table: str, stage: str, trial_id: str, attempt: int, row: Row) -> None:
        """Take a row. Arguments as for `Store.write`.

        Raises:
            Faults: the row does not fit; it is not taken, and the rows before it are unharmed.
        """
        self.extend(table, stage, trial_id, attempt, [row])

    def extend(self, table: str, stage: str, trial_id: str, attempt: int, rows: Sequence[Row]) -> None:
        """Take all of `rows`, or none, as `add` takes one."""
        # Here and not when flushing: one bad row must not keep good ones from the disk.
        taken = check_rows(table, stage, trial_id, attempt, rows)
        if rows:
            group = (table, stage)
            self._rows.setdefault(group, []).append(taken)
            self._since.setdefault(group, self._clock())

    def flush_due(self) -> None:
        """Publish everything if the oldest row is `max_age_s` old; to be called again and again.

        Raises:
            OSError: as `flush` does.
        """
        if self._since and self._clock() - min(self._since.values()) >= self._max_age_s:
            self.flush()
        self._store.compact_new()

    def flush(self, table: str | None = None) -> None:
        """Publish now what waits for one table, or all.

        Raises:
            OSError: e.g. disk full; names the file. What is not published stays in the buffer.
        """
        groups = [group for group in self._rows if table in (None, group[0])]
        # A row in `trials` says that the trial is finished: it comes after all the others.
        for group in sorted(groups, key=lambda group: group[0] == "trials"):
            self._store.publish(*group, pa.concat_tables(self._rows[group]).combine_chunks())
            del self._rows[group], self._since[group]
