"""What the adaptive search would have made one conclude, and why that is no estimate. Descriptive only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from sweeps.analysis.descriptive import rows_of
from sweeps.analysis.page import Section, Table
from sweeps.analysis.wording import number

HEADING: Final = "What the search alone would have suggested"

ABSENT: Final = "–"

READINGS: Final = ("mean of all last values", "mean of completed trials", "best trial")
"""Ways a search's rows get read as a comparison."""

WHY_NOT: Final = (
    "None of these is an estimate of an effect, so none has an interval or a p-value. The sampler decided how often "
    "and at which settings each arm was tried; ASHA stopped the trials that started slowly and left the survivors; the "
    "best of more trials is higher whatever the arm; and the trials of two arms share neither settings nor number."
)


@dataclass(frozen=True, slots=True)
class ArmRows:
    """One arm of the search, final validation AUC."""

    cell: str
    trials: int
    completed: int
    values: tuple[float | None, float | None, float | None]
    """By READINGS; None without a trial of that kind."""


def arms_of(trials: pa.Table) -> list[ArmRows]:
    """Arms of the search by name; empty without search trials."""
    rows = rows_of(trials, "search", ("cell_id", "end_reason", "final_val_auc"))
    found = []
    for cell in sorted({row["cell_id"] for row in rows}):
        own = [row for row in rows if row["cell_id"] == cell]
        last = [row["final_val_auc"] for row in own if row["final_val_auc"] is not None]
        done = [row["final_val_auc"] for row in own if _completed(row) and row["final_val_auc"] is not None]
        values = (_mean(last), _mean(done), max(done, default=None))
        found.append(ArmRows(cell, len(own), sum(_completed(row) for row in own), values))
    return found


def section(trials: pa.Table, confirmed: tuple[str, float] | None) -> Section:
    """The search's rows read naively, beside what paired runs confirmed; empty without two arms.

    Args:
        trials: the table `trials` with `stage`.
        confirmed: sentence and estimate of the first planned contrast; None where none is estimated.
    """
    arms = arms_of(trials)
    if len(arms) < 2:
        return Section(HEADING)
    table = Table(
        ["validation AUC", *(arm.cell for arm in arms)],
        [
            ["trials", *(str(arm.trials) for arm in arms)],
            ["completed", *(str(arm.completed) for arm in arms)],
            *([name, *(_text(arm.values[i]) for arm in arms)] for i, name in enumerate(READINGS)),
        ],
    )
    differences = [_differences(arms[0], arm) for arm in arms[1:]]
    lines = [_read_naively(arms[0], arm, given) for arm, given in zip(arms[1:], differences, strict=True)]
    lines.append(WHY_NOT)
    lines.append(_beside(confirmed, differences[0] if len(arms) == 2 else []))
    return Section(HEADING, [line for line in lines if line], tables=[table])


def _differences(control: ArmRows, arm: ArmRows) -> list[tuple[str, float]]:
    """(reading, arm - control) of the readings that both have."""
    pairs = zip(READINGS, control.values, arm.values, strict=True)
    return [(name, b - a) for name, a, b in pairs if a is not None and b is not None]


def _read_naively(control: ArmRows, arm: ArmRows, differences: Sequence[tuple[str, float]]) -> str:
    if not differences:
        return f"{arm.cell} and {control.cell} have no reading in common."
    read = ", ".join(f"{number(value, signed=True)} by the {name}" for name, value in differences)
    signs = {np.sign(value) for _, value in differences}
    torn = " The readings disagree even in sign." if {-1.0, 1.0} <= signs else ""
    return f"Read naively, {arm.cell} differs from {control.cell} by {read}.{torn}"


def _beside(confirmed: tuple[str, float] | None, differences: Sequence[tuple[str, float]]) -> str:
    if confirmed is None:
        return "No paired runs have confirmed an effect yet, so there is nothing to hold against it."
    sentence, estimate = confirmed
    opposite = [name for name, value in differences if value * estimate < 0]
    other = f" The {' and the '.join(opposite)} point the other way." if opposite else ""
    return f"Paired runs, on the test split: {sentence}{other}"


def _completed(row: dict[str, object]) -> bool:
    return row["end_reason"] == "completed"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _text(value: float | None) -> str:
    return ABSENT if value is None else number(value)
