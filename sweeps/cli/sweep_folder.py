"""Which folder a command is about, which plan it holds, and that one driver at a time fills it."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from embedding_core.errors import Faults
from sweeps.cli.options import Options
from sweeps.design import Design, plan_file, planned_plugins
from sweeps.design.plan import DEFAULT_PRESET, Plan
from sweeps.engine.records import checkpoint_location
from sweeps.results import files, frozen
from sweeps.results.latest import NAME as LATEST
from sweeps.results.latest import followed
from sweeps.results.store import Store


@contextmanager
def held_folder(design: Design, options: Options) -> Iterator[Path]:
    """Folder of a sweep that is about to run, see `folder_of`; of two that start in one moment, each has its own.

    One whose name is made up here is made at once, and gone again if nothing has been put there.

    Raises:
        Faults: no sweep of this design to resume.
    """
    folder = folder_of(design, options)
    if options.name is not None or options.resume:
        yield folder
        return
    new = [path for path in folder.parents if not os.path.lexists(path)]
    with suppress(OSError):  # what is in the way of a folder, `preflight` says
        options.results.mkdir(parents=True, exist_ok=True)
        while not _made(folder):
            folder = folder_of(design, options)
    try:
        yield folder
    finally:
        with suppress(OSError):  # it holds the sweep
            for path in (folder, *new):
                path.rmdir()


def _made(folder: Path) -> bool:
    """Make a folder; False if another process has been faster."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def folder_of(design: Design, options: Options) -> Path:
    """Folder of the sweep. A name that was given is taken as it is; one made up here is counted on until it is free.

    Raises:
        Faults: no sweep of this design to resume.
    """
    if options.name is not None:
        return followed(options.results / options.name)
    if options.resume:
        linked = followed(options.results / LATEST)
        if linked.name.startswith(f"{design.name}-") and (linked / plan_file.NAME).is_file():
            return linked
        started = [path for path in options.results.glob(f"{design.name}-*/{plan_file.NAME}") if path.is_file()]
        if not started:
            raise Faults([f"`--resume` found no sweep of {design.name} in {options.results}; name one with `--name`."])
        return max(started, key=lambda path: path.stat().st_mtime).parent
    preset = str(options.what.get("preset", DEFAULT_PRESET))
    dataset = options.what.get("dataset", design.presets[preset].dataset)
    made_up = re.sub(r"[^\w.-]", "_", f"{design.name}-{preset}-{dataset}")
    taken = [n for n in range(1, 10_000) if os.path.lexists(options.results / f"{made_up}-{n}")]
    return options.results / f"{made_up}-{max(taken, default=0) + 1}"


def plan_of(design: Design, options: Options, folder: Path) -> Plan:
    """What is to be run there, by the plan of an earlier start if there is one.

    Raises:
        Faults: nothing to resume, or options that differ from its plan.
    """
    if not options.resume:
        return Plan.of(design, options.what)
    Store.open(folder)
    plan = plan_file.resumed(design, folder / plan_file.NAME, options.what)
    return plan if options.extend is None else plan_file.extended(design, plan, *options.extend)


def opened(options: Options, folder: Path) -> Store:
    """The results of the sweep, to be written.

    Raises:
        Faults: the folder already holds a sweep, or cannot be written.
    """
    return Store.open(folder) if options.resume or plan_file.missing(folder) else Store.create(folder)


@contextmanager
def one_driver(folder: Path) -> Iterator[None]:
    """One driver per sweep: two would hand out the same trials and write the same checkpoints.

    Raises:
        Faults: another driver runs this sweep.
    """
    try:
        with FileLock(folder / files.LOCK, timeout=0):
            yield
    except Timeout as error:
        raise Faults([f"Another process is running the sweep in {folder}."]) from error


def keep_plan(plan: Plan, options: Options, folder: Path, checkpoints: str, pin: Mapping[str, Any]) -> None:
    """Write down what is to be run on which data, and where the checkpoints are, unless an earlier start has done so.

    Args:
        plan: to be run.
        options: of this start.
        folder: of the sweep.
        checkpoints: folder or URI; empty: in the sweep's folder.
        pin: see `data_pin.pin_of`.
    """
    if not options.resume:
        checkpoint_location.remember(folder, checkpoints)
        planned_plugins.keep(folder)
        content = plan_file.content_of(plan, folder.name)
        plan_file.write(folder / plan_file.NAME, {**content, frozen.DATA: dict(pin)})
    elif options.extend is not None:
        plan_file.amend(plan, folder, pin)
