"""One sweep from command line to verdict."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import ray
import torch
from filelock import FileLock, Timeout
from rich.console import Console

from embedding_core.config import TrainConfig
from embedding_core.device_data import DeviceData
from embedding_core.faults import Faults
from embedding_core.held_out import held_out_images
from embedding_core.models import build_network
from embedding_core.sampling import batch_faults
from sweeps.analysis import report
from sweeps.engine import place, plan_file
from sweeps.engine.budget import Budget
from sweeps.engine.capacity import slots
from sweeps.engine.checks import config_faults, distinct
from sweeps.engine.cluster import connect, joins_cluster, local_faults
from sweeps.engine.design import Design
from sweeps.engine.forecast import forecast
from sweeps.engine.options import DEFAULT_PRESET, Options, command, parse, without
from sweeps.engine.plan import Plan
from sweeps.engine.probe import gpu_share
from sweeps.engine.runner import Sweep
from sweeps.results import store
from sweeps.results.files import holds_sweep
from sweeps.results.store import Store

FAILED = 1
"""Exit status when trials of the confirmation ended in an error."""

BATCH_FIELDS = ("loss", "batch_size", "accum_steps", "batch_sampler", "images_per_class", "norm_kind", "subset")
NETWORK_FIELDS = ("backbone", "norm_kind", "weights", "input_scaling", "head", "head_layers", "head_width")
"""What decides whether a configuration can run on these data; each combination is tried before the first trial."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

BUDGET_SPENT = 124
"""Exit status after `--time-budget`, as timeout(1) has it."""


def main(design: Design, argv: Sequence[str] | None = None) -> int:
    """Run a sweep as the command line asks.

    Returns:
        0, or 1 (failed trials), 2 (faults before it ran), 124 (time budget spent), 130 (interrupted).
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    console = Console(stderr=True)
    try:
        options = parse(design, argv)
        folder = _folder(design, options)
        plan = _plan(design, options, folder)
        data = _checked(plan, options, folder)
        if options.plan:
            print(forecast(plan, data, options))
            return 0
        return _run(plan, data, options, folder, argv, console)
    except Faults as error:
        _say(console, str(error), style="red")
        return 2


def _run(plan: Plan, data: DeviceData, options: Options, folder: Path, argv: Sequence[str], console: Console) -> int:
    joined, joins = ray.is_initialized(), joins_cluster(options) and not ray.is_initialized()
    complete = False
    checkpoints = place.settled(folder, options.checkpoints, resume=options.resume)
    budget = Budget(options.time_budget_s)
    try:
        dashboard = connect(options)
        share = gpu_share(plan, options) if options.gpus_per_trial == "auto" else None
        held = slots(options, joined=joins, share=share, say=partial(_say, console))
        opened = Store.open(folder) if options.resume else Store.create(folder)
        with _alone(folder):
            if not options.resume:
                plan_file.write(folder / plan_file.NAME, plan_file.content_of(plan, folder.name))
                place.remember(folder, checkpoints)
            elif options.extend is not None:
                plan_file.amend(plan, folder)
            _say(console, f"{plan.design.question}\n{folder}: {held.room()} at once.")
            if dashboard:
                _say(console, f"Ray dashboard: http://{dashboard}")
            opened.tidy()
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
        _say(console, f"Report of what there is: {command(['-m', 'sweeps.analysis.report', str(folder)], program='python')}")
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
    composed = report.compose(folder)
    for verdict in composed.verdicts:
        print(verdict)
    print(f"Report: {report.write(folder, composed)}")
    if "search" in plan.stages:
        dashboard = command([f"sqlite:///{folder / 'optuna.db'}"], program="optuna-dashboard")
        print(f"Search in optuna-dashboard: {dashboard}")
    if plan.preset.next_command and plan.what["dataset"] == plan.preset.dataset:
        print(f"Next: {command([])} {plan.preset.next_command}")


def _tell_errors(folder: Path, console: Console) -> bool:
    """Say why trials ended in an error; whether any of the confirmation did."""
    failed = [row for row in store.read(folder, "trials").to_pylist() if row["end_reason"] == "error"]
    for reason, count in Counter(row["error_type"] for row in failed).items():
        _say(console, f"{count} trials ended in an error: {reason}. `--resume` runs them again.", style="red")
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


def _checked(plan: Plan, options: Options, folder: Path) -> DeviceData:
    """The data set, once everything that can be checked before the first trial has been; all faults at once."""
    faults = [*config_faults(plan), *local_faults(options), *_folder_faults(options, folder)]
    data = None
    try:
        where = {name: plan.base[name] for name in ("dataset", "data_root", "image_size") if name in plan.base}
        data = DeviceData.load(TrainConfig.from_flat(where), torch.device("cpu"))
        config = TrainConfig.from_flat({**plan.base, "seed": plan.block_seed(1)})
        split = data.split(config)
        if "confirm" in plan.stages:
            held_out_images(data, split)  # decoded now: a broken file must not show after hours of training
        faults += _batch_faults(plan, data)
        mean, std = data.scaling(split)
        for each in distinct(plan, *NETWORK_FIELDS):
            build_network(each, shape=data.shape, mean=mean, std=std, precision="float32")
    except Faults as error:
        faults += error.faults
    if faults or data is None:
        raise Faults(list(dict.fromkeys(faults)))
    return data


def _batch_faults(plan: Plan, data: DeviceData) -> list[str]:
    """Batches that cannot be made of the examples of some reachable configuration, in some block."""
    faults = []
    for config in distinct(plan, *BATCH_FIELDS):
        # The classes of a P x k batch depend on the block's draw of examples, other batches on their number alone.
        blocks = range(1, plan.blocks + 1) if config.batch_sampler == "pk" else (1,)
        for seed in {config.seed, *(plan.block_seed(block) for block in blocks)}:
            of_block = replace(config, seed=seed)
            faults += batch_faults(of_block, data.split(of_block))
    return faults


def _folder_faults(options: Options, folder: Path) -> list[str]:
    """Why no sweep can be written there, asked before Ray starts; `Store.create` makes sure of it."""
    if options.plan:
        return []
    if not options.resume and holds_sweep(folder):
        return [f"`{folder}` already holds a sweep: continue it with `--resume`, or give another `--name`."]
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return [f"`{folder}` cannot be written, because of `{there}`: give another `--results`."]
    return []
