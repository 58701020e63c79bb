"""What a sweep says: what it is doing, what came of it, and how to go on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from embedding_core.config.data_root import resolve_root
from sweeps.analysis.document import Report
from sweeps.analysis.numbers import number
from sweeps.analysis.report.compose import compose, write_report
from sweeps.analysis.stats.description.descriptive import command_of
from sweeps.cli.command_lines import again_in, arguments_of, command, koleo_sweeps, near, without
from sweeps.cli.console import say
from sweeps.cli.flags import flag_of
from sweeps.cli.options import WHAT, Options
from sweeps.commands import report_inputs
from sweeps.design import plan_file
from sweeps.design.plan import Plan
from sweeps.design.selection import best_trial
from sweeps.results import store
from sweeps.results.columns import named
from sweeps.results.durations import time_text
from sweeps.results.endings import run_again

SIZES = ("preset", "samples", "replicates", "points", "blocks", "epochs", "subset", "stages", "confirm", "exempt")
"""What makes a preset large or small: another preset has its own."""

OF_ONE_START = ("--name", "--resume", "--extend", "--retry")
"""Flags that say which sweep is gone on with."""


def announce(plan: Plan, folder: Path, argv: Sequence[str]) -> None:
    """Write the report; print the answer, the best configuration, where everything is, and what to run next."""
    inputs = report_inputs.inputs_of(folder)
    composed = compose(folder)
    page = write_report(folder, composed)
    report_inputs.remember(folder, inputs)
    print("\n".join(["", *_answer(composed), *_best(plan, folder), ""]))
    print(f"Report: {page}")
    if "search" in plan.stages:
        dashboard = command([f"sqlite:///{folder / 'optuna.db'}"], program="optuna-dashboard")
        print(f"Search in optuna-dashboard: {dashboard}")
    following = next_command(plan, argv)
    if following:
        words = plan.preset.next_command.split()
        takes = next((preset.takes for name, preset in plan.design.presets.items() if name in words), "")
        print(f"Next: {following}" + (f"    # {takes}" if takes else ""))


def _answer(report: Report) -> list[str]:
    """The plain answer, what limits it, and what was run."""
    if report.first is None:
        return ["Answer", *_items(report.verdicts)]
    answer, limits = report.first.answer or report.verdicts, report.first.caveats
    ran = ["", "What was run", *_items([report.first.ran])] if report.first.ran else []
    return ["Answer", *_items(answer), *(["", "What limits it", *_items(limits)] if limits else []), *ran]


def _best(plan: Plan, folder: Path) -> list[str]:
    """The command that trains the best configuration again, and the model that it gave."""
    best = best_trial(store.read(folder, "trials").to_pylist(), measure=plan.outcome.final)
    if best is None:
        return []
    value = f"{named(plan.outcome.validation)} {number(best[plan.outcome.final], decimals=4)}"
    caution = f"{value} on the images that it was chosen by: the best of many runs, from which no effect follows."
    model = folder / "best" / "model.pt"
    kept = [f"  Its weights: {near(model)}"] if model.exists() else []
    heading = f"Best configuration ({best['stage']} {best['trial_id']}, {best['cell_id']}), to train it again"
    return [
        "",
        heading,
        *_items([f"{caution[:1].upper()}{caution[1:]}"]),
        f"  {again_in(command_of(best), folder)}",
        *kept,
    ]


def _items(texts: Iterable[str]) -> list[str]:
    """A line each, which is the terminal's to wrap."""
    return [f"  {text}" for text in texts]


def next_command(plan: Plan, argv: Sequence[str]) -> str:
    """What the preset recommends afterwards, with all else that the user asked for; empty if that has just run.

    Args:
        plan: of the sweep that has ended, with what was asked for when it began.
        argv: of this start.
    """
    following = plan.preset.next_command.split()
    other_data = "--dataset" in following and plan.what["dataset"] != plan.preset.dataset
    if not following or other_data or set(following) <= set(argv):
        return ""
    default = {"dataset": plan.preset.dataset, "data_root": str(resolve_root(None))}
    passed_over = {*SIZES, *plan.guessed}
    asked = {name: value for name, value in plan.what.items() if name not in passed_over and value != default.get(name)}
    flags = {flag_of(name).removeprefix("--"): value for name, value in asked.items() if name in WHAT}
    settings = {name: value for name, value in asked.items() if name not in WHAT}
    kept = [*arguments_of({**flags, "set": settings}), *without(argv, "--set", *map(flag_of, WHAT), *OF_ONE_START)]
    return command([*following, *without(kept, *(word for word in following if word.startswith("--")))])


def tell_errors(folder: Path, console: Console) -> bool:
    """Say why trials ended in an error, or with their machine; whether any of the confirmation did."""
    rows = store.read(folder, "trials").to_pylist()
    failed = [row for row in rows if row["end_reason"] in run_again(row["stage"])]
    for (ending, reason), count in Counter((row["end_reason"], row["error_type"]) for row in failed).items():
        trials, them = ("trial", "it") if count == 1 else ("trials", "them")
        say(console, f"{count} {trials} ended as {ending}: {reason} `--resume` runs {them} again.", style="red")
    return any(row["stage"] == "confirm" for row in failed)


def tell_how_to_go_on(options: Options, folder: Path, argv: Sequence[str], console: Console, *, spent: bool) -> None:
    """Say how an unfinished sweep goes on. `spent`: whether it ended for its time budget."""
    resume = ["--resume"] if (folder / plan_file.NAME).exists() else []
    again = command([*without(argv, "--resume", "--extend", "--name"), "--name", folder.name, *resume])
    why = f"The time budget of {time_text(options.time_budget_s or 0)} is spent" if spent else "Interrupted"
    say(console, f"{why}; no result is lost. Go on with: {again}")
    if spent:
        say(console, f"Report of what there is: {koleo_sweeps('report', str(folder))}")
