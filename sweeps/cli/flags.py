"""The flags of the command line, and what each may be."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from embedding_core.config.train_config import CHOICES, DATASETS
from embedding_core.errors import Faults, unknown
from embedding_core.plugins.builtin import LOSSES
from embedding_core.train import SAVE_EVERY_S
from sweeps.design import Design
from sweeps.design.plan import CONFIRM, DEFAULT_PRESET, TUNERS
from sweeps.design.plan_file import EXTENDABLE
from sweeps.design.tuning import ETA, GRACE, SEARCHERS
from sweeps.results.endings import RETRIABLE
from sweeps.results.schema import STAGES

NEVER = "never"
EACH_EPOCH = "epoch"
EPOCH_DEADLINE = "2h"
"""Nothing here takes so long by far, and to end a slow run for a hung one would be worse than to wait."""

ROOM_DEADLINE = "2h"
"""Machines that were taken back and are sold out come again within hours, if at all."""

MAX_SEED = 10**12
"""Seeds of blocks are derived from it and must fit 64 bits."""

_Add = Callable[..., argparse.Action]
"""Takes a flag and what it may be."""


class _Parser(argparse.ArgumentParser):
    """Tells a flag without its value as any other fault."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it ends the process."""
        raise Faults([f"{message[:1].upper()}{message[1:]}."])


def parser_of(design: Design) -> argparse.ArgumentParser:
    """The flags of a sweep with this design."""
    parser = _Parser(description=design.question, allow_abbrev=False)
    _add_what(parser.add_argument_group("what to run").add_argument, design)
    _add_how(parser.add_argument_group("starting, going on").add_argument)
    _add_where(parser.add_argument_group("where to run").add_argument)
    return parser


def _add_what(add: _Add, design: Design) -> None:
    presets = "; ".join(f"{name}: {preset.purpose}" for name, preset in design.presets.items())
    add("--preset", metavar="NAME", help=f"default {DEFAULT_PRESET}. {presets}")
    add(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(DATASETS)}, folder:PATH, or a folder of Parquet files; the preset's",
    )
    add("--data-root", metavar="DIR", help="folder of the data sets; $EMBED_DATA_ROOT, else data")
    add("--stages", metavar="A,B", help=f"of {', '.join(STAGES)}; the preset's")
    add("--samples", type=_lenient(int), metavar="N", help="trials of the search; the preset's")
    add(
        "--outcome",
        metavar="NAME",
        help=f"what cells are tuned and judged by, of {', '.join(o.name for o in design.outcomes)}; the preset's",
    )
    add(
        "--replicates",
        type=_lenient(int),
        metavar="R",
        help="independent tunings, each with its own confirmation; verdicts need 4; the preset's",
    )
    add(
        "--points",
        type=_lenient(int),
        metavar="N",
        help="settings tried in every cell of every replicate; the preset's",
    )
    add("--blocks", type=_lenient(int), metavar="S", help="seeds that confirm each replicate; the preset's")
    add(
        "--tuner",
        metavar="HOW",
        help="optuna (TPE and ASHA in each cell of each replicate) or sobol (common points, all to the end); optuna",
    )
    add("--controls", action="store_const", const=True, help="also run the A/A controls, which in truth change nothing")
    add("--epochs", type=_lenient(int), metavar="N", help="epochs of a full run; the preset's")
    add(
        "--confirm",
        metavar="HOW",
        help="settings: drop-in (stated), best (of search) or tuned (best of tune); the preset's",
    )
    add("--train-triplets", type=_lenient(int), metavar="N", dest="subset", help="training triplets (or images); all")
    add(
        "--duplicates",
        metavar="HOW",
        help=f"what to do with images that are there twice, pixel by pixel, of {', '.join(CHOICES['duplicates'])}; "
        "refuse (more than one in a thousand of the test or validation images trained on as well)",
    )
    add("--loss", metavar="NAME", help=f"base loss, of {', '.join(LOSSES)}, or a plug-in's")
    add(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE|MODULE",
        help="losses, backbones and data sets of yours, see docs/plugins.md; can be given again",
    )
    add(
        "--exempt",
        type=_lenient(float),
        metavar="SHARE",
        help="share of search trials drawn to run on when ASHA would stop them, to audit the stopping; 0",
    )
    add("--searcher", metavar="HOW", help=f"what proposes settings, of {', '.join(SEARCHERS)}; {SEARCHERS[0]}")
    add("--eta", type=_lenient(int), metavar="N", help=f"at each rung of ASHA the best 1/N go on; {ETA}")
    add(
        "--grace",
        type=_lenient(float),
        metavar="SHARE",
        help=f"share of its epochs before ASHA may stop a trial; {GRACE:g}",
    )
    add("--seed", type=_lenient(int), metavar="N", help="master seed; 0")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="fix another TrainConfig field, or loss.alpha")


