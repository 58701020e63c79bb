"""One sweep from command line to verdict."""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import ray
from filelock import FileLock, Timeout
from rich.console import Console

from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from sweeps.analysis.report.compose import compose, write_report
from sweeps.cli.command_lines import command, koleo_sweeps, without
from sweeps.cli.flags import DEFAULT_PRESET
from sweeps.cli.forecast import forecast
from sweeps.cli.options import Options, parse
from sweeps.cli.preflight import preflight
from sweeps.cli.probe import gpu_share
from sweeps.cli.time_budget import Budget
from sweeps.design import plan_file
from sweeps.design.design import Design
from sweeps.design.plan import Plan
from sweeps.engine import checkpoint_location
from sweeps.engine.cluster import connect, joins_cluster
from sweeps.engine.resources import slots
from sweeps.engine.retention import CHECKPOINTS
from sweeps.engine.runner import Sweep
from sweeps.results import store
from sweeps.results.endings import run_again
from sweeps.results.store import Store

FAILED = 1
"""Exit status when trials of the confirmation ended in an error."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

BUDGET_SPENT = 124
"""Exit status after `--time-budget`, as timeout(1) has it."""


def main(design: Design, argv: Sequence[str] | None = None) -> int:
    """Run a sweep as the command line asks.

    Returns:
        0, or 1 (failed trials), 2 (faults, or a disk that failed), 124 (time budget spent), 130 (interrupted).
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    console = Console(stderr=True)
    try:
        options = parse(design, argv)
        folder = _folder(design, options)
        plan = _plan(design, options, folder)
        data = preflight(plan, options, folder)
        if options.plan:
            print(forecast(plan, data, options))
            return 0
        return _run(plan, data, options, folder, argv, console)
    except Faults as error:
        _say(console, str(error), style="red")
        return 2
    except OSError as error:  # a disk that is full when a plan or a report is written, say
        text = "What is stored is not lost; once that works again go on with `--resume`, or anew if no trial had begun."
        _say(console, f"{type(error).__name__}: {error}. {text}", style="red")
        return 2


def _run(plan: Plan, data: DeviceData, options: Options, folder: Path, argv: Sequence[str], console: Console) -> int:
    joined, joins = ray.is_initialized(), joins_cluster(options) and not ray.is_initialized()
    complete = False
    checkpoints = checkpoint_location.settled(folder, options.checkpoints, resume=options.resume)
    budget = Budget(options.time_budget_s)
    try:
        dashboard = connect(options)
        share = gpu_share(plan, options) if options.gpus_per_trial == "auto" else None
        held = slots(options, joined=joins, share=share, say=partial(_say, console))
        opened = Store.open(folder) if options.resume or plan_file.missing(folder) else Store.create(folder)
        with _alone(folder):
            if not options.resume:
                checkpoint_location.remember(folder, checkpoints)
                plan_file.write(folder / plan_file.NAME, plan_file.content_of(plan, folder.name))
            elif options.extend is not None:
                plan_file.amend(plan, folder)
            _say(console, f"{plan.design.question}\n{folder}: {held.room()} at once.")
            if dashboard:
                _say(console, f"Ray dashboard: http://{dashboard}")
            opened.tidy()
            if joins:
                checkpoint_location.check_reach(checkpoints or str(folder / CHECKPOINTS), own=not checkpoints)
            complete = Sweep(
                plan,
                folder,
                opened,
                data,
                held,
                console,
                retry=options.retry,
                checkpoints=checkpoints,
                epoch_deadline_s=options.epoch_deadline_s,
            ).run()
    except KeyboardInterrupt:  # Tune turns Ctrl-C into an orderly end, but not all the time is Tune's
        pass
    finally:
        budget.cancel()
        if not joined:
            ray.shutdown()
    if not complete:
        return _go_on(options, folder, argv, console, spent=budget.spent)
    _announce(plan, folder)
    return FAILED if _tell_errors(folder, console) else 0


def _go_on(options: Options, folder: Path, argv: Sequence[str], console: Console, *, spent: bool) -> int:
    """Say how an unfinished sweep goes on."""
    name = [] if options.name else ["--name", folder.name]
    resume = ["--resume"] if (folder / plan_file.NAME).exists() else []
    again = command([*without(argv, "--resume", "--extend"), *name, *resume])
    why = f"The time budget of {options.time_budget_s:g} s is spent" if spent else "Interrupted"
    _say(console, f"{why}; nothing is lost. Go on with: {again}")
    if spent:
        _say(console, f"Report of what there is: {koleo_sweeps('report', str(folder))}")
    return BUDGET_SPENT if spent else INTERRUPTED


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One driver per sweep: two would hand out the same trials and write the same checkpoints.

    Raises:
        Faults: another driver runs this sweep.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise Faults([f"Another process is running the sweep in {folder}."]) from error


def _say(console: Console, text: str, style: str = "") -> None:
    """Print as it is: paths and brackets are no markup, and lines are the terminal's to wrap."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _announce(plan: Plan, folder: Path) -> None:
    """The answer, where to read it, and what to run next."""
    composed = compose(folder)
    for verdict in composed.verdicts:
        print(verdict)
    print(f"Report: {write_report(folder, composed)}")
    if "search" in plan.stages:
        dashboard = command([f"sqlite:///{folder / 'optuna.db'}"], program="optuna-dashboard")
        print(f"Search in optuna-dashboard: {dashboard}")
    if plan.preset.next_command and plan.what["dataset"] == plan.preset.dataset:
        print(f"Next: {command([])} {plan.preset.next_command}")


def _tell_errors(folder: Path, console: Console) -> bool:
    """Say why trials ended in an error, or with their machine; whether any of the confirmation did."""
    rows = store.read(folder, "trials").to_pylist()
    failed = [row for row in rows if row["end_reason"] in run_again(row["stage"])]
    for (ending, reason), count in Counter((row["end_reason"], row["error_type"]) for row in failed).items():
        _say(console, f"{count} trials ended as {ending}: {reason} `--resume` runs them again.", style="red")
    return any(row["stage"] == "confirm" for row in failed)


def _folder(design: Design, options: Options) -> Path:
    """Folder of the sweep. A name that was given is taken as it is; one made up here is counted on until it is free."""
    if options.name is not None:
        return options.results / options.name
    if options.resume:
        started = [path for path in options.results.glob(f"{design.name}-*/{plan_file.NAME}") if path.is_file()]
        if not started:
            raise Faults([f"`--resume` found no sweep of {design.name} in {options.results}; name one with `--name`."])
        return max(started, key=lambda path: path.stat().st_mtime).parent
    preset = design.presets[str(options.what.get("preset", DEFAULT_PRESET))]
    made_up = (
        f"{design.name}-{options.what.get('preset', DEFAULT_PRESET)}-{options.what.get('dataset', preset.dataset)}"
    )
    made_up = re.sub(r"[^\w.-]", "_", made_up)
    taken = [n for n in range(1, 10_000) if (options.results / f"{made_up}-{n}").exists()]
    return options.results / f"{made_up}-{max(taken, default=0) + 1}"


def _plan(design: Design, options: Options, folder: Path) -> Plan:
    if not options.resume:
        return Plan.of(design, options.what)
    Store.open(folder)
    plan = plan_file.resumed(design, folder / plan_file.NAME, options.what)
    return plan if options.extend is None else plan_file.extended(design, plan, *options.extend)
