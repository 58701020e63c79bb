"""`koleo-sweeps report TARGET`: the report of a sweep, of sweeps merged or side by side, or of an Optuna study."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from embedding_core.errors import Faults
from sweeps.commands import report_inputs
from sweeps.commands.parser import CommandParser, sweep_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Write a report and print the path of its page."""
    parser = CommandParser(
        "report",
        "Writes report.html (self-contained), report.md and figures/*.svg, and prints the path of the page.\n"
        "The report of a sweep goes into its own folder and replaces an earlier one, if that is out of date.",
        examples={
            "results/NAME": "one sweep",
            "results/A results/B": "two sweeps side by side, in compare-A-B/ (as `compare`)",
            "results/A results/B --merge results/AB": "sweeps of one design as replicates of one",
            "optuna:study.db#STUDY": "any Optuna study, SQLite or journal, in study-report/",
        },
        exit_codes={0: "the report is written"},
    )
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="+",
        help="RESULTS/NAME, two of them (more with --merge), or optuna:PATH[#STUDY], a file that is not changed",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder for a comparison or an Optuna study")
    parser.add_argument(
        "--merge",
        metavar="RESULTS/NEW",
        type=Path,
        help="write the sweeps into this new folder, as replicates of one, and report that",
    )
    parser.add_argument(
        "--planned",
        action="store_true",
        help="all of them were planned before the report of any was read: else intervals allow for that",
    )
    return parser.run(_report, argv)


def _report(arguments: argparse.Namespace) -> int:
    if arguments.merge is not None:
        print(_merged(arguments))
        return 0
    if arguments.planned:
        raise Faults(["`--planned` is said of sweeps that are merged: add `--merge RESULTS/NEW`."])
    print(_rendered(arguments.targets, arguments.output))
    return 0


def _merged(arguments: argparse.Namespace) -> Path:
    from sweeps.design.merge import merge

    if arguments.output is not None:
        raise Faults(["The report of a merge is written into its own folder: leave out `--output`."])
    merge([sweep_folder(target) for target in arguments.targets], arguments.merge, planned=arguments.planned)
    return _of_sweep(arguments.merge)


def _rendered(targets: list[str], output: Path | None) -> Path:
    from sweeps.analysis.wording import STUDY  # not even numpy is loaded for help

    studies = [target for target in targets if target.startswith(STUDY)]
    if len(targets) > 2 or (studies and len(targets) > 1):
        raise Faults(
            [
                "A report is about one sweep, two sweeps or one Optuna study, or with `--merge` about more sweeps, "
                f"but got: {', '.join(targets)}."
            ]
        )
    if studies:
        from sweeps.analysis.optuna_studies.report import render_study

        return render_study(studies[0].removeprefix(STUDY), output)
    folders = [sweep_folder(target) for target in targets]
    if len(folders) == 2:
        from sweeps.analysis.report.compose import render_comparison

        return render_comparison(folders[0], folders[1], output)
    if output is not None:
        raise Faults(["The report of a sweep is written into its own folder; `--output` is for the other kinds."])
    return _of_sweep(folders[0])


def _of_sweep(folder: Path) -> Path:
    """Drawn anew, unless it is what would be drawn."""
    inputs = report_inputs.inputs_of(folder)
    page = report_inputs.current(folder, inputs)
    if page is None:
        from sweeps.analysis.report.compose import render_sweep

        page = render_sweep(folder)
        report_inputs.remember(folder, inputs)
    return page


if __name__ == "__main__":
    sys.exit(main())
