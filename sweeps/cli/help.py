"""What `--help` prints: examples, the presets with what each takes and can claim, and every flag with its default."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from embedding_core.wording import plural
from sweeps.analysis.wording import MIN_REPLICATES
from sweeps.cli.flags import parser_of
from sweeps.commands.parser import PROGRAM, columns
from sweeps.design import Design
from sweeps.design.design import Preset, spelled
from sweeps.design.plan import CONFIRM, DEFAULT_PRESET, Plan
from sweeps.design.plan_file import content_of
from sweeps.design.planned_counts import planned_trials
from sweeps.results.latest import NAME as LATEST

MIN_WIDTH, MAX_WIDTH = 60, 120
"""Columns of text, whatever the terminal has."""


def help_of(design: Design, argv: Sequence[str] = ()) -> str:
    """The help of a sweep; flags are shown with the values of the preset that `argv` names, if it is one.

    Args:
        design: of the sweep.
        argv: the command line that asks for help.
    """
    width = min(max(shutil.get_terminal_size().columns - 2, MIN_WIDTH), MAX_WIDTH)
    asked, _ = parser_of(design).parse_known_args([word for word in argv if word not in ("-h", "--help")])
    name = asked.preset if asked.preset in design.presets else DEFAULT_PRESET
    plan = Plan.of(design, {"preset": name}) if name in design.presets else None
    flags = parser_of(design, lambda field: _default(plan, name, field))
    return "\n".join([
        textwrap.fill(design.question, width),
        f"\nexamples:\n{columns(dict(_examples(design)))}",
        "\npresets, the budgets that --preset names:",
        *(line for preset in design.presets for line in _preset_lines(design, preset, width)),
        "\n  Times are of runs that were made. How long it takes here, and which effects it could tell: --plan.",
        f"\n{flags.format_help()}",
        f"Defaults in brackets are those of the preset {name}; --preset NAME --help shows another's.",
    ])  # fmt: skip


def _examples(design: Design) -> Iterator[tuple[str, str]]:
    """Command lines and what they do."""
    script = f"python {Path(sys.argv[0])}"
    default = design.presets.get(DEFAULT_PRESET)
    if default is not None:
        yield script, f"preset {DEFAULT_PRESET}: {_takes(default)}"
    yield f"{script} --plan", "what that takes and will be able to say; nothing is trained"
    if default is not None and default.next_command:
        yield f"{script} {default.next_command}", "the next larger preset; all of them are below"
    yield f"{script} --resume", "go on with the latest sweep, after Ctrl-C or a crash"
    yield f"{PROGRAM} report results/{LATEST}", "its report once more"


def _preset_lines(design: Design, name: str, width: int) -> Iterator[str]:
    plan = Plan.of(design, {"preset": name})
    runs = sum(planned_trials(content_of(plan, design.name)).values())
    default = " (default)" if name == DEFAULT_PRESET else ""
    yield f"\n  {name}{default}   {plural(runs, 'run')}, {_takes(plan.preset)}"
    for text in (f"{plan.preset.purpose}.", f"Can claim: {claim_of(plan)}."):
        yield textwrap.fill(text, width, initial_indent=" " * 4, subsequent_indent=" " * 4)


def _takes(preset: Preset) -> str:
    return preset.takes or "time not measured"


def claim_of(plan: Plan) -> str:
    """What the confirmation of a plan can claim, in a few words."""
    if "confirm" not in plan.stages:
        return "best settings, and no effects"
    if plan.confirm == "best of search":
        return "a best configuration; no verdict, as all rests on one search"
    if plan.replicates < MIN_REPLICATES:
        return f"no verdict: it has {plan.replicates} of the {MIN_REPLICATES} replicates that one takes"
    if plan.confirm == "drop-in":
        return f"verdicts at the stated settings, over {plural(plan.replicates, 'seed')}"
    return f"verdicts that allow for tuning, over {plan.replicates} tunings"


def _default(plan: Plan | None, preset: str, field: str) -> str:
    """The default of a flag that the preset decides."""
    if plan is None:
        return "the preset's"
    value = plan.setting(field)
    if field == "confirm":
        value = next(flag for flag, how in CONFIRM.items() if how == value)
    return f"{'all' if value in (None, 'not set') else spelled(value)} ({preset})"
