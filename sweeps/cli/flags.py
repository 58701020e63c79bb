"""The flags of the command line: what each is called, says of itself and defaults to."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from embedding_core.config.train_config import CHOICES, DATASETS, SAVE_EVERY_S
from embedding_core.errors import Faults, unknown
from embedding_core.plugins.builtin import LOSSES
from sweeps.analysis.wording import MIN_REPLICATES
from sweeps.design import Design
from sweeps.design.plan import DEFAULT_PRESET, TUNERS
from sweeps.design.tuning import ETA, GRACE, SEARCHERS
from sweeps.results.endings import RETRIABLE
from sweeps.results.schema import STAGES

NEVER = "never"
EACH_EPOCH = "epoch"
EPOCH_DEADLINE = "2h"
"""Nothing here takes so long by far, and to end a slow run for a hung one would be worse than to wait."""

ROOM_DEADLINE = "2h"
"""Machines that were taken back and are sold out come again within hours, if at all."""

_Add = Callable[..., argparse.Action]
"""Takes a flag and what it may be."""


class _Parser(argparse.ArgumentParser):
    """Tells a flag without its value as any other fault."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it ends the process."""
        raise Faults([f"{message[:1].upper()}{message[1:]}."])


def parser_of(
    design: Design, default_of: Callable[[str], str] = lambda field: "the preset's"
) -> argparse.ArgumentParser:
    """The flags of a sweep with this design.

    Args:
        design: of the sweep.
        default_of: what a flag is where it is not given, by its name in a plan, if the preset decides that.
    """
    parser = _Parser(usage="%(prog)s [--preset NAME] [FLAG ...]", allow_abbrev=False)
    _add_what(parser.add_argument_group("what to run").add_argument, design, default_of)
    _add_how(parser.add_argument_group("starting, going on").add_argument)
    _add_where(parser.add_argument_group("where to run").add_argument)
    return parser


def _add_what(add: _Add, design: Design, default_of: Callable[[str], str]) -> None:
    def add_with(flag: str, text: str, *, dest: str = "", **how: Any) -> None:
        field = dest or flag.removeprefix("--")
        add(flag, dest=field, help=f"{text}; default: {default_of(field)}", **how)

    number: dict[str, Any] = {"type": _lenient(int), "metavar": "N"}
    add("--preset", metavar="NAME", help=f"one of {', '.join(design.presets)}; default: {DEFAULT_PRESET}")
    named = ", ".join(DATASETS)
    add_with("--dataset", f"{named}, folder:PATH, or a folder of Parquet files in --data-root", metavar="NAME")
    add("--data-root", metavar="DIR", help="folder of the data sets, or s3://...; default: $EMBED_DATA_ROOT, else data")
    add_with("--loss", f"base loss, of {', '.join(LOSSES)}, or a plug-in's", metavar="NAME")
    outcomes = ", ".join(outcome.name for outcome in design.outcomes)
    add_with("--outcome", f"what cells are tuned and judged by, of {outcomes}", metavar="NAME")
    add_with("--epochs", "epochs of a full run", **number)
    add_with("--train-triplets", "training triplets (or images) of a run", dest="subset", **number)
    add_with(
        "--replicates", f"independent tunings, each confirmed on its own; verdicts take {MIN_REPLICATES}", **number
    )
    add_with("--points", "settings tried in every cell of every replicate", **number)
    add_with("--blocks", "fresh seeds that confirm each replicate", **number)
    add_with("--samples", "trials of the search", **number)
    add_with("--stages", f"comma-separated, of {', '.join(STAGES)}", metavar="A,B")
    add_with(
        "--confirm",
        "settings that are confirmed: drop-in (stated ones), best (of search) or tuned (best of tune)",
        metavar="HOW",
    )
    add(
        "--tuner",
        metavar="HOW",
        help="optuna (TPE and ASHA in each cell of each replicate) or sobol (the same points in all cells, all trained "
        f"to the end); default: {TUNERS[0]}",
    )
    add("--controls", action="store_const", const=True, help="also run the A/A controls, which in truth change nothing")
    add(
        "--duplicates",
        metavar="HOW",
        help="what to do if more than one in a thousand test or validation images are also trained on, pixel by pixel: "
        f"{', '.join(CHOICES['duplicates'])}; default: {CHOICES['duplicates'][0]}",
    )
    add(
        "--skip-broken",
        action="store_const",
        const=True,
        help="go on without images that cannot be decoded, and list them; otherwise they are refused, all at once",
    )
    add(
        "--exempt",
        type=_lenient(float),
        metavar="SHARE",
        help="share of the search trials, drawn at random, that run on when ASHA would stop them: an audit of the "
        "stopping; default: 0",
    )
    add("--seed", **number, help="master seed, of which all others are derived; default: 0")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="fix any other field of TrainConfig, or a plug-in's (loss.alpha=2); can be repeated",
    )
    add(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE|MODULE",
        help="losses, backbones and data sets of your own, see docs/plugins.md; can be repeated",
    )
    add(
        "--searcher",
        metavar="HOW",
        help=f"what proposes settings, of {', '.join(SEARCHERS)}; default: {SEARCHERS[0]}",
    )
    add("--eta", **number, help=f"at each rung of ASHA the best 1/N go on; default: {ETA}")
    add(
        "--grace",
        type=_lenient(float),
        metavar="SHARE",
        help=f"share of its epochs before ASHA may stop a trial; default: {GRACE:g}",
    )


