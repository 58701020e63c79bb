"""The console script: `koleo-sweeps COMMAND ...`; a command is loaded when it is called."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from embedding_core.errors import unknown
from embedding_core.streams import guarded
from sweeps.commands.parser import BAD_INPUT, PROGRAM, columns

COMMANDS: Final = {
    "report": "write the report of a sweep, or of any Optuna study",
    "compare": "lay two sweeps side by side: do the answers agree?",
    "verdict": "do scores of anybody's experiments differ, and enough to matter?",
    "export": "the tables of a sweep as CSV, or its curves for TensorBoard",
    "status": "what runs, what ended how, the time left and the cost of a sweep",
    "doctor": "is this machine, or an AWS account, ready for a sweep?",
    "replay": "train one trial again, without Ray: does it give the stored rows?",
}
"""Modules of this package, each with a `main(argv)` that returns an exit code, and what they do."""

EXAMPLES: Final = {
    f"{PROGRAM} report results/NAME": "the report of a sweep",
    f"{PROGRAM} report --help": "examples, arguments and exit codes of a command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command that the arguments name; without one, list the commands."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    with guarded():
        if name in ("-h", "--help"):
            print(f"examples:\n{columns(EXAMPLES)}\n\ncommands:\n{columns(COMMANDS)}")
            return 0
        if name not in COMMANDS:
            print(unknown("command", name, COMMANDS), file=sys.stderr)
            return BAD_INPUT
        code: int = import_module(f"sweeps.commands.{name}").main(rest)
        return code


if __name__ == "__main__":
    sys.exit(main())
