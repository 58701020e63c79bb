"""The parts a report is made of, before any markup: text, tables and figures in reading order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from embedding_core.storage.result_tables import Row


@dataclass(frozen=True, slots=True)
class Table:
    """Texts; the first column names the row, the first header cell the table."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure, the stem of its file and how to read it."""

    name: str
    figure: Figure
    reading: str


@dataclass(frozen=True, slots=True)
class Section:
    """Text, then commands, then tables, then pictures."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)
    """(what it runs, command line)"""

    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    study: str
    question: str
    verdicts: list[str]
    sections: list[Section]
    contrasts: Sequence[Row] = ()
    """Rows of the table of that name, which goes with the report of a sweep."""


def compact(title: str, names: list[str], columns: dict[str, list[str]]) -> list[Table]:
    """`transposed`, or the other way round where that has fewer columns; for many cells with few numbers each."""
    if len(columns) <= max(3, len(names)):
        return transposed(title, names, columns)
    return [Table([title, *names], [[key, *column] for key, column in columns.items()])]


def transposed(title: str, names: list[str], columns: dict[str, list[str]]) -> list[Table]:
    """One table with rows named by `names` and one column per key; none without columns."""
    if not columns:
        return []
    rows = [[name, *(column[i] for column in columns.values())] for i, name in enumerate(names)]
    return [Table([title, *columns], rows)]
