"""One sweep from command line to verdict."""

import sys
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console

from embedding_core.errors import Faults
from embedding_core.streams import answer, guarded
from sweeps.cli.console import say
from sweeps.cli.help import help_of
from sweeps.design import Design
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
    argv = sys.argv[1:] if argv is None else list(argv)
    console, log = Console(stderr=True), SweepLog()
    with guarded(log.note):  # a terminal that is closed, or a full disk under it, ends no sweep
        try:
            if {"-h", "--help"} & set(argv):
                answer(help_of(design, argv))
                return 0
            return _main(design, argv, console, log)
        except Faults as error:
            say(console, str(error), style="red")
        except KeyboardInterrupt:  # while nothing was under way yet, or any more
            return INTERRUPTED
        except OSError as error:  # a disk that is full when a plan or a report is written, say
            text = "What is stored is not lost; once that works again go on with `--resume`, or anew if no trial had"
            say(console, f"{type(error).__name__}: {error}. {text} begun.", style="red")
        return 2


def _main(design: Design, argv: Sequence[str], console: Console, log: SweepLog) -> int:
    # Seconds of torch, Ray and scikit-learn, which help does without.
    from sweeps.cli.messages import announce, tell_errors, tell_how_to_go_on
    from sweeps.cli.options import parse
    from sweeps.cli.session import carry_out, tell_plan
    from sweeps.cli.sweep_folder import held_folder
    from sweeps.engine.interruption import Interruption
    from sweeps.engine.records.mirror import mirrored

    options = parse(design, argv)
    if options.plan:
        tell_plan(design, options)
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
