"""A sweep as the engine holds it: a plan, the folder that it fills, and what its stages share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ray import tune
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from sweeps.design import data_pin
from sweeps.design.plan import Plan
from sweeps.design.plan_file import content_of
from sweeps.design.planned_counts import planned_trials
from sweeps.engine.interruption import Interruption
from sweeps.engine.machines.error_watch import ErrorWatch
from sweeps.engine.machines.resources import Slots
from sweeps.engine.records.retention import CHECKPOINTS
from sweeps.results.store import Store
from sweeps.results.sweep_log import SweepLog
from trainables.checkpoint_store import CheckpointStore
from trainables.embedding import EmbeddingTrainable


@dataclass(frozen=True, slots=True)
class Sweep:
    """What `runner.run` runs."""

    plan: Plan
    folder: Path
    store: Store
    data: DeviceData
    slots: Slots
    console: Console
    trainable: type[tune.Trainable] = EmbeddingTrainable
    """What a trial runs."""
    retry: tuple[str, ...] = ()
    """Endings of which trials are run again, besides those that are always."""
    checkpoints: str = ""
    """Absolute folder or URI where the runs' checkpoints lie, by stage; empty: in the sweep's folder."""
    epoch_deadline_s: float = 0.0
    """See `RunLabel`."""
    save_every_s: float = 0.0
    """Likewise."""
    room_deadline_s: float = 0.0
    """Seconds for which all trials may wait for room; 0: for ever."""
    on_row: Callable[[Row], None] | None = None
    """Shown each row of a trial, with its stage, id and cell."""
    interruption: Interruption = field(default_factory=Interruption)
    """Whoever runs the sweep enters it, so that signals are heard."""
    errors: ErrorWatch = field(default_factory=ErrorWatch)
    """Of all its stages."""
    log: SweepLog = field(default_factory=SweepLog)
    """Of what fails beside the results."""

    @property
    def study_id(self) -> str:
        """Name of the sweep."""
        return self.folder.name

    @property
    def data_sha256(self) -> str:
        """See `RunLabel`."""
        return self.data.sha256 if data_pin.shared(self.plan) else ""

    @property
    def checkpoint_dir(self) -> str:
        """Absolute folder or URI of the runs' checkpoints, by stage."""
        return self.checkpoints or str(self.folder / CHECKPOINTS)

    def checkpoint_store(self) -> CheckpointStore:
        """Where the checkpoints lie, an outage waited out. In its own folder a sweep does without those deleted there.

        Raises:
            Faults: they are not to be reached, or not to be found in a place that was given.
        """
        return patiently(
            lambda: CheckpointStore.ready(self.checkpoint_dir, make=not self.checkpoints),
            what="The checkpoints are out of reach",
            kinds=(Faults,),
        )

    def planned(self, stage: str) -> int:
        """Trials of a stage in all."""
        return planned_trials(content_of(self.plan, self.study_id))[stage]

    def epoch_images(self, config: TrainConfig) -> int:
        """Images forwarded per epoch of such a run; cells of a list may differ in that."""
        return images_per_epoch(config, self.data.split(config))
