"""The command line as a value, the same for every sweep."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding_core.config.data_root import resolve_root
from embedding_core.config.parsing import parse_settings
from embedding_core.errors import Faults, unknown
from embedding_core.plugins.sources import use_named
from sweeps.cli.flag_values import kinds, seconds_of, value_faults
from sweeps.cli.flags import EACH_EPOCH, NEVER, parser_of, unknown_flags
from sweeps.design import Design
from sweeps.design.design import Settings
from sweeps.design.plan import DEFAULT_PRESET
from sweeps.design.plan_file import EXTENDABLE
from sweeps.engine.machines.cluster import Where
from sweeps.engine.machines.resources import Request
from sweeps.results.schema import STAGES

WHAT = (
    "preset", "dataset", "outcome", "samples", "replicates", "points", "epochs", "blocks", "seed", "confirm", "tuner",
    "controls", "exempt", "searcher", "eta", "grace", "subset", "loss", "duplicates", "skip_broken", "stages",
    "data_root",
)  # fmt: skip
"""Flags that determine the results, in the order in which a plan lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for. `what` determines the results; the rest is where and how fast."""

    what: Settings
    """What `WHAT` names, and TrainConfig fields from `--set`; only what was given."""
    results: Path
    name: str | None
    resume: bool
    """Also where `extend` or `retry` is given: both go on with a sweep."""
    plan: bool
    sd_from: Path | None
    """Folder of an earlier sweep whose SDs between replicates the plan's power is reckoned from."""
    where: Where
    request: Request
    extend: tuple[str, int] | None
    """One of `plan_file.EXTENDABLE`, and how many to add."""
    retry: tuple[str, ...]
    """Endings whose trials are run again."""
    time_budget_s: float | None
    checkpoints: str | None
    """Absolute folder or URI."""
    mirror: str | None
    """Likewise; where a copy of the results is kept."""
    epoch_deadline_s: float
    room_deadline_s: float
    save_every_s: float


def parse(design: Design, argv: Sequence[str]) -> Options:
    """Options from the command line; from here on this process has the plug-ins that they name, and no others.

    Raises:
        Faults: every unknown flag (with the nearest known one) and every bad value; plug-ins that cannot be used.
    """
    parser = parser_of(design)
    arguments, rest = parser.parse_known_args(argv)
    try:
        use_named(arguments.plugin)
    except Faults as error:  # what it would have declared is no fault of the other flags
        raise Faults([*unknown_flags(vars(arguments), rest), *error.faults]) from error
    what, faults = _what(design, arguments)
    faults = [*unknown_flags(vars(arguments), rest), *value_faults(arguments), *faults]
    if faults:
        raise Faults(faults)
    return Options(
        what=what,
        results=Path(arguments.results).expanduser().resolve(),
        name=arguments.name,
        resume=bool(arguments.resume or arguments.extend or arguments.retry),
        plan=arguments.plan,
        sd_from=Path(arguments.sd_from).expanduser().resolve() if arguments.sd_from else None,
        where=Where(local=arguments.local, address=arguments.address),
        request=Request(
            gpus=arguments.gpus_per_trial,
            cpus=arguments.cpus_per_trial,
            memory_gib=arguments.memory_per_trial,
            most=arguments.max_concurrent,
        ),
        extend=_extension(arguments.extend),
        retry=kinds(arguments.retry),
        time_budget_s=seconds_of(arguments.time_budget) if arguments.time_budget is not None else None,
        checkpoints=_place(arguments.checkpoints) if arguments.checkpoints else None,
        mirror=_place(arguments.mirror) if arguments.mirror else None,
        epoch_deadline_s=0.0 if arguments.epoch_deadline == NEVER else seconds_of(arguments.epoch_deadline) or 0.0,
        room_deadline_s=0.0 if arguments.room_deadline == NEVER else seconds_of(arguments.room_deadline) or 0.0,
        save_every_s=0.0 if arguments.save_every == EACH_EPOCH else seconds_of(arguments.save_every) or 0.0,
    )


def _what(design: Design, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """What determines the results, as far as it was given, and what is wrong with it."""
    faults = []
    what = {name: getattr(arguments, name) for name in WHAT if getattr(arguments, name) is not None}
    for stage in what.get("stages", "").split(",") if "stages" in what else ():
        faults += [unknown("stage", stage, STAGES)] if stage not in STAGES else []
    if "data_root" in what:
        what["data_root"] = str(resolve_root(what["data_root"]))
    preset = what.get("preset", DEFAULT_PRESET)
    if preset not in design.presets:
        faults.append(unknown("preset", preset, design.presets))
    try:
        settings = parse_settings(arguments.set)
    except Faults as error:
        return what, [*faults, *error.faults]
    if "seed" in settings:
        faults.append("`--set seed` would give all blocks one seed; `--seed` is the master seed they derive from.")
    if "split_seed" in settings:
        faults.append("`--set split_seed` would give all replicates one draw of images; it derives from `--seed`.")
    outcomes = [outcome.name for outcome in design.outcomes]
    if what.get("outcome", outcomes[0]) not in outcomes:
        faults.append(unknown("outcome", what["outcome"], outcomes))
    return what | settings, faults


def _extension(text: str | None) -> tuple[str, int] | None:
    """Stage and number of `N` or `STAGE=N`, known to be well formed."""
    if text is None:
        return None
    stage, _, number = text.rpartition("=")
    return stage or EXTENDABLE[0], int(number)


def _place(text: str) -> str:
    """A URI as it is, a folder absolute."""
    return text if "://" in text else str(Path(text).expanduser().resolve())
