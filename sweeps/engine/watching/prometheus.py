"""Numbers of the running trials for Prometheus, through the metrics agent that every Ray node has."""

import math
import time
from collections.abc import Callable
from typing import Final

from ray.tune.experiment import Trial
from ray.util.metrics import Counter, Gauge

from embedding_core.storage.result_tables import Row
from trainables.run_label import RunLabel

GAUGES: Final = {
    "koleo_trial_images_per_second": "images forwarded per second of training, last epoch",
    "koleo_trial_epoch": "epochs completed",
    "koleo_trial_val_auc": "validation AUC, last epoch",
    "koleo_trial_gpu_peak_bytes": "peak memory allocated on the GPU",
}
"""By name, before which Ray puts `ray_`; no series where there is no GPU or no finite value."""

ENDED: Final = "koleo_trials_ended"
"""Counter of final rows by `end_reason`; Prometheus sees `ray_koleo_trials_ended_total`."""

REFRESH_S: Final = 1.0
"""An agent forgets a gauge that is not set again for two of its intervals (20 s). So a live trial's is set all the
time, for an epoch may be longer, and an ended one's series ends by itself."""


class Metrics:
    """Sets the gauges of one stage's trials while they run, and counts endings.

    In the driver, which sees every row: a trial's process goes on to other trials.
    """

    def __init__(self, study_id: str, stage: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up while Ray is up. Args: study_id: name of the sweep. clock: seconds, never going back."""
        self._of_all = tags_of(sweep=study_id, stage=stage)
        tags = (*self._of_all, "cell")
        self._gauges = {name: Gauge(name, description, (*tags, "trial")) for name, description in GAUGES.items()}
        self._ended = Counter(ENDED, "trials that ended", (*tags, "end_reason"))
        self._live: dict[str, tuple[dict[str, str], dict[str, float]]] = {}
        """Tags and values by our trial id."""
        self._clock = clock
        self._refreshed = clock()

    def on_result(self, label: RunLabel, result: Row) -> None:
        """Show a row's values."""
        if "epoch" in result:
            tags = self._of_all | tags_of(cell=label.cell_id, trial=label.trial_id)
            self._live[label.trial_id] = tags, values_of(result)
            self._set(label.trial_id)

    def refresh(self, trials: list[Trial]) -> None:
        """Set everything live again."""
        if self._clock() - self._refreshed >= REFRESH_S:
            self._refreshed = self._clock()
            for trial_id in self._live:
                self._set(trial_id)

    def on_stored(self, row: Row) -> None:
        """Count a final row of `trials`."""
        self._live.pop(row["trial_id"], None)
        self._ended.inc(tags=self._of_all | tags_of(cell=row["cell_id"], end_reason=row["end_reason"]))

    def _set(self, trial_id: str) -> None:
        tags, values = self._live[trial_id]
        for name, value in values.items():
            self._gauges[name].set(value, tags=tags)


def tags_of(**texts: str) -> dict[str, str]:
    """Tags as Ray takes them, in ASCII: of other letters the escape, `\\xe9tude`."""
    return {name: text.encode("ascii", "backslashreplace").decode() for name, text in texts.items()}


def values_of(row: Row) -> dict[str, float]:
    """Value by gauge of one row of `embedding_core.train`; what is absent, null or not finite is left out."""
    train_s = row.get("train_s")
    found = {
        # Every epoch sees as many images, and a resumed trial sends rows again.
        "koleo_trial_images_per_second": row["images_seen"] / row["epoch"] / train_s if train_s else None,
        "koleo_trial_epoch": row["epoch"],
        "koleo_trial_val_auc": row["val_auc"],
        "koleo_trial_gpu_peak_bytes": row.get("peak_gpu_bytes"),
    }
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
