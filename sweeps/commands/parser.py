"""What the commands share: help that opens with examples, exit codes, and faults told one to a line."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from embedding_core.errors import Faults, unknown
from embedding_core.streams import guarded
from sweeps.results.latest import followed

PROGRAM: Final = "koleo-sweeps"

BAD_INPUT: Final = 2
"""Exit code of a command that was asked for what cannot be; there is one line per fault on standard error."""


class CommandParser(argparse.ArgumentParser):
    """The arguments of one command, and the way it ends."""

    def __init__(self, command: str, does: str, *, examples: Mapping[str, str], exit_codes: Mapping[int, str]) -> None:
        """Without arguments yet.

        Args:
            command: its name.
            does: what it does, in lines.
            examples: arguments -> what that does; help starts with them.
            exit_codes: what each means, BAD_INPUT aside.
        """
        codes = {
            **exit_codes,
            BAD_INPUT: "what was asked for cannot be, or cannot be written: one line per fault on standard error",
        }
        super().__init__(
            prog=f"{PROGRAM} {command}",
            description=does,
            epilog="exit codes:\n" + columns({str(code): meaning for code, meaning in codes.items()}),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.examples = {f"{self.prog} {arguments}": what for arguments, what in examples.items()}

    def format_help(self) -> str:
        """Examples, then what argparse prints."""
        return f"examples:\n{columns(self.examples)}\n\n{super().format_help()}"

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print below its usage before it ended the process."""
        raise Faults([f"{message[:1].upper()}{message[1:]} (`{self.prog} --help` has examples)."])

    def run(self, work: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
        """The exit code of `work` on the arguments; BAD_INPUT where they or what they name are at fault.

        Args:
            work: the command.
            argv: its arguments; None: those of the process.
        """
        with guarded():
            try:
                arguments, rest = self.parse_known_args(argv)
                if rest:
                    raise Faults([self._not_taken(text) for text in rest])
                return work(arguments)
            except Faults as error:
                print(error, file=sys.stderr)
            except OSError as error:  # a disk that is full when a report is written, say
                print(f"{type(error).__name__}: {error}.", file=sys.stderr)
            return BAD_INPUT

    def _not_taken(self, text: str) -> str:
        if not text.startswith("-"):
            return f"Unexpected argument `{text}`."
        known = ["--help", *re.findall(r"--[a-z][a-z-]*", self.format_usage())]
        return unknown("flag", text.partition("=")[0], known)


def sweep_folder(text: str) -> Path:
    """Type of an argument that names the folder of a sweep: what `results/latest` leads to now."""
    return followed(Path(text))


def columns(lines: Mapping[str, str]) -> str:
    """Two columns, indented as argparse indents."""
    width = max(map(len, lines))
    return "\n".join(f"  {left:<{width}}   {right}" for left, right in lines.items())
