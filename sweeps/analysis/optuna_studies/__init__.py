"""The descriptive report of any Optuna study."""

from typing import Final

PREFIX: Final = "optuna:"
"""Begins the name of a study, where a folder of a sweep could stand; Optuna itself takes seconds to load."""
