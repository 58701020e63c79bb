"""The final row of a trial: what was asked for, what ran, how it ended and what it took."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from ray.tune.experiment import Trial

from embedding_core.config.train_config import TrainConfig
from embedding_core.evaluation.validation import MEASURES
from embedding_core.storage.result_tables import Row
from sweeps.engine.search.asha import Judge
from trainables.run_label import RunLabel, from_flat

_LABEL: Final = ("trial_id", "attempt", "study_id", "cell_id", "replicate", "master_seed", "block", "origin", "point")
"""Columns of `trials` that the label has."""

_FROM_LAST_ROW: Final = (
    "config_seen_sha256",
    "config_seen_differences",
    "split_sha256",
    "pairs_sha256",
    "data_sha256",
    "weights_sha256",
    "device_name",
    "precision_used",
    "cpu_threads",
    "peak_gpu_bytes",
    "images_seen",
    "test_auc",
    "test_recall_at_1",
    "test_recall_at_2",
    "test_recall_at_4",
    "test_recall_at_8",
    "test_map_at_r",
    "test_knn_accuracy",
    "test_accuracy",
    "test_fitted_svm_accuracy",
    "test_fitted_knn_accuracy",
    "test_sha256",
    "classes_tested",
    "views_failed",
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

_FROM_GIVING_UP: Final = ("error_type", "traceback", "hostname", "ray_node_id", "node_type", "machine_image")
"""Those of a result that ends a trial and is no row of an epoch."""

_ABOUT_TRIPLETS: Final = ("val_triplet_auc_se", "val_triplet_pairs", "val_leak_share")
"""Validation columns that are no metric."""


@dataclass(slots=True)
class LiveTrial:
    """What is known of a trial between its first start and its end."""

    config: TrainConfig
    label: RunLabel
    started_at: datetime | None = None
    """Of the latest attempt that Tune made; None: it never came to that."""
    heard_at: float | None = None
    """Reading of a monotonic clock, in seconds, when it was started or sent a result."""
    last: Row = field(default_factory=dict)
    """The last result: a row of an epoch, or what a trial that gave up sent in place of one."""
    last_row: Row = field(default_factory=dict)
    """The last row of an epoch."""
    best_val_auc: float | None = None
    best_epoch: int | None = None

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """From Ray's config."""
        return cls(*from_flat(trial.config))

    def hear(self, result: Row) -> None:
        """Take a result. A process that takes a trial over sends its rows again from the first one on, and may train
        some once more: those of its predecessor do not count any longer."""
        self.last = result
        if "epoch" not in result:
            return
        if self.best_epoch is not None and result["epoch"] <= self.best_epoch:
            self.best_val_auc = self.best_epoch = None
        self.last_row, value = result, result["val_auc"]
        if value == value and (self.best_val_auc is None or value > self.best_val_auc):
            self.best_val_auc, self.best_epoch = value, result["epoch"]


def trial_row(trial: Trial, live: LiveTrial, end_reason: str, rungs: Judge | None) -> dict[str, Any]:
    """Row of `trials`, but for the columns that all trials of a stage share.

    Args:
        trial: as Tune holds it.
        live: what has come of it.
        end_reason: its ending.
        rungs: what ASHA decided, if it was asked.
    """
    config, label = live.config, live.label
    gave_up = {key: trial.last_result[key] for key in _FROM_GIVING_UP if key in trial.last_result}
    last: dict[str, Any] = {**live.last_row, **gave_up}
    resources = trial.placement_group_factory
    gpu_share = resources.required_resources.get("GPU", 0.0) if resources else 0.0
    wall_s = last.get("elapsed_s", 0.0)
    return {
        **{name: getattr(label, name) for name in _LABEL},
        **config.to_flat(),
        **{name: last.get(name) for name in _FROM_LAST_ROW},
        "ray_trial_id": trial.trial_id,
        "config_json": config.to_json(),
        "config_sha256": config.sha256,
        **_stopping(label.trial_id, end_reason, rungs),
        "end_reason": end_reason,
        "censored": end_reason == "asha_stopped",
        "last_epoch": last.get("epoch", 0),
        "updates_done": last.get("update", 0),
        **{f"final_{measure}": last.get(measure) for measure in MEASURES},
        "best_val_auc": live.best_val_auc,
        "best_epoch": live.best_epoch,
        "started_at": live.started_at,
        "ended_at": datetime.now(UTC),
        "wall_s": wall_s,
        "gpu_s": wall_s * gpu_share,
        "gpu_share": gpu_share,
        "node_id": last.get("ray_node_id"),
        "node_type": last.get("node_type"),
        "machine_image": last.get("machine_image"),
    }


def _stopping(trial_id: str, end_reason: str, rungs: Judge | None) -> dict[str, Any]:
    """Where and why ASHA stopped it, or would have."""
    ended = rungs.ended(trial_id) if rungs else None
    return {
        "stop_exempt": rungs.exempt.holds(trial_id) if rungs else False,
        "exempt_prob": rungs.exempt.share if rungs else None,
        "stop_rung": ended.rung if ended and end_reason == "asha_stopped" else None,
        "would_stop_rung": ended.rung if ended and ended.exempt else None,
        "stop_cutoff": ended.cutoff if ended else None,
    }


def validation_evaluations(last: Row) -> Iterator[dict[str, Any]]:
    """The final row's validation metrics, one per row of `evaluations`; those of held-out images are handed over.

    Args:
        last: row of the trial's last epoch; empty: there was none.
    """
    for column, value in last.items():
        if column.startswith("val_") and column not in _ABOUT_TRIPLETS:
            of_pairs = {}
            if column == "val_triplet_auc":
                of_pairs = {"se": last["val_triplet_auc_se"], "n_pairs": last["val_triplet_pairs"]}
            name = column.removeprefix("val_")
            metric, _, k = name.partition("_at_")
            of = {"metric": metric, "k": int(k)} if k.isdigit() else {"metric": name}  # MAP@R has an R for each image
            yield {"checkpoint": "final", "split": "val", **of, "value": value, **of_pairs}
