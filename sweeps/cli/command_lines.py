"""Command lines for the user to paste."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps.commands.parser import PROGRAM


def command(argv: Sequence[str], *, program: str | None = None) -> str:
    """A command line to paste: this script, or `program` beside this interpreter, with `argv`."""
    interpreter = Path(sys.executable)
    start = [interpreter, Path(sys.argv[0])] if program is None else [interpreter.with_name(program)]
    return shlex.join([*(_near(path) for path in start), *argv])


def koleo_sweeps(name: str, *arguments: str) -> str:
    """A command of the console script to paste; where that is not installed, as on a cluster, of its module."""
    if Path(sys.executable).with_name(PROGRAM).exists():
        return command([name, *arguments], program=PROGRAM)
    return command(["-m", f"sweeps.commands.{name}", *arguments], program="python")


def without(argv: Sequence[str], *flags: str) -> list[str]:
    """The arguments without these flags and their values."""
    kept, left_out = [], False
    for argument in argv:
        if argument.startswith("--"):
            left_out = argument.partition("=")[0] in flags
        if not left_out:
            kept.append(argument)
    return kept


def _near(path: Path) -> str:
    """Relative to the current folder if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path)
