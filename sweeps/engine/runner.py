"""Runs a sweep, stage after stage: what is planned minus what is finished. A resume is no special case."""

from sweeps.engine.designed_stages import confirm, tune
from sweeps.engine.retention import keep_best
from sweeps.engine.search_stage import search
from sweeps.engine.sweep import Sweep
from sweeps.results import store
from sweeps.results.endings import run_again
from trainables.checkpoint_store import CheckpointStore

PREEMPTED_ROUNDS = 2
"""Times that the trials whose retries were used up are all begun again, each with as many retries."""


def run(sweep: Sweep) -> bool:
    """Run every stage that is not finished yet; whether all of them now are.

    Raises:
        Faults: the confirmation needs a result of an earlier stage that there is none of.
    """
    for stage in sweep.plan.stages:
        finished = run_stage(sweep, stage)
        keep_best(sweep.folder, CheckpointStore.at(sweep.checkpoint_dir), measure=sweep.plan.outcome.final)
        if not finished:
            return False
    store.compact(sweep.folder)
    return True


def run_stage(sweep: Sweep, stage: str) -> bool:
    """Run what is left of a stage, and again what was preempted in it; whether all of it has ended.

    Where machines are taken back all the time, a long trial soon has no retries left, whatever it has got done.
    """
    run_left = {"search": search, "tune": tune, "confirm": confirm}[stage]
    complete = run_left(sweep, {*run_again(stage), *sweep.retry})
    for _ in range(PREEMPTED_ROUNDS):
        endings = store.read(sweep.folder, "trials", stage=stage)["end_reason"].to_pylist()
        if not complete or "preempted" not in endings:
            break
        complete = run_left(sweep, {"preempted"})
    return complete
