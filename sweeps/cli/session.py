"""A sweep from its plan to its last trial, its time budget's end or Ctrl-C."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import ray
from rich.console import Console

from embedding_core.data.device_data import DeviceData
from embedding_core.storage.result_tables import Row
from embedding_core.streams import answer
from embedding_core.wording import plural
from sweeps.cli import feature_cache
from sweeps.cli.command_lines import command
from sweeps.cli.console import say
from sweeps.cli.forecast.plan_lines import forecast
from sweeps.cli.forecast.power_lines import power_lines, sds_of
from sweeps.cli.forecast.probe import gpu_share
from sweeps.cli.held_out_checks import lines_on_data
from sweeps.cli.options import Options
from sweeps.cli.preflight import pinned, preflight
from sweeps.cli.sweep_folder import folder_of, keep_plan, one_driver, opened, plan_of
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.doctor import local_ray
from sweeps.engine import runner
from sweeps.engine.interruption import Interruption
from sweeps.engine.machines.cluster import connect, joins_cluster, wants_token
from sweeps.engine.machines.resources import Slots, slots
from sweeps.engine.records import checkpoint_location
from sweeps.engine.sweep import Sweep
from sweeps.results import latest
from sweeps.results.sweep_log import SweepLog


def carry_out(
    design: Design,
    options: Options,
    folder: Path,
    console: Console,
    log: SweepLog,
    interruption: Interruption,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> Plan | None:
    """Run what is left of the sweep that `options` ask for, in its folder: its plan, or None if it was interrupted.

    Raises:
        Faults: it cannot be run as asked.
        KeyboardInterrupt: it was interrupted where no run of Tune was under way.
    """
    plan = plan_of(design, options, folder)
    plan, data = preflight(plan, options, folder)
    for line in lines_on_data(plan, data):
        say(console, line)
    return plan if run(plan, data, options, folder, console, log, interruption, on_row=on_row) else None


def tell_plan(design: Design, options: Options) -> None:
    """Print what a sweep would run, take and be able to say; nothing is run but a probe.

    Raises:
        Faults: it could not be run as asked.
    """
    folder = folder_of(design, options)
    plan = plan_of(design, options, folder)
    plan, data = preflight(plan, options, folder)
    name = options.sd_from.name if options.sd_from else ""
    sds = sds_of(options.sd_from, plan) if options.sd_from else None
    answer("\n".join([plan.design.question, *power_lines(plan, sds, name=name)]))  # before the probe
    answer("\n".join(forecast(plan, data, options.request, save_every_s=options.save_every_s)))


def run(
    plan: Plan,
    data: DeviceData,
    options: Options,
    folder: Path,
    console: Console,
    log: SweepLog,
    interruption: Interruption,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> bool:
    """Run what is left of a sweep; whether all of it has ended.

    A Ray that was up before stays up; `on_row` is shown each row of a trial.

    Raises:
        KeyboardInterrupt: the sweep is to end, and no run of Tune was under way.
        Faults: no such cluster, no room for a trial, a folder that cannot be used, results or checkpoints out of reach.
    """
    was_up = ray.is_initialized()
    joins = joins_cluster(options.where) and not was_up
    checkpoints = checkpoint_location.settled(folder, options.checkpoints, resume=options.resume)
    try:
        dashboard = connect(options.where)
        interruption.handle()
        held = _slots(plan, options, console, joins=joins)
        store = opened(options, folder)
        log.open(folder)
        with one_driver(folder):
            keep_plan(plan, options, folder, checkpoints, pinned(plan, data))
            room = held.room()
            say(console, f"{plan.design.question}\nResults go to {folder}; {plural(room, 'trial')} at once.")
            if dashboard:
                token = local_ray.names_token() + command(["get-auth-token"], program="ray")
                token = token if wants_token(dashboard) else ""
                say(console, f"Ray dashboard: http://{dashboard}" + (f", token: {token}" if token else ""))
            latest.point_to(folder)
            for lost in store.tidy():
                say(console, lost, style="red")
                log.note(lost)
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
                room_deadline_s=options.room_deadline_s,
                on_row=on_row,
                log=log,
                interruption=interruption,
            )
            if joins:
                checkpoint_location.check_reach(sweep.checkpoint_dir, own=not checkpoints)
            return runner.run(sweep)
    finally:
        if not was_up:
            ray.shutdown()
            interruption.handle()


def _slots(plan: Plan, options: Options, console: Console, *, joins: bool) -> Slots:
    """What a trial holds, with the share of a GPU that it is found to need if that is wanted."""
    share = None
    if options.request.gpus == "auto":
        share = gpu_share(plan, options.request, room_deadline_s=options.room_deadline_s)
    return slots(options.request, joined=joins, share=share, say=partial(say, console))
