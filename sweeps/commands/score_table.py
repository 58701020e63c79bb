"""A table of scores as it was read from a file: columns of numbers and of what pairs runs, or what is wrong."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from embedding_core.errors import Faults, unknown

NAMED: Final = 5
"""Rows that a fault names at most."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The cells of a file; None where one is empty."""

    name: str
    columns: dict[str, list[Any]]
    """By name; empty names are those of an index that nobody named."""

    places: list[str]
    """Where each row stands: `line 3`, `row 3`."""

    def numbers(self, column: str) -> list[float]:
        """A column of scores, in the order of the rows.

        Raises:
            Faults: no such column; cells that are no finite numbers, with their rows.
        """
        cells = self._cells(column)
        scores = [number_of(cell) for cell in cells]
        kinds: dict[str, Callable[[Any, float | None], bool]] = {
            "is empty": lambda cell, _: cell is None,
            "is no number": lambda cell, score: cell is not None and score is None,
            "is not finite": lambda _, score: score is not None and not math.isfinite(score),
        }
        faults = []
        for what, holds in kinds.items():
            bad = [i for i, (cell, score) in enumerate(zip(cells, scores, strict=True)) if holds(cell, score)]
            if bad:
                texts = [self.places[i] + ("" if cells[i] is None else f" ({cells[i]!r})") for i in bad]
                faults.append(
                    f"`{self.name}`: every `{column}` must be a finite number, but it {what} in {few(texts)}."
                )
        if faults:
            raise Faults(faults)
        return [score for score in scores if score is not None]

    def keys(self, column: str) -> list[int | str]:
        """A column that pairs runs; a whole number is the same as a number and as text.

        Raises:
            Faults: no such column; cells that are empty, or values that are there twice, with their rows.
        """
        keys = [key_of(cell) for cell in self._cells(column)]
        rows: dict[int | str | None, list[str]] = {}
        for place, key in zip(self.places, keys, strict=True):
            rows.setdefault(key, []).append(place)
        faults = []
        empty = rows.pop(None, [])
        if empty:
            faults.append(f"`{self.name}`: every row needs a `{column}`, but it is empty in {few(empty)}.")
        twice = [f"{key} ({few(places)})" for key, places in rows.items() if len(places) > 1]
        if twice:
            faults.append(f"`{self.name}`: each `{column}` must be there once, but some are repeated: {few(twice)}.")
        if faults:
            raise Faults(faults)
        return [key for key in keys if key is not None]

    def of_numbers(self) -> list[str]:
        """Named columns in which most of the cells that are not empty are numbers."""
        found = []
        for name, cells in self.columns.items():
            there = [cell for cell in cells if cell is not None]
            numbers = sum(number_of(cell) is not None for cell in there)
            if name and 2 * numbers > len(there):
                found.append(name)
        return found

    def _cells(self, column: str) -> list[Any]:
        if column not in self.columns:
            raise Faults([f"`{self.name}`: {unknown('column', column, filter(None, self.columns))}"])
        return self.columns[column]


def few(texts: Sequence[str]) -> str:
    """The first few, joined by commas."""
    return ", ".join([*texts[:NAMED], *(["..."] if len(texts) > NAMED else [])])


def repeated(names: Iterable[str]) -> list[str]:
    """Names that are there more than once, each of them once."""
    return [name for name, count in Counter(names).items() if count > 1]


def number_of(cell: Any) -> float | None:
    """The cell as a number, which may be nan or infinite; None of what is none."""
    if cell is None or isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
    except OverflowError:  # a whole number beyond every float
        return math.inf


def key_of(cell: Any) -> int | str | None:
    """The cell as what pairs runs; None if it is empty."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    text = str(cell)
    try:
        return int(text)
    except ValueError:
        value = number_of(cell)
        return int(value) if value is not None and value.is_integer() else text
