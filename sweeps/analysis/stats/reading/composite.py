"""The outcome of a run that failed before it could be measured: the worst that the measure tells. Pure."""

from typing import Final

from sweeps.analysis.numbers import is_number, number
from sweeps.results.columns import is_auc

CHANCE: Final = 0.5
"""AUC of embeddings that tell nothing apart."""

SHARES: Final = ("recall_at_1", "map_at_r", "accuracy")
"""Endings of the names of outcomes that lie between 0 and 1, whatever chance is."""


def composite_of(outcome: str) -> float | None:
    """Value of a failed run: chance for an AUC, 0 for a share; None where no value is the worst.

    Leaving such a run out would flatter its cell.
    """
    if is_auc(outcome):
        return CHANCE
    return 0.0 if outcome.endswith(SHARES) else None


def measured_or_composite(value: float | None, outcome: str) -> float:
    """The value where it is finite, else the composite.

    Raises:
        ValueError: no value, and an outcome without a composite.
    """
    if value is not None and is_number(value):
        return value
    composite = composite_of(outcome)
    if composite is None:
        raise ValueError(f"A run without `{outcome}` has no worst value to stand in for it.")
    return composite


def counted_as(outcome: str) -> str:
    """How failed runs enter, for a caption or a caveat: `counted as .5`; `counted as 0, the worst there is`."""
    composite = composite_of(outcome)
    if composite is None:
        return "left out"
    return f"counted as {number(composite, decimals=1)}" if composite else "counted as 0, the worst there is"
