"""Command lines for the user to paste."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.commands.parser import PROGRAM
from sweeps.results import frozen


def command(argv: Sequence[str], *, program: str | None = None) -> str:
    """A command line to paste: this script, or `program` beside this interpreter, with `argv`."""
    interpreter = Path(sys.executable)
    start = [interpreter, Path(sys.argv[0])] if program is None else [interpreter.with_name(program)]
    return shlex.join([*(near(path) for path in start), *argv])


def koleo_sweeps(name: str, *arguments: str) -> str:
    """A command of the console script to paste; where that is not installed, as on a cluster, of its module."""
    if Path(sys.executable).with_name(PROGRAM).exists():
        return command([name, *arguments], program=PROGRAM)
    return command(["-m", f"sweeps.commands.{name}", *arguments], program="python")


def again_in(line: str, folder: Path) -> str:
    """A line of `command_of` to paste: run by this interpreter, with the plug-ins kept in `folder`."""
    kept = [near(file) for file in sorted((folder / frozen.PLUGINS).glob("*"))]
    plugins = " ".join(f"--plugin {shlex.quote(file)}" for file in kept) or "--plugin FILE"
    return line.replace("python -m", f"{shlex.quote(near(Path(sys.executable)))} -m", 1).replace(
        "--plugin FILE", plugins
    )


def without(argv: Sequence[str], *flags: str) -> list[str]:
    """The arguments without these flags and their values."""
    kept, left_out = [], False
    for argument in argv:
        if argument.startswith("--"):
            left_out = argument.partition("=")[0] in flags
        if not left_out:
            kept.append(argument)
    return kept


def arguments_of(options: Mapping[str, Any]) -> list[str]:
    """Options as the command line has them: `time_budget="2h"` is `--time-budget 2h`; None and False are not given."""
    found: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "plugin":
            each = [value] if isinstance(value, str | Path) else value
            found += [word for plugin in each for word in (flag, str(plugin))]
        elif name == "set":
            found += [word for field, setting in value.items() for word in (flag, f"{field}={_spelled(setting)}")]
        elif value is True:
            found.append(flag)
        elif value is not None and value is not False:
            found += [flag, _spelled(value)]
    return found


def near(path: Path) -> str:
    """Relative to the current folder if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path)


def _spelled(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Path):
        return str(value)
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
