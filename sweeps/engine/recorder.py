"""The one writer: a Tune callback that turns results into rows of the store."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.storage.retry import PATIENCE_S, patiently
from sweeps.engine import failures, handover
from sweeps.engine.asha import ImagesSeenASHA
from sweeps.engine.provenance import Provenance
from sweeps.results.buffer import Buffer
from sweeps.results.schema import CURVES
from trainables.checkpoint_store import depot_at
from trainables.run_label import RunLabel, from_flat

_FROM_LAST_ROW = (
    "config_seen_sha256",
    "split_sha256",
    "pairs_sha256",
    "data_sha256",
    "device_name",
    "precision_used",
    "cpu_threads",
    "peak_gpu_bytes",
    "images_seen",
    "test_auc",
    "test_recall_at_1",
    "test_map_at_r",
    "test_knn_accuracy",
    "test_accuracy",
    "test_fitted_svm_accuracy",
    "test_fitted_knn_accuracy",
    "test_sha256",
    "unseen_auc",
    "unseen_recall_at_1",
    "unseen_map_at_r",
    "unseen_knn_accuracy",
    "collapsed",
    "error_type",
    "traceback",
    "hostname",
)
"""Columns of `trials` that the training process knows and sends with each row."""

_CURVE_COLUMNS = [name for name in CURVES.names if name not in ("trial_id", "attempt")]
"""Tune adds a `trial_id` of its own to every result."""


class Recorder(Callback):
    """Writes curves and rungs as they come and a trial's final row at its end, through a buffer.

    A trial that is interrupted gets no final row, so that a resume finds it unfinished. While the results cannot be
    written, a full disk say, the driver waits and rows stay in the buffer; if that lasts, the sweep ends with a Faults.
    """

    def __init__(
        self,
        buffer: Buffer,
        provenance: Provenance,
        *,
        scheduler: ImagesSeenASHA | None,
        constants: dict[str, Any],
        on_end: Sequence[Callable[[RunLabel, dict[str, Any]], None]],
    ) -> None:
        """Args: constants: `trials` columns all trials of the stage share. on_end: told each final `trials` row."""
        self._buffer, self._provenance, self._scheduler = buffer, provenance, scheduler
        self._constants, self._on_end = constants, on_end
        self._curves: dict[str, list[dict[str, Any]]] = {}
        self._started: dict[str, datetime] = {}
        self._heard: dict[str, float] = {}
        self._given_up: Faults | None = None
        self.ended = 0
        """Trials whose final row is stored; an interrupted one has none."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note when the attempt began."""
        self._started[trial.trial_id] = datetime.now(UTC)
        self._heard[trial.trial_id] = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Store a row and the decision made on it."""
        _, label = from_flat(trial.config)
        self._heard[trial.trial_id] = time.monotonic()
        self._curves.setdefault(trial.trial_id, []).append(result)
        if "epoch" in result:
            self._add("curves", label, {name: result[name] for name in _CURVE_COLUMNS if name in result})
        decision = self._scheduler.latest.pop(label.trial_id, None) if self._scheduler else None
        if decision is not None:
            self._add("rungs", label, decision.row())
            # On the disk before the trial goes on or the study is told: a resumed sweep must not decide anew.
            self._patiently(lambda: self._buffer.flush(label.trial_id))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Store the final row of a trial that ended by itself or was stopped by the scheduler."""
        last = self._curves.get(trial.trial_id, [{}])[-1]
        self._finish(trial, {"end_reason": last.get("end_reason") or "asha_stopped"})

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Store the final row of a trial whose retries are used up."""
        silent_s = time.monotonic() - self._heard.get(trial.trial_id, time.monotonic())
        deadline_s = trial.config["epoch_deadline_s"]
        self._finish(trial, failures.ending_of(trial, silent_s=silent_s, deadline_s=deadline_s))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Rows do not wait for the next one when epochs are long.

        Raises:
            Faults: the results could not be written for long. Only from here does it end the experiment, and not a
                trial.
        """
        self._patiently(self._buffer.flush_due)
        if self._given_up is not None:
            raise self._given_up

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Nothing stays in the buffer."""
        self._patiently(self._buffer.flush)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune snapshots its callbacks, and ours are never restored from there."""
        return {}

    def _finish(self, trial: Trial, ending: dict[str, Any]) -> None:
        config, label = from_flat(trial.config)
        curve = [row for row in self._curves.pop(trial.trial_id, []) if "epoch" in row]
        depot = depot_at(label.checkpoint_dir)
        handed: dict[str, list[dict[str, Any]]] = {}
        if config.eval_test and ending["end_reason"] == "completed":
            try:
                self._patiently(lambda: handed.update(handover.fetched(depot, label)))
            except Faults as error:
                lost = error
                self._patiently(lambda: ending.update(handover.begun_anew(depot, label, lost)))
        row = self._trial_row(trial, config, label, curve, ending["end_reason"]) | ending
        handed["evaluations"] = [*_evaluations(curve), *handed.get("evaluations", [])]
        for table, rows in handed.items():
            self._buffer.extend(table, label.stage, label.trial_id, label.attempt, rows)
        self._add("trials", label, row)
        self._patiently(lambda: self._buffer.flush(label.trial_id))
        if self._given_up is None:
            self.ended += 1
            depot.delete(label.held_out)  # stored now; until here an interrupted driver would read it again
            for told in self._on_end:
                told(label, row)

    def _patiently(self, act: Callable[[], None]) -> None:
        """Do what needs the disk; after an outage of PATIENCE_S nothing more: a resume finds it in the checkpoints."""
        if self._given_up is None:
            try:
                patiently(act, what="Results cannot be written")
            except OSError as error:
                text = f"The results could not be written for {PATIENCE_S:g} s: {error}. What is not stored comes back"
                self._given_up = Faults([f"{text} with `--resume`, once that works again."])

    def _trial_row(
        self, trial: Trial, config: TrainConfig, label: RunLabel, curve: list[dict[str, Any]], reason: str
    ) -> dict[str, Any]:
        last: dict[str, Any] = dict(curve[-1]) if curve else {}
        last |= {
            key: trial.last_result[key] for key in ("error_type", "traceback", "hostname") if key in trial.last_result
        }
        scored = [row for row in curve if row["val_auc"] == row["val_auc"]]
        best = max(scored, key=lambda row: row["val_auc"], default=None)
        rungs = self._scheduler.rungs if self._scheduler else None
        ended = rungs.ended(label.trial_id) if rungs else None
        stopped = ended if reason == "asha_stopped" else None
        resources = trial.placement_group_factory
        gpu_share = resources.required_resources.get("GPU", 0.0) if resources else 0.0
        wall_s = last.get("elapsed_s", 0.0)
        labels = ("trial_id", "attempt", "study_id", "cell_id", "block", "origin", "point")
        return {
            **{name: getattr(label, name) for name in labels},
            **config.to_flat(),
            **{name: last.get(name) for name in _FROM_LAST_ROW},
            **self._constants,
            **self._provenance.columns(),
            "ray_trial_id": trial.trial_id,
            "config_json": config.to_json(),
            "config_sha256": config.sha256,
            "stop_exempt": rungs.exempt.holds(label.trial_id) if rungs else False,
            "exempt_prob": rungs.exempt.share if rungs else None,
            "end_reason": reason,
            "censored": reason == "asha_stopped",
            "last_epoch": last.get("epoch", 0),
            "updates_done": last.get("update", 0),
            "stop_rung": stopped.rung if stopped else None,
            "would_stop_rung": ended.rung if ended and ended.exempt else None,
            "stop_cutoff": ended.cutoff if ended else None,
            "final_val_auc": last.get("val_auc"),
            "best_val_auc": best["val_auc"] if best else None,
            "best_epoch": best["epoch"] if best else None,
            "started_at": self._started.get(trial.trial_id),
            "ended_at": datetime.now(UTC),
            "wall_s": wall_s,
            "gpu_s": wall_s * gpu_share,
            "gpu_share": gpu_share,
            "node_id": last.get("ray_node_id"),
            "node_type": last.get("node_type"),
        }

    def _add(self, table: str, label: RunLabel, row: dict[str, Any]) -> None:
        self._buffer.add(table, label.stage, label.trial_id, label.attempt, row)


def _evaluations(curve: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The final row's validation metrics, one per row of `evaluations`; those of held-out images are handed over."""
    if not curve:
        return
    last = curve[-1]
    for column, value in last.items():
        if column.startswith("val_") and column not in ("val_auc_se", "val_pairs", "val_leak_share"):
            of_pairs = {"se": last["val_auc_se"], "n_pairs": last["val_pairs"]} if column == "val_auc" else {}
            metric, _, k = column.removeprefix("val_").partition("_at_")
            at = {"k": int(k)} if k else {}
            yield {"checkpoint": "final", "split": "val", "metric": metric, "value": value, **at, **of_pairs}
