"""What the adaptive search would have made one conclude, and why that is no estimate. Descriptive only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from embedding_core.storage.result_tables import Row
from sweeps.analysis.document import Section, Table
from sweeps.analysis.numbers import number, or_absent
from sweeps.analysis.stats.description.descriptive import mean_of_known, rows_of, selected_by
from sweeps.analysis.wording import cell_name
from sweeps.results.columns import named

HEADING: Final = "What the search alone would have suggested"

Confirmed = tuple[str, float, float]
"""Sentence of a primary, and the ends of its simultaneous 95 % interval."""

MISREADINGS: Final = ("mean of all last values", "mean of completed trials", "best trial")
"""Ways a search's rows get read as a comparison."""

WHY_NOT: Final = (
    "None of these is an estimate of an effect, so none has an interval or a p-value. The sampler decided how often "
    "and at which settings each arm was tried; ASHA stopped the trials that started slowly and left the survivors; the "
    "best of more trials is higher whatever the arm; and the trials of two arms share neither settings nor number."
)


@dataclass(frozen=True, slots=True)
class ArmRows:
    """One arm of the search, or one level of a factor over all arms; final values of what it was tuned by."""

    name: str
    trials: int
    completed: int
    values: tuple[float | None, float | None, float | None]
    """By MISREADINGS; None without a trial of that kind."""


def arms_of(trials: pa.Table, column: str = "cell_id") -> list[ArmRows]:
    """Levels of `column` among the trials of the search, ascending; empty without search trials."""
    measure = selected_by(trials)
    rows = rows_of(trials, "search", (column, "end_reason", measure))
    found = []
    for level in sorted({row[column] for row in rows}):
        own = [row for row in rows if row[column] == level]
        last = [row[measure] for row in own if row[measure] is not None]
        done = [row[measure] for row in own if _completed(row) and row[measure] is not None]
        values = (mean_of_known(last), mean_of_known(done), max(done, default=None))
        name = str(level) if column == "cell_id" else f"{column}={level}"
        found.append(ArmRows(name, len(own), sum(_completed(row) for row in own), values))
    return found


def section(trials: pa.Table, confirmed: Confirmed | None, accumulation: Confirmed | None = None) -> Section:
    """The search's rows read naively, beside what paired runs confirmed; empty without two arms.

    Args:
        trials: the table `trials` with `stage`.
        confirmed: the first planned contrast; None where none is estimated.
        accumulation: the contrast of the number of accumulation steps, likewise.
    """
    arms = arms_of(trials)
    if len(arms) < 2:
        return Section(HEADING)
    steps = arms_of(trials, "accum_steps")
    lines = [*_read_naively(arms), *_read_naively(steps), WHY_NOT, _beside(confirmed, arms)]
    if len(steps) > 1 and accumulation is not None:
        lines.append(_beside(accumulation, []))
    measure = named(selected_by(trials))
    tables = [_table(arms, measure), *([_table(steps, measure)] if len(steps) > 1 else [])]
    return Section(HEADING, lines, tables=tables)


def _table(arms: Sequence[ArmRows], measure: str) -> Table:
    rows = [
        ["trials", *(str(arm.trials) for arm in arms)],
        ["completed", *(str(arm.completed) for arm in arms)],
        *([name, *(or_absent(arm.values[i]) for arm in arms)] for i, name in enumerate(MISREADINGS)),
    ]
    return Table([measure, *(arm.name for arm in arms)], rows)


def _differences(control: ArmRows, arm: ArmRows) -> list[tuple[str, float]]:
    """(reading, arm - control) of the readings that both have."""
    pairs = zip(MISREADINGS, control.values, arm.values, strict=True)
    return [(name, b - a) for name, a, b in pairs if a is not None and b is not None]


def _read_naively(arms: Sequence[ArmRows]) -> list[str]:
    """Every arm against the first."""
    lines = []

    def said(arm: ArmRows) -> str:
        return cell_name(arm.name)

    for arm in arms[1:]:
        differences = _differences(arms[0], arm)
        if not differences:
            lines.append(f"{said(arm)} and {said(arms[0])} have no reading in common.")
            continue
        read = ", ".join(f"{number(value, signed=True)} by the {name}" for name, value in differences)
        signs = {np.sign(value) for _, value in differences}
        torn = " The readings disagree even in sign." if {-1.0, 1.0} <= signs else ""
        lines.append(f"Read naively, {said(arm)} differs from {said(arms[0])} by {read}.{torn}")
    return lines


def _beside(confirmed: Confirmed | None, arms: Sequence[ArmRows]) -> str:
    """The confirmed sentence, and which readings of two arms lie outside its interval."""
    if confirmed is None:
        return "No paired runs have confirmed an effect yet, so there is nothing to hold against it."
    sentence, low, high = confirmed
    differences = _differences(*arms) if len(arms) == 2 else []
    outside = [name for name, value in differences if not low <= value <= high]
    lies = "lies" if len(outside) == 1 else "lie"
    other = f" Outside that interval {lies} the {' and the '.join(outside)} of the search." if outside else ""
    return f"Paired runs, on the test split: {sentence}{other}"


def _completed(row: Row) -> bool:
    return bool(row["end_reason"] == "completed")
