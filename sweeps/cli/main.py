"""One sweep from command line to verdict."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from embedding_core.streams import answer, guarded
from sweeps.cli import session
from sweeps.cli.forecast import forecast
from sweeps.cli.held_out_checks import lines_on_data
from sweeps.cli.messages import announce, say, tell_errors, tell_how_to_go_on
from sweeps.cli.options import Options, parse
from sweeps.cli.power_lines import power_lines, sds_of
from sweeps.cli.preflight import preflight
from sweeps.cli.sweep_folder import folder_of, held_folder, plan_of
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.engine.interruption import Interruption
from sweeps.engine.records.mirror import mirrored
from sweeps.results.sweep_log import SweepLog

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
    console, log = Console(stderr=True), SweepLog()
    with guarded(log.note):  # a terminal that is closed, or a full disk under it, ends no sweep
        try:
            return _main(design, sys.argv[1:] if argv is None else list(argv), console, log)
        except Faults as error:
            say(console, str(error), style="red")
        except KeyboardInterrupt:  # while nothing was under way yet, or any more
            return INTERRUPTED
        except OSError as error:  # a disk that is full when a plan or a report is written, say
            text = "What is stored is not lost; once that works again go on with `--resume`, or anew if no trial had"
            say(console, f"{type(error).__name__}: {error}. {text} begun.", style="red")
        return 2


def _main(design: Design, argv: Sequence[str], console: Console, log: SweepLog) -> int:
    options = parse(design, argv)
    if options.plan:
        _tell_plan(design, options)
        return 0
    with (
        held_folder(design, options) as folder,
        mirrored(folder, options.mirror, log.note, new=not options.resume),
    ):
        with Interruption(options.time_budget_s) as interruption, suppress(KeyboardInterrupt):
            plan = carry_out(design, options, folder, console, log, interruption)
            if plan is not None:
                announce(plan, folder, argv)
                return FAILED if tell_errors(folder, console) else 0
        tell_how_to_go_on(options, folder, argv, console, spent=interruption.budget_spent)
    return BUDGET_SPENT if interruption.budget_spent else INTERRUPTED


def carry_out(
    design: Design,
    options: Options,
    folder: Path,
    console: Console,
    log: SweepLog,
    interruption: Interruption,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> Plan | None:
    """Run what is left of the sweep that `options` ask for, in its folder: its plan, or None if it was interrupted.

    Raises:
        Faults: it cannot be run as asked.
        KeyboardInterrupt: it was interrupted where no run of Tune was under way.
    """
    plan = plan_of(design, options, folder)
    data = preflight(plan, options, folder)
    for line in lines_on_data(plan, data):
        say(console, line)
    return plan if session.run(plan, data, options, folder, console, log, interruption, on_row=on_row) else None


def _tell_plan(design: Design, options: Options) -> None:
    folder = folder_of(design, options)
    plan = plan_of(design, options, folder)
    data = preflight(plan, options, folder)
    name = options.sd_from.name if options.sd_from else ""
    sds = sds_of(options.sd_from, plan) if options.sd_from else None
    answer("\n".join([plan.design.question, *power_lines(plan, sds, name=name)]))  # before the probe
    answer("\n".join(forecast(plan, data, options.request, save_every_s=options.save_every_s)))
