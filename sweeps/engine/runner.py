"""Runs a sweep, stage after stage: what is planned minus what is finished. A resume is no special case."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from sweeps.engine.designed_stages import confirm, tune
from sweeps.engine.machines.error_watch import SickNode
from sweeps.engine.records.retention import keep_best
from sweeps.engine.search_stage import search
from sweeps.engine.sweep import Sweep
from sweeps.results import store
from sweeps.results.endings import OOM_SHARED, run_again
from trainables.checkpoint_store import CheckpointStore

RUN_LEFT: Mapping[str, Callable[[Sweep, Collection[str]], bool]] = {"search": search, "tune": tune, "confirm": confirm}
"""By stage: runs what is left of it and what has ended in one of these ways; whether all of it has ended."""

PREEMPTED_ROUNDS = 2
"""Times that the trials whose retries were used up are all begun again, each with as many retries."""


def run(sweep: Sweep) -> bool:
    """Run every stage that is not finished yet; whether all of them now are.

    Raises:
        KeyboardInterrupt: the sweep is to end, and no run of Tune was under way.
        Faults: the confirmation needs a result of an earlier stage that there is none of.
    """
    for stage in sweep.plan.stages:
        sweep, finished = run_stage(sweep, stage)
        keep_best(sweep.folder, CheckpointStore.at(sweep.checkpoint_dir), measure=sweep.plan.outcome.final)
        if not finished:
            return False
    store.compact(sweep.folder)
    return True


def run_stage(sweep: Sweep, stage: str) -> tuple[Sweep, bool]:
    """Run what is left of a stage, and again what was preempted in it; the sweep with the nodes that go on, and whether
    all of the stage has ended.

    Where machines are taken back all the time, a long trial soon has no retries left, whatever it has got done. What
    was short of memory on its share of a GPU has one to itself once, before it counts as too large.
    """
    sweep, complete = _run_left(sweep, stage, {*run_again(stage), *sweep.retry})
    if complete and _has(sweep, stage, OOM_SHARED):
        sweep, complete = _alone(sweep, stage)
    for _ in range(PREEMPTED_ROUNDS):
        if not complete or not _has(sweep, stage, "preempted"):
            break
        sweep, complete = _run_left(sweep, stage, {"preempted"})
    return sweep, complete


def _has(sweep: Sweep, stage: str, ending: str) -> bool:
    return ending in store.read(sweep.folder, "trials", stage=stage)["end_reason"].to_pylist()


def _alone(sweep: Sweep, stage: str) -> tuple[Sweep, bool]:
    """Run again what its share of a GPU was too small for, on a whole one; as `_run_left`."""
    whole, complete = _run_left(replace(sweep, slots=replace(sweep.slots, gpus=1.0)), stage, {OOM_SHARED})
    return replace(whole, slots=replace(whole.slots, gpus=sweep.slots.gpus)), complete


def _run_left(sweep: Sweep, stage: str, again: Collection[str]) -> tuple[Sweep, bool]:
    """Run what is left, as often as a node turns out to be sick; what has ended in an error by then is run again.

    That is a resume of its own: Tune places trials before it asks anybody, and hands the processes that there are to
    the next ones. Trials elsewhere go on from their checkpoints.
    """
    while True:
        sweep.interruption.check()
        try:
            return sweep, RUN_LEFT[stage](sweep, again)
        except SickNode as sick:
            text = f"Trials run on without node {sick.node_id[:8]}, and those that failed there run again: {sick}"
            sweep.console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
            sweep, again = replace(sweep, slots=sweep.slots.without(sick.node_id)), {*again, "error"}
