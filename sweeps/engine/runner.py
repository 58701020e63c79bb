"""Runs the stages of a plan with Ray Tune: what is planned minus what is finished. A resume is no special case."""

import shutil
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ray import tune
from ray.tune.search import Searcher
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.errors import Faults
from embedding_core.storage.retry import patiently
from sweeps.design import plan_file
from sweeps.design.plan import SEARCH_BLOCK, Plan
from sweeps.design.runs import Runs, confirm_runs, tune_runs
from sweeps.engine import split_files
from sweeps.engine.asha import Decision, Exemption, ImagesSeenASHA, Rungs, milestones
from sweeps.engine.failures import memory_deaths_survived
from sweeps.engine.metrics import Metrics
from sweeps.engine.optuna_study import STARTUP_TRIALS, open_study, reconcile
from sweeps.engine.progress import Progress
from sweeps.engine.provenance import Provenance
from sweeps.engine.recorder import Recorder
from sweeps.engine.resources import RoomLimiter, Slots
from sweeps.engine.retention import CHECKPOINTS, CheckpointKeeper, keep_best, start_anew
from sweeps.engine.searchers import PlannedSearch, StudySearch
from sweeps.results import store
from sweeps.results.buffer import Buffer
from sweeps.results.endings import run_again
from sweeps.results.store import Store
from trainables.checkpoint_store import Depot, checked, depot_at
from trainables.embedding import EmbeddingTrainable
from trainables.run_label import RunLabel, to_flat

REDUCTION_FACTOR = 2
"""ASHA's eta: at each rung the better half goes on."""

GRACE_SHARE = 4
"""No trial is stopped in the first quarter of its epochs: early values say little, and stop slow starters."""

RETRIES = 2
"""Times a trial whose process died is started again from its checkpoint."""

