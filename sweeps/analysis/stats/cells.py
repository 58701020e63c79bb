"""The cells of a sweep: the levels in their names, and their relative cost in the confirm stage (E8). Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row

COSTS: Final = ("wall_s", "gpu_s", "images_seen")


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


def _ratio(pairs: list[tuple[Row, Row]], name: str) -> float | None:
    if not all(own[name] and other[name] for own, other in pairs):
        return None
    return math.exp(math.fsum(math.log(own[name] / other[name]) for own, other in pairs) / len(pairs))
