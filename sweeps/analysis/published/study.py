"""What an earlier study published, as data: figures, settings, and which of our runs stand beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.numbers import is_number, mean_text
from sweeps.analysis.stats.description.curves import STAGE, Run

Settings = Mapping[str, tuple[Any, ...]]
"""TrainConfig field -> the values that a study had, the usual one first."""


@dataclass(frozen=True, slots=True)
class Ours:
    """Runs of ours in one place of a table, and the tables of what was measured on them."""

    runs: Sequence[Run]
    evaluations: pa.Table
    views: pa.Table

    def values(self, table: pa.Table, **wanted: Any) -> dict[str, float]:
        """trial_id -> mean `value` of its rows of the table that have what is wanted in other columns."""
        mask = pc.is_in(table["trial_id"], pa.array([run.trial["trial_id"] for run in self.runs], pa.string()))
        for column, value in {"stage": STAGE, **wanted}.items():
            mask = pc.and_(mask, pc.equal(table[column], value))
        means = table.select(["trial_id", "value"]).filter(mask).group_by("trial_id").aggregate([("value", "mean")])
        return {row["trial_id"]: row["value_mean"] for row in means.to_pylist() if is_number(row["value_mean"])}


Measure = Callable[[Ours], str]
"""What a table says of our runs."""


def of_trials(column: str) -> Measure:
    """Mean of a column of `trials`."""
    return lambda ours: mean_text(run.trial[column] for run in ours.runs)


def at_the_end(column: str) -> Measure:
    """Mean of a column of `curves` at the last epoch of each run."""
    return lambda ours: mean_text(run.epochs[-1][column] for run in ours.runs if run.epochs)


def none(ours: Ours) -> str:
    """Nothing, where only the study has a figure."""
    return ""


def count(ours: Ours) -> str:
    """Number of runs."""
    return str(len(ours.runs))


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyArm:
    """One of the things that the study trained."""

    name: str
    published: Mapping[str, str]
    """Measure -> what was published."""

    ours: Settings | None = None
    """Settings of our runs that stand beside it; None: no run does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """One table, of the arms of which one of its measures was published; ours stand where an arm has nothing."""

    title: str = ""
    measures: Mapping[str, Measure]
    """Name -> how it is told of our runs."""

    layout: Literal["arms down", "arms and our cells down", "arms across", "arms across, ours beside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One earlier study; `beside.beside` lays ours next to it."""

    name: str
    evaluation: str
    """How its figures were measured, and how ours are."""

    settings: Settings
    """How it trained; what our runs have otherwise is told."""

    runs: Settings
    """Settings of the runs that can be compared; others are left aside."""

    alone: bool = False
    """Whether a sweep that has other runs too is not compared."""

    nearest: tuple[str, float] | None = None
    """Where several cells fit an arm, the one nearest to this value of a setting stands beside it, and is named."""

    arms: tuple[StudyArm, ...]
    tables: tuple[StudyTable, ...]
