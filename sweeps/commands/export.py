"""`koleo-sweeps export FORMAT RESULTS/NAME OUT`: a sweep for spreadsheets, or for TensorBoard."""

import argparse
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from embedding_core.errors import Faults, unknown
from sweeps.commands.parser import CommandParser, sweep_folder

FORMATS: Final = ("tensorboard", "csv")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the export and print what is in it."""
    parser = CommandParser(
        "export",
        "Writes the tables of a sweep as CSV files, one a table, or its curves as TensorBoard's event files: a folder\n"
        "per trial with all columns of numbers by epoch, and the configuration as a text. OUT appears when whole.",
        examples={
            "csv results/NAME tables": "tables/trials.csv, tables/curves.csv, ...",
            "tensorboard results/NAME runs": "then `tensorboard --logdir runs`",
        },
        exit_codes={0: "the export is written"},
    )
    parser.add_argument("format", metavar="FORMAT", help="tensorboard or csv")
    parser.add_argument("folder", metavar="RESULTS/NAME", type=sweep_folder, nargs="?", help="folder of the sweep")
    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", help="folder to make, new or empty")
    parser.usage = "%(prog)s [-h] FORMAT RESULTS/NAME OUT"
    return parser.run(_export, argv)


def _export(arguments: argparse.Namespace) -> int:
    _check(arguments)
    out = arguments.out.resolve()
    partial = out.with_name(f".{out.name}-{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        counts = _write(arguments.format, arguments.folder, partial)
        if not any(counts.values()):
            raise Faults([f"`{arguments.folder}` holds no trials yet: there is nothing to export."])
        os.rename(partial, out)  # an empty folder makes room, one that was filled meanwhile does not
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    end, unit = (".csv", "row") if arguments.format == "csv" else ("/", "run")
    for name, count in counts.items():
        print(f"{arguments.out / name}{end}: {count:,} {unit}{'s' * (count != 1)}")
    if arguments.format == "tensorboard" and find_spec("tensorboard") is None:
        print(
            "TensorBoard is not installed here. To look at the runs: `pip install tensorboard` (or the extra "
            f"`tensorboard`), then `tensorboard --logdir {arguments.out}`.",
            file=sys.stderr,
        )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be exported, or not to there.

    Raises:
        Faults: another format, a folder that is not named or holds no sweep, a target that is taken; all at once.
    """
    from sweeps.results.files import check_sweep  # loads pyarrow, which help does not need

    faults = []
    if arguments.format not in FORMATS:
        faults.append(unknown("format", arguments.format, FORMATS))
    names = {"RESULTS/NAME": arguments.folder, "OUT": arguments.out}
    missing = [name for name, given in names.items() if given is None]
    if missing:
        faults.append(f"The following arguments are required: {', '.join(missing)}.")
    if arguments.folder is not None:
        try:
            check_sweep(arguments.folder)
        except Faults as error:
            faults += error.faults
    out = arguments.out
    if out is not None and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        faults.append(f"OUT must be a new folder or an empty one, but `{out}` is there and not empty.")
    if faults:
        raise Faults(faults)


def _write(kind: str, folder: Path, out: Path) -> dict[str, int]:
    """Rows by table, or runs by stage."""
    # What help does not need takes seconds to load.
    if kind == "csv":
        from sweeps.commands.csv_tables import write_tables

        return write_tables(folder, out)
    from sweeps.commands.tensorboard_runs import write_runs

    return write_runs(folder, out)


if __name__ == "__main__":
    sys.exit(main())
