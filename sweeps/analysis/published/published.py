"""What the comparisons with published figures share: settings that differ, and means as text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from sweeps.analysis.stats.checks import is_number
from sweeps.analysis.wording import number

ABSENT: Final = "–"

Row = dict[str, Any]

Settings = Mapping[str, tuple[Any, ...]]
"""TrainConfig field -> the values that a study had, the usual one first."""


def differs(rows: Sequence[Row], settings: Settings) -> str:
    """A sentence on the settings of these runs that are not the study's.

    Args:
        rows: of `trials`, with every setting.
        settings: the study's.
    """
    found = []
    for name, theirs in settings.items():
        ours = {row[name] for row in rows}
        if not ours <= set(theirs):
            named = sorted(ours - {None}, key=str) or [None]
            found.append(f"{name} {', '.join(map(_plain, named))} (study: {_plain(theirs[0])})")
    return f"Settings that differ from the study's: {'; '.join(found)}." if found else "Settings are the study's."


def mean(values: Iterable[float | None]) -> str:
    """Mean of those that are there, with four digits."""
    known = [value for value in values if value is not None and is_number(value)]
    return four(float(np.mean(known))) if known else ABSENT


def four(value: float) -> str:
    """A number with four digits after the point."""
    return number(value, decimals=4)


def _plain(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
