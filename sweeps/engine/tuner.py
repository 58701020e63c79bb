"""One run of Ray Tune: what is left of one stage, with everything that writes, stops, shows and survives beside it."""

import shutil
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ray import tune
from ray.tune.experiment import Trial

from embedding_core.plugins.sources import in_use
from sweeps.engine.callbacks import StageCallback
from sweeps.engine.interruption import Interrupted
from sweeps.engine.machines.resources import RoomLimiter
from sweeps.engine.machines.room_watch import RoomWatch
from sweeps.engine.private_api import memory_deaths_survived
from sweeps.engine.records.provenance import Provenance
from sweeps.engine.records.recorder import Recorder
from sweeps.engine.records.retention import CheckpointKeeper, start_anew
from sweeps.engine.search.asha import ImagesSeenASHA, Judge
from sweeps.engine.search.searchers import RunSearcher
from sweeps.engine.sweep import Sweep
from sweeps.engine.watching.audience import Audience
from sweeps.engine.watching.progress import Progress
from sweeps.engine.watching.prometheus import Metrics
from sweeps.engine.watching.watcher import Watcher
from sweeps.results import store
from sweeps.results.buffer import Buffer

RETRIES = 2
"""Times a trial whose process died is started again from its checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What is left to run of a stage."""

    stage: str
    searcher: RunSearcher
    """Hands out the runs."""
    rungs: Judge | None = None
    """What ASHA decides in; None: every run goes to its end."""
    done: Collection[str]
    """Ids of the trials that are left alone."""
    images_per_trial: int
    """Forwarded by a trial that is not stopped."""
    constants: dict[str, Any]
    """Columns of `trials` that all trials of the stage share."""


def run(sweep: Sweep, left: Remainder) -> bool:
    """Run what is left of a stage; whether all of it has ended, and nobody wants the sweep to end.

    Raises:
        SickNode: it goes on without that node.
        Faults: no trial can run, or nothing can be written.
    """
    rows = store.read(sweep.folder, "trials", stage=left.stage).to_pylist()
    checkpoint_store = sweep.checkpoint_store()
    checkpoint_store.tidy(left.stage)
    start_anew(checkpoint_store, left.stage, (row for row in rows if row["trial_id"] not in left.done))
    recorder = Recorder(
        Buffer(sweep.store),
        Provenance.here(),
        checkpoint_store,
        rungs=left.rungs,
        constants={"tuned_by": sweep.plan.outcome.validation, **left.constants},
        pause=sweep.interruption.pause,
    )
    planned = sweep.planned(left.stage)
    callback = StageCallback(
        recorder,
        searcher=left.searcher,
        checkpoint_keeper=CheckpointKeeper(
            sweep.folder, left.stage, checkpoint_store, measure=sweep.plan.outcome.final
        ),
        audience=Audience(
            {
                "Progress": lambda: Progress(
                    left.stage,
                    planned=planned,
                    images_per_trial=left.images_per_trial,
                    ended=Counter(row["end_reason"] for row in rows if row["trial_id"] in left.done),
                    measure=sweep.plan.outcome.validation,
                    console=sweep.console,
                ),
                "Metrics for Prometheus": lambda: Metrics(sweep.study_id, left.stage),
                "`on_row`": lambda: Watcher(sweep.on_row),
            },
            sweep.console,
            sweep.log,
        ),
        interruption=sweep.interruption,
        errors=sweep.errors,
        room=RoomWatch(sweep.console, deadline_s=sweep.room_deadline_s),
        slots=sweep.slots,
    )
    scheduler = None
    if left.rungs is not None:
        scheduler = ImagesSeenASHA(left.rungs, recorder.decision, metric=sweep.plan.outcome.validation)
    trials = planned - len(left.done)
    with memory_deaths_survived(), sweep.interruption.within_loop(), suppress(Interrupted):
        _tuner(sweep, left, trials, callback, scheduler).fit()
    shutil.rmtree(sweep.folder / "ray", ignore_errors=True)
    return callback.ended >= trials and not sweep.interruption.asked


def _tuner(
    sweep: Sweep, left: Remainder, trials: int, callback: StageCallback, scheduler: ImagesSeenASHA | None
) -> tune.Tuner:
    trainable: Any = sweep.trainable
    if in_use():  # as text: the nodes of a cluster need not have the files
        trainable = tune.with_parameters(trainable, plugins=in_use())
    return tune.Tuner(
        tune.with_resources(trainable, sweep.slots.bundle()),
        tune_config=tune.TuneConfig(
            search_alg=RoomLimiter(left.searcher, sweep.slots.room),
            scheduler=scheduler,
            num_samples=trials,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=f"{left.stage}-{uuid4().hex[:8]}",  # a reused run name would mix folders
            storage_path=str(sweep.folder / "ray"),
            callbacks=[callback],
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # runs keep their own
            verbose=0,
        ),
    )


def _trial_name(trial: Trial) -> str:
    return str(trial.config["trial_id"])
