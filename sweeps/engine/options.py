"""The command line, the same for every sweep."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from embedding_core.config import CHOICES, DATASETS, parse_settings
from embedding_core.data import resolve_root
from embedding_core.faults import Faults, unknown
from sweeps.engine.design import Design, Settings
from sweeps.results.schema import STAGES

RUNNABLE_STAGES = STAGES
DEFAULT_PRESET = "quick"

MAX_SEED = 10**12
"""Seeds of blocks are derived from it and must fit 64 bits."""

CONFIRM_FLAG: dict[str, Literal["drop-in", "best of search", "best of tune"]] = {
    "drop-in": "drop-in",
    "best": "best of search",
    "tuned": "best of tune",
}
"""Value of `--confirm` -> where the cells' nuisance values come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for. `what` determines the results; the rest is where and how fast."""

    what: Settings
    """preset, dataset, data_root, stages, samples, points, epochs, blocks, seed, confirm, exempt, and TrainConfig
    fields from `--set`; only what was given."""
    results: Path
    name: str | None
    resume: bool
    plan: bool
    local: bool
    address: str | None
    gpus_per_trial: float | None
    cpus_per_trial: float
    max_concurrent: int | None


def parse(design: Design, argv: Sequence[str]) -> Options:
    """Options from the command line.

    Raises:
        Faults: every unknown flag (with the nearest known one) and every bad value.
    """
    parser = _parser(design)
    arguments, rest = parser.parse_known_args(argv)
    faults = [*_unknown_flags(parser, rest), *_value_faults(arguments)]
    what: dict[str, Any] = {}
    for name in (
        "preset",
        "dataset",
        "samples",
        "points",
        "epochs",
        "blocks",
        "seed",
        "confirm",
        "exempt",
        "subset",
        "loss",
    ):
        if getattr(arguments, name) is not None:
            what[name] = getattr(arguments, name)
    if arguments.stages is not None:
        what["stages"] = arguments.stages
        stages = arguments.stages.split(",")
        faults += [unknown("stage", stage, RUNNABLE_STAGES) for stage in stages if stage not in RUNNABLE_STAGES]
    if arguments.data_root is not None:
        what["data_root"] = str(resolve_root(arguments.data_root))
    if what.get("preset", DEFAULT_PRESET) not in design.presets:
        faults.append(unknown("preset", what["preset"], design.presets))
    settings = {}
    try:
        settings = parse_settings(arguments.set)
    except Faults as error:
        faults += error.faults
    if "seed" in settings:
        faults.append("`--set seed` would give all blocks one seed; `--seed` is the master seed they derive from.")
    if faults:
        raise Faults(faults)
    return Options(
        what=what | settings,
        results=Path(arguments.results).resolve(),
        name=arguments.name,
        resume=arguments.resume,
        plan=arguments.plan,
        local=arguments.local,
        address=arguments.address,
        gpus_per_trial=arguments.gpus_per_trial,
        cpus_per_trial=arguments.cpus_per_trial,
        max_concurrent=arguments.max_concurrent,
    )


class _Parser(argparse.ArgumentParser):
    """Tells a flag without its value as any other fault."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it ends the process."""
        raise Faults([f"{message[:1].upper()}{message[1:]}."])