def _add_how(add: _Add) -> None:
    add("--plan", action="store_true", help="print what would run, take and could be told; no trial is run")
    add("--sd-from", metavar="DIR", help="with --plan: an earlier sweep, whose SDs between replicates give the power")
    add("--results", default="results", metavar="DIR", help="default: %(default)s")
    add("--name", metavar="NAME", help="folder in DIR; default: made of script, preset and data set, and a number")
    add("--time-budget", metavar="TIME", help="stop in good order after this time (90m, 2h), to be resumed later")
    add("--resume", action="store_true", help="go on with the sweep that --name names, else with the latest")
    add(
        "--extend",
        metavar="[WHAT=]N",
        help="go on with N more search trials, replicates=N, or confirm=N blocks of a single replicate",
    )
    add(
        "--retry",
        metavar="KINDS",
        help=f"go on, and run again what ended so, of {', '.join(RETRIABLE)}: once a bug is fixed, say",
    )


def _add_where(add: _Add) -> None:
    add("--local", action="store_true", help="this machine alone, whatever $RAY_ADDRESS says")
    add("--address", metavar="ADDR", help="a running Ray cluster; default: $RAY_ADDRESS, else this machine")
    add(
        "--gpus-per-trial",
        type=_lenient(float),
        metavar="F",
        help="share of a GPU, or auto: what a trial is found to need; default: .25 where there is a GPU, else 0",
    )
    add("--cpus-per-trial", type=_lenient(float), default=1.0, metavar="F", help="default: %(default)g")
    add("--memory-per-trial", type=_lenient(float), metavar="GIB", help="memory that a trial reserves; default: none")
    add(
        "--max-concurrent",
        type=_lenient(int),
        metavar="N",
        help="trials at once; default: as many as there is room for, as nodes come and go",
    )
    add(
        "--checkpoints",
        metavar="DIR|URI",
        help="a folder that all nodes see, or s3://bucket/prefix; default: in the sweep's folder",
    )
    add(
        "--mirror",
        metavar="DIR|URI",
        help="where a copy of the results is kept, after each stage and every ten minutes; default: none",
    )
    add(
        "--save-every",
        default=f"{SAVE_EVERY_S:g}s",
        metavar="TIME",
        help=f"time between two checkpoints of a trial, or {EACH_EPOCH}; default: %(default)s",
    )
    add(
        "--epoch-deadline",
        default=EPOCH_DEADLINE,
        metavar="TIME",
        help="a trial that has been silent for this long is taken for hung, and starts again from its checkpoint; or "
        f"{NEVER}; default: %(default)s",
    )
    add(
        "--room-deadline",
        default=ROOM_DEADLINE,
        metavar="TIME",
        help="a sweep whose trials have all been waiting for room this long ends, and says why; or "
        f"{NEVER}; default: %(default)s",
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
