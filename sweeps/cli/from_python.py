"""`sweeps.run`: a sweep from a script or a notebook, with everything that the command line can say."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from embedding_core.streams import guarded
from sweeps.analysis.sweep_result import SweepResult
from sweeps.cli.command_lines import arguments_of
from sweeps.cli.options import parse
from sweeps.cli.session import carry_out
from sweeps.cli.sweep_folder import held_folder
from sweeps.design import Design
from sweeps.engine.interruption import Interruption
from sweeps.engine.records.mirror import mirrored
from sweeps.results.sweep_log import SweepLog


def run(
    design: Design,
    *,
    on_row: Callable[[Row], None] | None = None,
    quiet: bool = False,
    **options: Any,
) -> SweepResult:
    """Run a sweep, or go on with one, in this process, and return what it left.

    Args:
        design: what is asked: `sweeps.koleo_accum.DESIGN`, or one of your own.
        on_row: called in this process with each row of each trial as it comes: the columns of the table `curves`, with
            `stage`, `trial_id` and `cell_id`. What it raises ends no run: it is said once, and rows go on.
        quiet: whether progress stays off standard error.
        **options: the command line's, by name: `preset="minimal"`, `replicates=6`, `time_budget="2h"`, `resume=True`;
            `set={"head": "mlp"}` fixes fields of the configuration; `plugin` is a file or module, or a list of them.

    Returns:
        The folder of the sweep as an object, `complete` if everything planned has run.

    Raises:
        Faults: unknown options (with the nearest known one), bad values, a sweep that cannot be run; all at once.
    """
    given = parse(design, arguments_of(options))
    if given.plan:
        raise Faults(["`plan=True` would run nothing: the command line's `--plan` prints what a sweep will take."])
    plan, log = None, SweepLog()
    with (
        held_folder(design, given) as folder,
        guarded(log.note),
        mirrored(folder, given.mirror, log.note, new=not given.resume),
        Interruption(given.time_budget_s) as interruption,
        suppress(KeyboardInterrupt),
    ):
        console = Console(stderr=True, quiet=quiet)
        plan = carry_out(design, given, folder, console, log, interruption, on_row=on_row)
    return SweepResult(folder, plan is not None)