PREEMPTED_ROUNDS = 2
"""Times that the trials whose retries were used up are all begun again, each with as many retries."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A plan, the folder it fills, and what is shared by its stages."""

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

    @property
    def study_id(self) -> str:
        """Name of the sweep."""
        return self.folder.name

    @property
    def checkpoint_dir(self) -> str:
        """Absolute folder or URI of the runs' checkpoints, by stage."""
        return self.checkpoints or str(self.folder / CHECKPOINTS)

    def run(self) -> bool:
        """Run every stage that is not finished yet; whether all of them now are.

        Raises:
            Faults: the confirmation needs a result of an earlier stage that there is none of.
        """
        for stage in self.plan.stages:
            finished = self.stage(stage)
            keep_best(self.folder, depot_at(self.checkpoint_dir))
            if not finished:
                return False
        store.compact(self.folder)
        return True

    def stage(self, stage: str) -> bool:
        """Run what is left of a stage, and again what was preempted in it; whether all of it has ended.

        Where machines are taken back all the time, a long trial soon has no retries left, whatever it has got done.
        """
        run = {"search": self.search, "tune": self.tune, "confirm": self.confirm}[stage]
        complete = run({*run_again(stage), *self.retry})
        for _ in range(PREEMPTED_ROUNDS):
            endings = store.read(self.folder, "trials", stage=stage)["end_reason"].to_pylist()
            if not complete or "preempted" not in endings:
                break
            complete = run({"preempted"})
        return complete

    def search(self, again: Collection[str]) -> bool:
        """TPE and ASHA over all factors in one block. `again`: endings of trials that are run once more."""
        finished = store.finished(self.folder, "search", retry=again)
        rows = store.read(self.folder, "trials", stage="search")
        first_trials = () if rows.num_rows else self.plan.preset.first_trials
        study = open_study(self.folder / "optuna.db", seed=self.plan.seed, first_trials=first_trials)
        reconcile(study, self.plan.design, rows, finished)
        if len(finished) >= self.plan.samples:
            return True
        label = {
            "study_id": self.study_id,
            "stage": "search",
            "block": SEARCH_BLOCK,
            "checkpoint_dir": self.checkpoint_dir,
            "epoch_deadline_s": self.epoch_deadline_s,
        }
        retried = store.finished(self.folder, "search") - finished
        searcher = StudySearch(
            self.plan.design,
            study,
            base=self.plan.search_base,
            label=label,
            attempts=store.attempts(self.folder, stage="search"),
            finished=finished,
            retried=retried,
        )
        config = TrainConfig.from_flat({**self.plan.search_base, **next(self.plan.design.corners())})
        epoch_images = self.epoch_images(config)
        decided = store.read(self.folder, "rungs", stage="search").to_pylist()
        # A value that was not finite stopped its trial; what is tried again is judged anew.
        replay = [Decision.of_row(row) for row in decided if row["is_finite"] or row["trial_id"] not in retried]
        first = epoch_images * max(1, config.epochs // GRACE_SHARE)
        rungs = milestones(first, epoch_images * config.epochs, REDUCTION_FACTOR)
        exempt = Exemption(self.plan.exempt, self.plan.seed)
        scheduler = ImagesSeenASHA(Rungs(rungs, REDUCTION_FACTOR, replay=replay, exempt=exempt))
        constants = {
            "master_seed": self.plan.seed,
            "sampler": f"TPE(n_startup_trials={STARTUP_TRIALS})",
            "scheduler": f"ASHA(eta={REDUCTION_FACTOR})",
        }
        split_files.write(self.folder, self.data, [config])
        return self.fit(
            "search",
            searcher,
            scheduler,
            planned=self.plan.samples,
            done=finished,
            constants=constants,
            config=config,
            on_end=searcher.on_end,
        )

    def tune(self, again: Collection[str]) -> bool:
        """The same points in every cell, each run to its end."""
        runs = tune_runs(self.plan, study_id=self.study_id, checkpoint_dir=self.checkpoint_dir)
        return self.designed("tune", runs, again, {"sampler": f"Sobol({self.plan.points})"})

    def confirm(self, again: Collection[str]) -> bool:
        """Paired blocks of fresh seeds, one run per cell and block; the test split is read once in each."""
        nuisance, plan_sha256 = plan_file.settle(self.plan, self.folder)
        runs = confirm_runs(self.plan, nuisance, study_id=self.study_id, checkpoint_dir=self.checkpoint_dir)
        return self.designed("confirm", runs, again, {"sampler": self.plan.confirm, "plan_sha256": plan_sha256})

    def designed(self, stage: str, runs: Runs, again: Collection[str], constants: dict[str, Any]) -> bool:
        """Run what remains of a list of runs, in its order."""
        finished = store.finished(self.folder, stage, retry=again)
        attempts = store.attempts(self.folder, stage=stage)
        split_files.write(self.folder, self.data, [config for config, _ in runs])
        remaining = []
        for config, label in runs:
            if label.trial_id not in finished:
                attempt = attempts.get(label.trial_id, 0) + 1
                remaining.append(
                    to_flat(config, replace(label, attempt=attempt, epoch_deadline_s=self.epoch_deadline_s))
                )
        if not remaining:
            return True
        constants = {"master_seed": self.plan.seed, "scheduler": "none", **constants}
        return self.fit(
            stage,
            PlannedSearch(remaining),
            None,
            planned=len(runs),
            done=finished,
            constants=constants,
            config=runs[0][0],
        )

    def fit(
        self,
        stage: str,
        searcher: Searcher,
        scheduler: ImagesSeenASHA | None,
        *,
        planned: int,
        done: set[str],
        constants: dict[str, Any],
        config: TrainConfig,
        on_end: Callable[[RunLabel, dict[str, Any]], None] = lambda label, row: None,
    ) -> bool:
        """Run what remains of one stage; whether all of it has ended."""
        rows = store.read(self.folder, "trials", stage=stage).to_pylist()
        depot, metrics = self.depot(), Metrics()
        depot.tidy(stage)
        start_anew(depot, stage, (row for row in rows if row["trial_id"] not in done))
        keeper = CheckpointKeeper(self.folder, stage, depot)
        progress = Progress(
            stage,
            planned=planned,
            images_per_trial=self.epoch_images(config) * config.epochs,
            ended=Counter(row["end_reason"] for row in rows if row["trial_id"] in done),
            console=self.console,
        )
        recorder = Recorder(
            Buffer(self.store),
            Provenance.here(),
            scheduler=scheduler,
            constants=constants,
            on_end=(on_end, keeper.on_end, progress.on_end, metrics.on_end),
        )
        tuner = tune.Tuner(
            tune.with_resources(self.trainable, self.slots.resources),
            tune_config=tune.TuneConfig(
                search_alg=RoomLimiter(searcher, self.slots.room),
                scheduler=scheduler,
                num_samples=planned - len(done),
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=f"{stage}-{uuid4().hex[:8]}",  # a reused run name would mix folders
                storage_path=str(self.folder / "ray"),
                callbacks=[recorder, progress, metrics],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # runs keep their own
                verbose=0,
            ),
        )
        with memory_deaths_survived():
            tuner.fit()
        shutil.rmtree(self.folder / "ray", ignore_errors=True)
        return recorder.ended >= planned - len(done)

    def depot(self) -> Depot:
        """Where the checkpoints lie, an outage waited out. In its own folder a sweep does without those deleted there.

        Raises:
            Faults: they are not to be reached, or not to be found in a place that was given.
        """
        return patiently(
            lambda: checked(self.checkpoint_dir, make=not self.checkpoints),
            what="The checkpoints are out of reach",
            kinds=(Faults,),
        )

    def epoch_images(self, config: TrainConfig) -> int:
        """Images forwarded per epoch: the same for all configurations of a sweep."""
        return images_per_epoch(config, self.data.split(config))


def _trial_name(trial: tune.experiment.Trial) -> str:
    return str(trial.config["trial_id"])