def _parser(design: Design) -> argparse.ArgumentParser:
    presets = "; ".join(f"{name}: {preset.purpose}" for name, preset in design.presets.items())
    parser = _Parser(description=design.question, allow_abbrev=False)
    what = parser.add_argument_group("what to run")
    what.add_argument("--preset", metavar="NAME", help=f"default {DEFAULT_PRESET}. {presets}")
    what.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(DATASETS)}, folder:PATH, or a folder of Parquet files; the preset's",
    )
    what.add_argument("--data-root", metavar="DIR", help="folder of the data sets; $EMBED_DATA_ROOT, else data")
    what.add_argument("--stages", metavar="A,B", help=f"of {', '.join(RUNNABLE_STAGES)}; the preset's")
    what.add_argument("--samples", type=_lenient(int), metavar="N", help="trials of the search; the preset's")
    what.add_argument(
        "--points", type=_lenient(int), metavar="N", help="settings tuned in every cell, a power of two; the preset's"
    )
    what.add_argument("--epochs", type=_lenient(int), metavar="N", help="epochs of a full run; the preset's")
    what.add_argument(
        "--blocks", type=_lenient(int), metavar="N", help="paired seeds of the confirmation; the preset's"
    )
    what.add_argument(
        "--confirm",
        metavar="HOW",
        help="settings: drop-in (stated), best (of search) or tuned (best of tune); the preset's",
    )
    what.add_argument(
        "--train-triplets", type=_lenient(int), metavar="N", dest="subset", help="training triplets (or images); all"
    )
    what.add_argument("--loss", metavar="NAME", help=f"base loss, of {', '.join(CHOICES['loss'])}")
    what.add_argument(
        "--exempt",
        type=_lenient(float),
        metavar="SHARE",
        help="share of search trials drawn to run on when ASHA would stop them, to audit the stopping; 0",
    )
    what.add_argument("--seed", type=_lenient(int), metavar="N", help="master seed; 0")
    what.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fix another TrainConfig field")
    where = parser.add_argument_group("where to run")
    where.add_argument("--results", default="results", metavar="DIR", help="default %(default)s")
    where.add_argument("--name", metavar="NAME", help="folder in DIR; made from script, preset and data set")
    where.add_argument("--resume", action="store_true", help="go on with the sweep of that name, else with the latest")
    where.add_argument("--plan", action="store_true", help="print trials, images, time, memory and disk; run nothing")
    where.add_argument("--local", action="store_true", help="this machine alone, whatever RAY_ADDRESS says")
    where.add_argument("--address", metavar="ADDR", help="a running Ray cluster; $RAY_ADDRESS, else this machine")
    where.add_argument(
        "--gpus-per-trial", type=_lenient(float), metavar="F", help="default .25 where there is a GPU, else 0"
    )
    where.add_argument("--cpus-per-trial", type=_lenient(float), default=1.0, metavar="F", help="default %(default)g")
    where.add_argument(
        "--max-concurrent", type=_lenient(int), metavar="N", help="trials at once; what the machine holds"
    )
    return parser


def _lenient(kind: type[int] | type[float]) -> Callable[[str], int | float | str]:
    """Conversion that leaves what it cannot convert as text, so that all faults can be told at once."""

    def convert(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return convert


def _unknown_flags(parser: argparse.ArgumentParser, rest: Sequence[str]) -> list[str]:
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    faults = []
    for before, text in zip(["", *rest], rest, strict=False):
        if text.startswith("-"):
            faults.append(unknown("flag", text.partition("=")[0], flags))
        elif not before.startswith("-"):  # else it is the unknown flag's value
            faults.append(f"Unexpected argument `{text}`.")
    return faults


_LEAST = {
    "samples": 1,
    "points": 1,
    "epochs": 1,
    "blocks": 2,
    "seed": 0,
    "subset": 1,
    "max_concurrent": 1,
    "gpus_per_trial": 0,
}
"""Smallest value of each number; `--cpus-per-trial` must be above 0."""


def _value_faults(arguments: argparse.Namespace) -> list[str]:
    faults = []
    for name in (*_LEAST, "cpus_per_trial", "exempt"):
        value = getattr(arguments, name)
        flag = "--train-triplets" if name == "subset" else f"--{name.replace('_', '-')}"
        if isinstance(value, str):
            faults.append(f"`{flag}` must be a number, but got `{value}`.")
        elif name in _LEAST and value is not None and not value >= _LEAST[name]:
            faults.append(f"`{flag}` must be at least {_LEAST[name]}, but got {value:g}.")
        elif name == "seed" and value is not None and value > MAX_SEED:
            faults.append(f"`{flag}` must be at most {MAX_SEED}, but got {value}.")
        elif name == "exempt" and value is not None and not 0 <= value < 1:
            faults.append(f"`{flag}` must be in [0, 1), but got {value:g}.")
        elif name == "cpus_per_trial" and not value > 0:
            faults.append(f"`{flag}` must be above 0, but got {value:g}.")
        elif name == "gpus_per_trial" and value is not None and value > 1 and value != int(value):
            faults.append(f"`{flag}` must be a whole number above 1, as Ray has it, but got {value:g}.")
    for name, known in (("confirm", tuple(CONFIRM_FLAG)), ("loss", CHOICES["loss"])):
        value = getattr(arguments, name)
        if value is not None and value not in known:
            faults.append(unknown(name, value, known))
    if arguments.local and arguments.address:
        faults.append(f"`--local` and `--address` exclude each other, but got both ({arguments.address}).")
    if arguments.name is not None and (
        Path(arguments.name).name != arguments.name or arguments.name in ("", ".", "..")
    ):
        faults.append(f"`--name` must be a plain folder name, but got `{arguments.name}`.")
    return faults


def command(argv: Sequence[str], *, program: str | None = None) -> str:
    """A command line to paste: this script, or `program` beside this interpreter, with `argv`."""
    interpreter = Path(sys.executable)
    start = [interpreter, Path(sys.argv[0])] if program is None else [interpreter.with_name(program)]
    return shlex.join([*(_near(path) for path in start), *argv])


def _near(path: Path) -> str:
    """Relative to the current folder if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path)
