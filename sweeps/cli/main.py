"""One sweep from command line to verdict."""

import sys
from collections.abc import Sequence

from rich.console import Console

from embedding_core.errors import Faults
from sweeps.cli import session
from sweeps.cli.forecast import forecast
from sweeps.cli.held_out_checks import lines_on_test_set
from sweeps.cli.messages import announce, say, tell_errors, tell_how_to_go_on
from sweeps.cli.options import parse
from sweeps.cli.power_lines import power_lines, sds_of
from sweeps.cli.preflight import preflight
from sweeps.cli.sweep_folder import folder_of, plan_of
from sweeps.design import Design

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
    console = Console(stderr=True)
    try:
        return _main(design, sys.argv[1:] if argv is None else list(argv), console)
    except Faults as error:
        say(console, str(error), style="red")
        return 2
    except OSError as error:  # a disk that is full when a plan or a report is written, say
        text = "What is stored is not lost; once that works again go on with `--resume`, or anew if no trial had begun."
        say(console, f"{type(error).__name__}: {error}. {text}", style="red")
        return 2


def _main(design: Design, argv: Sequence[str], console: Console) -> int:
    options = parse(design, argv)
    folder = folder_of(design, options)
    plan = plan_of(design, options, folder)
    data = preflight(plan, options, folder)
    if options.plan:
        name = options.sd_from.name if options.sd_from else ""
        sds = sds_of(options.sd_from, plan) if options.sd_from else None
        print("\n".join([plan.design.question, *power_lines(plan, sds, name=name)]), flush=True)  # before the probe
        print("\n".join(forecast(plan, data, options.request, save_every_s=options.save_every_s)))
        return 0
    for line in lines_on_test_set(plan, data):
        say(console, line)
    outcome = session.run(plan, data, options, folder, console)
    if not outcome.complete:
        tell_how_to_go_on(options, folder, argv, console, spent=outcome.budget_spent)
        return BUDGET_SPENT if outcome.budget_spent else INTERRUPTED
    announce(plan, folder)
    return FAILED if tell_errors(folder, console) else 0
