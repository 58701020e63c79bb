"""What a run is called, kept apart from what it computes."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from embedding_core.config.train_config import TrainConfig
from embedding_core.storage import result_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLabel:
    """Place of one run in its sweep; travels in Ray's flat config beside the `TrainConfig` fields."""

    study_id: str
    """Name of the sweep."""
    stage: str
    """`search`, `tune` or `confirm`."""
    cell_id: str
    """Combination of scientific levels."""
    trial_id: str
    """Ours and stable: `trial_name` of Optuna's number in search, of the plan's index elsewhere."""
    block: int
    """Seed index shared by all cells."""
    origin: str
    """Where the nuisance values come from: `sampled`, `designed`, `drop-in`, `best of search` or `best of tune`."""
    attempt: int
    """1 + the highest attempt already published."""
    checkpoint_dir: str
    """Absolute folder that every node sees, or URI of an object store: see `CheckpointStore`."""
    point: int | None = None
    """Index of the settings in the stage tune, shared by its cells."""
    replicate: int = 1
    """Which tuning of the sweep, with its confirmation, the run belongs to; 1 to R."""
    master_seed: int = 0
    """Of the replicate: the sweep's for the first, and counted on."""
    epoch_deadline_s: float = 0.0
    """Seconds for an epoch, and again for keeping its checkpoint; a process that takes longer is taken for hung. While
    storage is waited for, they begin anew with each attempt. 0: never."""
    data_sha256: str = ""
    """Of the training images that the sweep is about; empty: not the same for all of its runs."""
    save_every_s: float = 0.0
    """Seconds from one checkpoint to the next, beside the one at the end; 0: one after each epoch."""

    @property
    def checkpoint(self) -> str:
        """Name of the run's weights and rows so far; found again by the same trial after any interruption."""
        return checkpoint_name(self.stage, self.trial_id)

    @property
    def held_out(self) -> str:
        """Name of the file by which the run hands over its longer results on held-out images."""
        return f"{self.stage}/{self.trial_id}{result_tables.SUFFIX}"


def trial_name(number: int) -> str:
    """`t00012`."""
    return f"t{number:05d}"


def checkpoint_name(stage: str, trial_id: str) -> str:
    """`search/t00012.pt`, in the checkpoint store."""
    return f"{stage}/{trial_id}.pt"


def to_flat(config: TrainConfig, label: RunLabel) -> dict[str, Any]:
    """Ray's config of one run."""
    return config.to_flat() | asdict(label)


def from_flat(flat: dict[str, Any]) -> tuple[TrainConfig, RunLabel]:
    """Inverse of `to_flat`.

    Raises:
        Faults: keys that belong to neither, or impossible values.
    """
    names = {field.name for field in fields(RunLabel)}
    label = RunLabel(**{key: value for key, value in flat.items() if key in names})
    return TrainConfig.from_flat({key: value for key, value in flat.items() if key not in names}), label
