"""Which weights stay on disk: the best of each cell where settings are tried, all of the confirmation, one model."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from embedding_core.training import checkpoint
from sweeps.design.selection import best_trial
from sweeps.results import store
from sweeps.results.endings import FAILED_TRAINING, RESUMABLE
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import checkpoint_name

_logger = logging.getLogger(__name__)

TRYING = ("search", "tune")
"""Stages whose runs choose settings; the best of each cell is worth keeping."""

CHECKPOINTS = "checkpoints"
"""Folder of the runs' checkpoints in that of the sweep, unless they are elsewhere; below it a folder per stage."""


def keep_best(folder: Path, checkpoint_store: CheckpointStore, *, measure: str) -> None:
    """Keep weights and config of a sweep's best completed trial under `best/`: of those tried, else of the confirmed.

    If its checkpoint is gone, the old one stays.

    Args:
        folder: of the sweep.
        checkpoint_store: of its runs.
        measure: column of `trials` to go by; higher is better.

    Raises:
        OSError: the checkpoint store was out of reach for long.
    """
    best = best_trial(store.read(folder, "trials").to_pylist(), measure=measure)
    if best is None:
        return
    name, config = checkpoint_name(best["stage"], best["trial_id"]), best["config_json"] + "\n"
    model, described = folder / "best" / "model.pt", folder / "best" / "config.json"
    if model.is_file() and described.is_file() and described.read_text() == config:
        return
    with TemporaryDirectory() as scratch:
        weights = Path(scratch) / "run.pt"
        try:
            if not patiently(lambda: checkpoint_store.get(name, weights), what="The best model cannot be kept"):
                _logger.warning("best/ is not of the best trial: its checkpoint %s is gone.", name)
                return
            model.parent.mkdir(exist_ok=True)
            checkpoint.export_model(weights, model)
        except checkpoint.Damaged as error:
            _logger.warning("best/ is not of the best trial: its checkpoint %s is damaged: %s", name, error)
            return
    described.write_text(config)


def start_anew(checkpoint_store: CheckpointStore, stage: str, rows: Iterable[Row]) -> None:
    """Delete the checkpoints of those `trials` that came to an end by themselves: going on would be to end again."""
    failed = (row["trial_id"] for row in rows if row["end_reason"] in FAILED_TRAINING)
    checkpoint_store.delete_all(checkpoint_name(stage, trial_id) for trial_id in failed)


class CheckpointKeeper:
    """Deletes checkpoints of ended trials of search or tune, but for the best of each cell; the confirmed stay."""

    def __init__(self, folder: Path, stage: str, checkpoint_store: CheckpointStore, *, measure: str) -> None:
        """Args: measure: column of `trials` to go by."""
        self._best: dict[tuple[int, str], tuple[float, str]] = {}
        """By replicate and cell."""
        self._stage, self._checkpoint_store, self._measure = stage, checkpoint_store, measure
        rows = store.read(folder, "trials", stage=stage).to_pylist() if stage in TRYING else []
        checkpoint_store.delete_all([name for row in rows for name in self._superseded_by(row)])

    def on_stored(self, row: Row) -> None:
        """Take note of a final row of `trials`."""
        for name in self._superseded_by(row) if self._stage in TRYING else ():
            self._checkpoint_store.delete(name)

    def _superseded_by(self, row: Row) -> Iterator[str]:
        """Checkpoints that are not needed once this is known: all but the best of its cell; of equal values the first
        trial's stays, which `settle` and `keep_best` take too."""
        if row["end_reason"] in RESUMABLE:
            return  # a resume runs it again, from where it was
        value, trial_id, tuned = row[self._measure], row["trial_id"], (row["replicate"], row["cell_id"])
        best = self._best.get(tuned)
        completed = row["end_reason"] == "completed" and value is not None
        if not completed or (best is not None and (-value, trial_id) > (-best[0], best[1])):
            yield checkpoint_name(self._stage, trial_id)
            return
        if best is not None and best[1] != trial_id:
            yield checkpoint_name(self._stage, best[1])
        self._best[tuned] = (value, trial_id)
