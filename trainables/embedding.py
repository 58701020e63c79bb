"""The only place that speaks Ray's trial API: a class whose process and data set outlive its trials."""

import faulthandler
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
import torch
from ray import tune

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.evaluation.validation import MEASURES
from embedding_core.plugins.sources import Source, use
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.fetched import NotFetched
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from embedding_core.streams import guarded
from embedding_core.train import train
from embedding_core.training import checkpoint
from trainables.endings import CaughtEnding, UnfitMachine
from trainables.gpu import device_of, memory_fraction
from trainables.run_files import NotMounted, RunFiles
from trainables.run_label import from_flat

MOUNTED_AFTER_S = 60.0
"""How long a process waits for a share that it has never seen: one that a booting machine is about to mount."""

STANDARD_ERROR = 2
"""File descriptor; in a process of Ray's the stream of that name may be another."""

NODE_TYPE_LABEL = "ray.io/node-group"
"""Node label that holds the autoscaler's name of a node's type."""

MACHINE_IMAGE = "EMBED_MACHINE_IMAGE"
"""Variable that says from which image a rented node was started."""

_Result = TypeVar("_Result")


class EmbeddingTrainable(tune.Trainable):
    """One trial after another in one process; each `step` is one epoch.

    A trial looks for its own checkpoint first, sends the rows it holds again and goes on from there, so that no more is
    lost with its process than was trained since. Ray's own checkpoints are not used.
    """

    def __repr__(self) -> str:
        """Sweep and stage, as Ray's dashboard and state API show the process: it outlives its trials."""
        return f"{self.config['study_id']}/{self.config['stage']}"

    def setup(self, config: dict[str, Any], plugins: Sequence[Source] = ()) -> None:
        """Runs once per process; trials start in their first `step`."""
        self._plugins = plugins
        self._data: DeviceData | None = None
        self._rows: Iterator[Row] | None = None
        self._reached = self._limited = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial's config. Anything that can fail waits for `step`, whose errors Ray attributes rightly."""
        self._rows = None
        return True

    def step(self) -> dict[str, Any]:
        """Next row; `done` with the last one. What the loop raises is an ending: see `endings`."""
        with CaughtEnding() as caught:
            with self._deadline():
                row = self._next_row()
            with self._deadline():
                self._files.keep()
        if caught.reached is not None:
            row = self._give_up(caught.reached)
        done = row["end_reason"] is not None
        if done:
            self._rows = None
        node = ray.get_runtime_context()
        return {
            **row,
            "ray_node_id": node.get_node_id(),
            "node_type": node.get_node_labels().get(NODE_TYPE_LABEL),
            "machine_image": os.environ.get(MACHINE_IMAGE) or None,
            "done": done,
        }

    def _next_row(self) -> Row:
        """The loop's next row; of a trial that begins, the first one, whether computed or in its checkpoint."""
        rows, self._rows = self._rows or self._waited_for(self._start), None  # an error ends a generator
        try:
            row = next(rows)
        except checkpoint.Damaged as error:
            if not self._resumed:
                raise
            self._waited_for(partial(self._files.put_aside, str(error)))
            rows = self._waited_for(self._start)
            row = next(rows)
        self._rows = rows
        return row

    def _start(self) -> Iterator[Row]:
        use(self._plugins)
        config, label = from_flat(self.config)
        with guarded():
            print(f"{self} {label.trial_id}: {label.cell_id}, block {label.block}, attempt {label.attempt}", flush=True)
        resources = self.trial_resources
        gpu_share = resources.required_resources.get("GPU", 0) if resources else 0
        device = device_of(config.device, gpu_share)
        if device.type == "cuda" and 0 < gpu_share < 1:
            # Ray's fractions are bookkeeping; this makes the trial that asks for too much the one that fails.
            self._limit_memory(gpu_share, device)
        data = self._load(config, device)
        if label.data_sha256 and data.sha256 != label.data_sha256:
            raise Faults(
                [f"The training images of `{config.dataset}` on this machine ({data.sha256[:12]}) must be those that "
                 f"the sweep began with ({label.data_sha256[:12]})."]
            )  # fmt: skip
        self._files = RunFiles(label, Path(self.logdir), pause=self._pause)
        resume = self._fetched()
        self._resumed = resume is not None
        return train(
            config,
            resume=resume,
            save_to=self._files.save_to,
            save_every_s=label.save_every_s,
            saving=self._waited_for,
            data=data,
        )

    def _limit_memory(self, gpu_share: float, device: torch.device) -> None:
        """Hold this process to its share of the GPU, once: from then on it holds data of its own."""
        if not self._limited:
            free, total = torch.cuda.mem_get_info(device)
            in_use = total - free - torch.cuda.memory_reserved(device)
            fraction = memory_fraction(gpu_share, total=total, in_use=in_use)
            torch.cuda.set_per_process_memory_fraction(fraction, device)
            self._limited = True

    def _load(self, config: TrainConfig, device: torch.device) -> DeviceData:
        """The data set of `config`, kept on the device from trial to trial.

        Raises:
            UnfitMachine: it cannot be read here; the driver, which is elsewhere in a cluster, has read it.
            NotFetched: nor could it be elsewhere, as its object store does not answer.
        """
        if self._data is None or not self._data.serves(config, device):
            self._data = None  # two sets need not fit at once
            try:
                self._data = DeviceData.load(config, device)
            except NotFetched:
                raise
            except (Faults, OSError) as error:
                raise UnfitMachine(f"The data set {config.dataset} cannot be read here: {error}") from error
        return self._data

    def _fetched(self) -> Path | None:
        """The run's checkpoint, if it has one.

        Raises:
            UnfitMachine: a process that has never seen the checkpoints does not find where they are; one that has,
                waits for them like for any storage.
            StorageError: they are out of reach.
        """
        if self._reached:
            return self._files.fetch()
        try:
            what = f"{self.config['trial_id']} does not find the checkpoints"
            found = patiently(
                self._files.fetch, what=what, patience_s=MOUNTED_AFTER_S, kinds=(NotMounted,), sleep=self._pause
            )
        except NotMounted as error:
            raise UnfitMachine(str(error)) from error
        self._reached = True
        return found

    def _give_up(self, ending: dict[str, Any]) -> Row:
        """Free everything; the row that ends the trial."""
        self._rows = self._data = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        # Tune ends the whole sweep over a result that lacks its metric.
        return {**dict.fromkeys(MEASURES, math.nan), "is_finite": False, **ending}

    def _waited_for(self, act: Callable[[], _Result]) -> _Result:
        """What needs storage: an outage costs neither the trial nor, where it hits a checkpoint, the epoch."""
        what = f"{self.config['trial_id']} waits for its storage"
        return patiently(act, what=what, kinds=(StorageError,), sleep=self._pause)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """End the process, its stacks in its log, unless the block is left in time; a lock held or not.

        Ray then finds it dead, and starts the trial again from its checkpoint.
        """
        self._start_clock()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _start_clock(self) -> None:
        seconds = self.config["epoch_deadline_s"]
        # Before its first row a trial may compute a frozen backbone's features, or wait for a process that does.
        computes = self._rows is None and self.config["freeze_epochs"] >= self.config["epochs"]
        if seconds and not computes:
            faulthandler.dump_traceback_later(seconds, exit=True, file=STANDARD_ERROR)

    def _pause(self, seconds: float) -> None:
        """Between attempts. Waiting is not hanging: each attempt has all the time until the deadline."""
        faulthandler.cancel_dump_traceback_later()
        time.sleep(seconds)
        self._start_clock()