def _add_how(add: _Add) -> None:
    add("--results", default="results", metavar="DIR", help="default %(default)s")
    add("--name", metavar="NAME", help="folder in DIR; made from script, preset and data set")
    add("--resume", action="store_true", help="go on with the sweep of that name, else with the latest")
    add(
        "--extend",
        metavar="[WHAT=]N",
        help="go on with N more search trials, replicates=N, or confirm=N blocks of a single replicate",
    )
    add(
        "--retry",
        metavar="KINDS",
        help=f"go on and run again the trials that ended so, of {', '.join(RETRIABLE)}: after a bug is fixed, say",
    )
    add("--time-budget", metavar="TIME", help="stop in good order after this, 90m or 2h; then --resume")
    add(
        "--plan",
        action="store_true",
        help="print trials, images, time, memory, disk and what could be told; run and fetch nothing",
    )
    add("--sd-from", metavar="DIR", help="with --plan: SDs between replicates from that earlier sweep, for its power")


def _add_where(add: _Add) -> None:
    add(
        "--checkpoints",
        metavar="DIR|URI",
        help="folder that all nodes see, or s3://bucket/prefix, for checkpoints; a folder in that of the sweep",
    )
    add(
        "--epoch-deadline",
        default=EPOCH_DEADLINE,
        metavar="TIME",
        help=f"a trial without a row for so long hangs, and starts again from its checkpoint; %(default)s, or {NEVER}",
    )
    add(
        "--save-every",
        default=f"{SAVE_EVERY_S:g}s",
        metavar="TIME",
        help=f"from one checkpoint of a trial to the next, besides the one at its end; %(default)s, or {EACH_EPOCH}",
    )
    add(
        "--room-deadline",
        default=ROOM_DEADLINE,
        metavar="TIME",
        help=f"a sweep none of whose trials has had room for so long ends, and says why; %(default)s, or {NEVER}",
    )
    add("--local", action="store_true", help="this machine alone, whatever RAY_ADDRESS says")
    add("--address", metavar="ADDR", help="a running Ray cluster; $RAY_ADDRESS, else this machine")
    add(
        "--gpus-per-trial",
        type=_lenient(float),
        metavar="F",
        help="share of a GPU, or auto: what a trial is found to need; default .25 where there is a GPU, else 0",
    )
    add("--cpus-per-trial", type=_lenient(float), default=1.0, metavar="F", help="default %(default)g")
    add("--memory-per-trial", type=_lenient(float), metavar="GIB", help="host memory that a trial reserves; none")
    add(
        "--max-concurrent",
        type=_lenient(int),
        metavar="N",
        help="trials at once; what the machine or cluster has room for, as its nodes come and go",
    )


def _lenient(kind: type[int] | type[float]) -> Callable[[str], int | float | str]:
    """Conversion that leaves what it cannot convert as text, so that all faults can be told at once."""

    def convert(text: str) -> int | float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return convert


def flag_of(name: str) -> str:
    """The flag of an argument by its name in the code."""
    return "--train-triplets" if name == "subset" else f"--{name.replace('_', '-')}"


def unknown_flags(names: Iterable[str], rest: Sequence[str]) -> list[str]:
    """What the parser did not take, with the nearest flag that it knows. `names`: of all arguments."""
    flags = ["--help", *map(flag_of, names)]
    faults = []
    for before, text in zip(["", *rest], rest, strict=False):
        if text.startswith("-"):
            faults.append(unknown("flag", text.partition("=")[0], flags))
        elif not before.startswith("-"):  # else it is the unknown flag's value
            faults.append(f"Unexpected argument `{text}`.")
    return faults


_LEAST = {
    "samples": 1,
    "replicates": 1,
    "points": 1,
    "epochs": 1,
    "blocks": 1,
    "seed": 0,
    "eta": 2,
    "subset": 1,
    "max_concurrent": 1,
    "gpus_per_trial": 0,
}
"""Smallest value of each number; `--cpus-per-trial` and `--memory-per-trial` must be above 0."""


