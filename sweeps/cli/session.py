"""A sweep from connecting to Ray to its last trial, its time budget's end or Ctrl-C."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ray
from rich.console import Console

from embedding_core.data.device_data import DeviceData
from embedding_core.storage.result_tables import Row
from sweeps.cli import feature_cache
from sweeps.cli.messages import say
from sweeps.cli.options import Options
from sweeps.cli.preflight import pinned
from sweeps.cli.probe import gpu_share
from sweeps.cli.sweep_folder import keep_plan, one_driver, opened
from sweeps.cli.time_budget import Budget
from sweeps.design.plan import Plan
from sweeps.engine import checkpoint_location, runner
from sweeps.engine.cluster import connect, joins_cluster
from sweeps.engine.resources import Slots, slots
from sweeps.engine.sweep import Sweep
from sweeps.results.sweep_log import SweepLog


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a sweep came."""

    complete: bool
    budget_spent: bool
    """Whether it was its time budget that ended it."""


def run(
    plan: Plan,
    data: DeviceData,
    options: Options,
    folder: Path,
    console: Console,
    log: SweepLog,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> Outcome:
    """Run what is left of a sweep. A Ray that was up before stays up; `on_row` is shown each row of a trial.

    Raises:
        Faults: no such cluster, no room for a trial, a folder that cannot be used, results or checkpoints out of reach.
    """
    was_up = ray.is_initialized()
    joins = joins_cluster(options.where) and not was_up
    complete = False
    checkpoints = checkpoint_location.settled(folder, options.checkpoints, resume=options.resume)
    budget = Budget(options.time_budget_s)
    try:
        dashboard = connect(options.where)
        held = _slots(plan, options, console, joins=joins)
        store = opened(options, folder)
        log.open(folder)
        with one_driver(folder):
            keep_plan(plan, options, folder, checkpoints, pinned(plan, data))
            say(console, f"{plan.design.question}\n{folder}: {held.room()} at once.")
            if dashboard:
                say(console, f"Ray dashboard: http://{dashboard}")
            store.tidy()
            if not joins:  # of a cluster, each node has its own cache, which its first trial fills
                feature_cache.compute(plan, data, console)
            sweep = Sweep(
                plan,
                folder,
                store,
                data,
                held,
                console,
                retry=options.retry,
                checkpoints=checkpoints,
                epoch_deadline_s=options.epoch_deadline_s,
                save_every_s=options.save_every_s,
                on_row=on_row,
                log=log,
            )
            if joins:
                checkpoint_location.check_reach(sweep.checkpoint_dir, own=not checkpoints)
            complete = runner.run(sweep)
    except KeyboardInterrupt:  # Tune turns Ctrl-C into an orderly end, but not all the time is Tune's
        pass
    finally:
        budget.cancel()
        if not was_up:
            ray.shutdown()
    return Outcome(complete, budget.spent)


def _slots(plan: Plan, options: Options, console: Console, *, joins: bool) -> Slots:
    """What a trial holds, with the share of a GPU that it is found to need if that is wanted."""
    share = gpu_share(plan, options.request) if options.request.gpus == "auto" else None
    return slots(options.request, joined=joins, share=share, say=partial(say, console))
