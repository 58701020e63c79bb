"""The one writer: turns what Tune tells of its trials into rows of the store, and keeps what must not be lost."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ray.tune.experiment import Trial

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import PATIENCE_S, patiently
from sweeps.engine.interruption import Interrupted
from sweeps.engine.records import endings, handover
from sweeps.engine.records.endings import Ending
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.trial_row import LiveTrial, trial_row, validation_evaluations
from sweeps.engine.search.asha import Decision, Judge
from sweeps.results.buffer import Buffer
from sweeps.results.schema import CURVES
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import RunLabel

_CURVE_COLUMNS = [name for name in CURVES.names if name not in ("trial_id", "attempt")]
"""Tune adds a `trial_id` of its own to every result."""


class Recorder:
    """Writes curves and rungs as they come and a trial's final row at its end, through a buffer.

    A trial that is interrupted gets no final row, so that a resume finds it unfinished. While the results cannot be
    written, a full disk say, the driver waits and rows stay in the buffer; if that lasts, the sweep ends with a Faults.
    """

    def __init__(
        self,
        buffer: Buffer,
        provenance: Provenance,
        checkpoint_store: CheckpointStore,
        *,
        rungs: Judge | None,
        constants: dict[str, Any],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up.

        Args:
            buffer: of the sweep's results.
            provenance: of this process.
            checkpoint_store: of the runs.
            rungs: what ASHA decides in.
            constants: `trials` columns that all trials of the stage share.
            pause: takes the seconds between two attempts at what fails; an Interrupted ends the wait.
        """
        self._buffer, self._checkpoint_store, self._rungs = buffer, checkpoint_store, rungs
        self._constants = {**constants, **provenance.columns()}
        self._live: dict[str, LiveTrial] = {}
        """By Ray's trial id."""
        self._given_up: Faults | None = None
        self._pause = pause

    def live(self, trial: Trial) -> LiveTrial:
        """What is known of a trial that has not ended; its config is read once."""
        if trial.trial_id not in self._live:
            self._live[trial.trial_id] = LiveTrial.of(trial)
        return self._live[trial.trial_id]

    def begin(self, trial: Trial) -> None:
        """Note when an attempt began."""
        live = self.live(trial)
        live.started_at, live.heard_at = datetime.now(UTC), time.monotonic()

    def result(self, trial: Trial, result: Row) -> None:
        """Take a row; it is stored in time."""
        live = self.live(trial)
        live.heard_at = time.monotonic()
        live.hear(result)
        if "epoch" in result:
            self._add("curves", live.label, {name: result[name] for name in _CURVE_COLUMNS if name in result})

    def decision(self, trial: Trial, decision: Decision) -> bool:
        """Store what ASHA has decided; whether it is on the disk now. Rows can wait: an unfinished trial sends them
        again."""
        self._add("rungs", self.live(trial).label, decision.row())
        self._patiently(lambda: self._buffer.flush("rungs"))
        return self._given_up is None

    def silent_s(self, trial: Trial) -> float:
        """Seconds since a trial was started or sent a result."""
        heard_at = self.live(trial).heard_at
        return 0.0 if heard_at is None else time.monotonic() - heard_at

    def finish(self, trial: Trial, ending: Ending) -> Row | None:
        """Store the final row of a trial with all that it hands over; None: the results could not be written."""
        live = self.live(trial)
        config, label = live.config, live.label
        tables: dict[str, list[dict[str, Any]]] = {}
        if config.eval_test and ending["end_reason"] == "completed":
            try:
                self._patiently(
                    lambda: tables.update(handover.fetched(self._checkpoint_store, label, pause=self._pause))
                )
            except Faults as error:
                lost, ending = error, endings.of_lost_results(error)
                self._patiently(lambda: handover.put_aside(self._checkpoint_store, label, lost))
        row = trial_row(trial, live, ending["end_reason"], self._rungs) | self._constants | ending
        tables["evaluations"] = [*validation_evaluations(live.last_row), *tables.get("evaluations", [])]
        del self._live[trial.trial_id]
        for table, rows in tables.items():
            self._buffer.extend(table, label.stage, label.trial_id, label.attempt, rows)
        self._add("trials", label, row)
        self.flush()
        if self._given_up is not None:
            return None
        self._checkpoint_store.delete(label.held_out)  # until here an interrupted driver would read it again
        return row

    def flush_due(self) -> None:
        """Write rows that have waited for long: they do not wait for the next one when epochs are long.

        Raises:
            Faults: the results could not be written for long. Only from here does it end the experiment, and not a
                trial.
        """
        self._patiently(self._buffer.flush_due)
        if self._given_up is not None:
            raise self._given_up

    def flush(self) -> None:
        """Write everything."""
        self._patiently(self._buffer.flush)

    def _patiently(self, act: Callable[[], None]) -> None:
        """Do what needs the disk; after an outage of PATIENCE_S nothing more: a resume finds it in the checkpoints."""
        if self._given_up is None:
            try:
                patiently(act, what="Results cannot be written", sleep=self._pause)
            except (OSError, Interrupted) as error:
                text = f"The results could not be written for {PATIENCE_S:g} s: {error}. What is not stored comes back"
                self._given_up = Faults([f"{text} with `--resume`, once that works again."])

    def _add(self, table: str, label: RunLabel, row: Row) -> None:
        self._buffer.add(table, label.stage, label.trial_id, label.attempt, row)
