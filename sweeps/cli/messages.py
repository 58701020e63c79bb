"""What a sweep says: what it is doing, what came of it, and how to go on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.analysis.report.compose import compose, write_report
from sweeps.cli.command_lines import command, koleo_sweeps, without
from sweeps.cli.options import Options
from sweeps.design import plan_file
from sweeps.design.plan import Plan
from sweeps.results import store
from sweeps.results.endings import run_again


def say(console: Console, text: str, style: str = "") -> None:
    """Print as it is: paths and brackets are no markup, and lines are the terminal's to wrap."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def announce(plan: Plan, folder: Path, argv: Sequence[str]) -> None:
    """Write the report, then print the answer, where to read it, and what to run next, unless that has just run."""
    composed = compose(folder)
    page = write_report(folder, composed)
    for verdict in composed.verdicts:
        print(verdict)
    print(f"Report: {page}")
    if "search" in plan.stages:
        dashboard = command([f"sqlite:///{folder / 'optuna.db'}"], program="optuna-dashboard")
        print(f"Search in optuna-dashboard: {dashboard}")
    following = plan.preset.next_command.split()
    if not set(following) <= set(argv) and plan.what["dataset"] == plan.preset.dataset:
        print(f"Next: {command([])} {plan.preset.next_command}")


def tell_errors(folder: Path, console: Console) -> bool:
    """Say why trials ended in an error, or with their machine; whether any of the confirmation did."""
    rows = store.read(folder, "trials").to_pylist()
    failed = [row for row in rows if row["end_reason"] in run_again(row["stage"])]
    for (ending, reason), count in Counter((row["end_reason"], row["error_type"]) for row in failed).items():
        say(console, f"{count} trials ended as {ending}: {reason} `--resume` runs them again.", style="red")
    return any(row["stage"] == "confirm" for row in failed)


def tell_how_to_go_on(options: Options, folder: Path, argv: Sequence[str], console: Console, *, spent: bool) -> None:
    """Say how an unfinished sweep goes on. `spent`: whether it ended for its time budget."""
    name = [] if options.name else ["--name", folder.name]
    resume = ["--resume"] if (folder / plan_file.NAME).exists() else []
    again = command([*without(argv, "--resume", "--extend"), *name, *resume])
    why = f"The time budget of {options.time_budget_s:g} s is spent" if spent else "Interrupted"
    say(console, f"{why}; no result is lost. Go on with: {again}")
    if spent:
        say(console, f"Report of what there is: {koleo_sweeps('report', str(folder))}")
