"""The parts a report is made of, before any markup: text, tables and figures in reading order."""

import re
from collections.abc import Callable, Sequence
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
    """A figure, the stem of its file and how to read it."""

    name: str
    figure: Figure | Callable[[], Figure]
    """Drawn, or what draws it: only a report that is written needs it."""

    reading: str
    moving: Row | None = None
    """What the page's script makes it move by; without the script the figure stands."""

    def drawn(self) -> Figure:
        """The figure, which a report draws when it is written."""
        return self.figure if isinstance(self.figure, Figure) else self.figure()


@dataclass(frozen=True, slots=True)
class TrialTable:
    """Trials to sort and to filter; a page alone has it, for its thousands of rows."""

    header: list[str]
    rows: list[list[str]]
    """By trial, in columns of `header`."""

    filters: list[str]
    """Columns of few values, by which rows are chosen."""

    names: list[str]
    """Settings that differ between trials."""

    settings: list[list[str]]
    """By trial their values."""

    curves: list[list[float | None]]
    """By trial the measure that settings are chosen by, at each mark of its curve."""

    commands: list[str]
    """By trial the command that trains it again."""

    measure: str
    """What `curves` hold, in words."""


@dataclass(frozen=True, slots=True)
class Section:
    """Text, then commands, then tables, then pictures, then trials."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    commands: list[tuple[str, str]] = field(default_factory=list)
    """(what it runs, command line)"""

    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    trials: TrialTable | None = None

    part: str = ""
    """The part of the report that it belongs to."""

    @property
    def slug(self) -> str:
        """Its address in the page."""
        return "s-" + re.sub(r"[^a-z0-9]+", "-", self.heading.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """What a reader sees before anything else; all else is folded."""

    answer: list[str]
    """Sentences, the first of which is the title of the page."""

    table: Table | None = None
    note: str = ""
    """How to read the table."""

    picture: Picture | None = None
    caveats: list[str] = field(default_factory=list)
    """At most three."""

    ran: str = ""
    """What was run, and what it cost."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    study: str
    question: str
    verdicts: list[str]
    sections: list[Section]
    contrasts: Sequence[Row] = ()
    """Rows of the table of that name, which goes with the report of a sweep."""

    first: FirstScreen | None = None
    """None: the verdicts stand there, and nothing is folded."""

    @property
    def pictures(self) -> list[Picture]:
        """All figures in the order of the page."""
        first = [self.first.picture] if self.first is not None and self.first.picture is not None else []
        return first + [picture for section in self.sections for picture in section.pictures]

    @property
    def parts(self) -> dict[str, list[Section]]:
        """Sections by part, in the order of the page."""
        found: dict[str, list[Section]] = {}
        for section in self.sections:
            found.setdefault(section.part, []).append(section)
        return found


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