def value_faults(arguments: argparse.Namespace) -> list[str]:
    """Every value that cannot be."""
    faults = _number_faults(arguments)
    for name, known in (
        ("confirm", tuple(CONFIRM)),
        ("tuner", TUNERS),
        ("searcher", SEARCHERS),
        ("loss", LOSSES),
        ("duplicates", CHOICES["duplicates"]),
    ):
        value = getattr(arguments, name)
        if value is not None and value not in known:
            faults.append(unknown(name, value, known))
    faults += [*_extend_faults(arguments.extend), *_retry_faults(arguments.retry)]
    if arguments.time_budget is not None and seconds_of(arguments.time_budget) is None:
        faults.append(
            f"`--time-budget` must be a time such as 45s, 90m, 2h or 1h30m, but got `{arguments.time_budget}`."
        )
    for name, word in (("epoch_deadline", NEVER), ("room_deadline", NEVER), ("save_every", EACH_EPOCH)):
        value = getattr(arguments, name)
        if value != word and seconds_of(value) is None:
            faults.append(f"`{flag_of(name)}` must be a time such as 45s or 90m, or {word}, but got `{value}`.")
    if arguments.sd_from is not None and not arguments.plan:
        faults.append("`--sd-from` is for the power that `--plan` tells: add `--plan`.")
    if arguments.local and arguments.address:
        faults.append(f"`--local` and `--address` exclude each other, but got both ({arguments.address}).")
    if arguments.name is not None and (
        Path(arguments.name).name != arguments.name or arguments.name in ("", ".", "..")
    ):
        faults.append(f"`--name` must be a plain folder name, but got `{arguments.name}`.")
    return faults


def _number_faults(arguments: argparse.Namespace) -> list[str]:
    faults = []
    for name in (*_LEAST, "cpus_per_trial", "memory_per_trial", "exempt", "grace"):
        value = getattr(arguments, name)
        if name == "gpus_per_trial" and value == "auto":
            continue
        flag = flag_of(name)
        if isinstance(value, str):
            faults.append(f"`{flag}` must be a number, but got `{value}`.")
        elif name in _LEAST and value is not None and not value >= _LEAST[name]:
            faults.append(f"`{flag}` must be at least {_LEAST[name]}, but got {value:g}.")
        elif name == "seed" and value is not None and value > MAX_SEED:
            faults.append(f"`{flag}` must be at most {MAX_SEED}, but got {value}.")
        elif name == "exempt" and value is not None and not 0 <= value < 1:
            faults.append(f"`{flag}` must be in [0, 1), but got {value:g}.")
        elif name == "grace" and value is not None and not 0 < value <= 1:
            faults.append(f"`{flag}` must be above 0 and at most 1, but got {value:g}.")
        elif name in ("cpus_per_trial", "memory_per_trial") and value is not None and not value > 0:
            faults.append(f"`{flag}` must be above 0, but got {value:g}.")
        elif name == "gpus_per_trial" and value is not None and value > 1:
            faults.append(f"`{flag}` must be at most 1, as a trial trains on one GPU, but got {value:g}.")
    return faults


def seconds_of(text: str) -> float | None:
    """Seconds of `1h30m`, `90m` or `45s`; None for anything else, and for no time at all."""
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.strip())
    try:
        parts = [float(part) if part else 0.0 for part in match.groups()] if match else []
    except ValueError:
        return None
    return sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False)) or None


def _extend_faults(text: str | None) -> list[str]:
    if text is None:
        return []
    stage, _, number = text.rpartition("=")
    faults = []
    if stage and stage not in EXTENDABLE:
        faults.append(unknown("thing to extend", stage, EXTENDABLE))
    if not number.isdecimal() or int(number) < 1:
        faults.append(f"`--extend` must be a number of at least 1, or WHAT=N, but got `{text}`.")
    return faults


def _retry_faults(text: str | None) -> list[str]:
    return [unknown("ending to retry", kind, RETRIABLE) for kind in kinds(text) if kind not in RETRIABLE]


def kinds(text: str | None) -> tuple[str, ...]:
    """The endings in `error,oom`."""
    return tuple(text.split(",")) if text is not None else ()
