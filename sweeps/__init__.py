"""Sweeps: a script per question, and what designs, runs, stores and analyses it.

`design` turns factors into a plan and its runs; `engine` runs them on Ray; `cli` is the command line of every script;
`results` is the schema and the store; `analysis` goes from tables to effects, figures and reports; `commands` is what
the console script `koleo-sweeps` offers.

`run` is a sweep from Python; it and what it needs are loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sweeps.analysis.sweep_result import SweepResult
    from sweeps.cli.from_python import run

__all__ = ["SweepResult", "run"]

_HOMES: Final = {"SweepResult": "analysis.sweep_result", "run": "cli.from_python"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
