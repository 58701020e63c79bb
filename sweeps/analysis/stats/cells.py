"""The cells of a sweep: the levels in their names, means and relative cost (E8) of the confirm stage. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COSTS: Final = ("wall_s", "gpu_s", "images_seen")

Outcomes = Mapping[tuple[str, int], float]
"""(cell_id, block) -> outcome"""


@dataclass(frozen=True, slots=True)
class CellMean:
    """Outcome of one cell over its blocks; cells share blocks, so differences are told by contrasts, not from here."""

    cell_id: str
    n: int
    mean: float
    deviation: float
    """Standard deviation over blocks; NaN for one block."""


@dataclass(frozen=True, slots=True)
class CostRatio:
    """Cost of a cell over that of the reference, as geometric means over the blocks that completed in both."""

    cell_id: str
    n: int
    ratios: Mapping[str, float | None]
    """Each of `COSTS`; None where one of the two spent nothing."""


def levels_of(cell_id: str) -> dict[str, str]:
    """Factor levels named by a cell_id: `koleo=on,accum_steps=4` -> {"koleo": "on", "accum_steps": "4"}."""
    pairs = [part.partition("=") for part in cell_id.split(",")]
    return {factor.strip(): level.strip() for factor, equals, level in pairs if equals}


def cell_means(outcomes: Outcomes) -> list[CellMean]:
    """Mean of every cell, in order of cell."""
    means = []
    for cell in sorted({cell for cell, _ in outcomes}):
        values = np.array([value for (other, _), value in outcomes.items() if other == cell])
        deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
        means.append(CellMean(cell, values.size, float(values.mean()), deviation))
    return means


def cost_ratios(trials: pa.Table, *, reference: str) -> list[CostRatio]:
    """Costs of every other confirm cell relative to `reference`, in order of cell; empty without that cell."""
    mask = pc.and_(pc.equal(trials["stage"], "confirm"), pc.equal(trials["end_reason"], "completed"))
    rows = trials.filter(mask).select(["cell_id", "block", *COSTS]).to_pylist()
    spent = {(row["cell_id"], row["block"]): row for row in rows}
    found = []
    for cell in sorted({cell for cell, _ in spent} - {reference}):
        pairs = [(spent[cell, b], spent[reference, b]) for c, b in spent if c == cell and (reference, b) in spent]
        if pairs:
            found.append(CostRatio(cell, len(pairs), {name: _ratio(pairs, name) for name in COSTS}))
    return found


def _ratio(pairs: list[tuple[dict[str, Any], dict[str, Any]]], name: str) -> float | None:
    if not all(own[name] and other[name] for own, other in pairs):
        return None
    return math.exp(math.fsum(math.log(own[name] / other[name]) for own, other in pairs) / len(pairs))
