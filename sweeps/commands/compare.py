"""`koleo-sweeps compare RESULTS/A RESULTS/B`: two sweeps side by side, and the differences of their effects."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from embedding_core.errors import Faults
from sweeps.commands.parser import CommandParser, sweep_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Write the comparison and print the path of its page."""
    parser = CommandParser(
        "compare",
        "Lays two sweeps side by side: effects of both, their differences with an interval where nothing refuses\n"
        "one, and what tells the sweeps apart. Differences are the second minus the first. Neither folder is changed.",
        examples={
            "results/A results/B": "written to compare-A-B/",
            "results/A results/B --output DIR": "written to DIR",
        },
        exit_codes={0: "the comparison is written"},
    )
    parser.add_argument("folders", metavar="RESULTS/NAME", type=sweep_folder, nargs="+", help="folders of two sweeps")
    parser.add_argument("--output", metavar="DIR", type=Path, help="default: compare-A-B in the current folder")
    return parser.run(_compare, argv)


def _compare(arguments: argparse.Namespace) -> int:
    from sweeps.analysis.report.compose import render_comparison  # what help does not need takes seconds to load

    folders = arguments.folders
    if len(folders) != 2:
        raise Faults(
            [f"`compare` takes the folders of two sweeps, but got {len(folders)}: {', '.join(map(str, folders))}."]
        )
    print(render_comparison(folders[0], folders[1], arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
