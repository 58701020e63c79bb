"""The cells of the confirm stage beside one another: means, analysis of variance, cost (E8). Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.stats.checks import is_number, levels_of
from sweeps.analysis.stats.contrasts import CellBlocks

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
class Source:
    """One line of an analysis of variance."""

    name: str
    df: int
    mean_square: float
    f: float | None
    """None for the residual."""

    p_value: float | None


@dataclass(frozen=True, slots=True)
class CostRatio:
    """Cost of a cell over that of the reference, as geometric means over the blocks that completed in both."""

    cell_id: str
    n: int
    ratios: Mapping[str, float | None]
    """Each of `COSTS`; None where one of the two spent nothing."""


def confirmed(trials: pa.Table, *, outcome: str = "test_auc") -> dict[tuple[str, int], float]:
    """Outcomes of all confirm runs that have one."""
    rows = trials.filter(pc.equal(trials["stage"], "confirm")).select(["cell_id", "block", outcome]).to_pylist()
    return {(row["cell_id"], row["block"]): row[outcome] for row in rows if is_number(row[outcome])}


def outcomes_of(found: Iterable[CellBlocks]) -> dict[tuple[str, int], float]:
    """Outcomes of all cells of these contrasts, which must be of one outcome."""
    return {
        (cell, block): float(blocks.outcomes[i, j])
        for blocks in found
        for i, cell in enumerate(blocks.cells)
        for j, block in enumerate(blocks.blocks)
    }


def cell_means(outcomes: Outcomes) -> list[CellMean]:
    """Mean of every cell, in order of cell."""
    means = []
    for cell in sorted({cell for cell, _ in outcomes}):
        values = np.array([value for (other, _), value in outcomes.items() if other == cell])
        deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
        means.append(CellMean(cell, values.size, float(values.mean()), deviation))
    return means


def anova(outcomes: Outcomes) -> list[Source]:
    """Blocks x cells, without replication, over the blocks that all cells have; cells split by factor if fully crossed.

    Exploratory: F assumes normal errors of one size. Empty for fewer than three cells (two are the paired test), fewer
    than two such blocks, or outcomes that leave no residual.
    """
    from statsmodels.formula.api import ols  # a second to import, and few calls need it
    from statsmodels.stats.anova import anova_lm

    cells = sorted({cell for cell, _ in outcomes})
    blocks = sorted({block for _, block in outcomes if all((cell, block) in outcomes for cell in cells)})
    if len(cells) < 3 or len(blocks) < 2:
        return []
    keys = [(cell, block) for cell in cells for block in blocks]
    factors = _crossed(cells)
    terms = {name: [levels_of(cell)[name] for cell, _ in keys] for name in factors} or {"cell": [c for c, _ in keys]}
    values = np.array([outcomes[key] for key in keys])
    data = pa.table({"outcome": values, "block": [str(block) for _, block in keys], **terms}).to_pandas()
    fit = ols("outcome ~ C(block) + " + " * ".join(f"C({name})" for name in terms), data).fit()
    if fit.mse_resid <= np.finfo(float).eps * np.square(values).mean():
        return []
    return [
        Source(
            name=name.replace("C(", "").replace(")", "").replace(":", " x "),
            df=int(row["df"]),
            mean_square=float(row["mean_sq"]),
            f=None if math.isnan(row["F"]) else float(row["F"]),
            p_value=None if math.isnan(row["PR(>F)"]) else float(row["PR(>F)"]),
        )
        for name, row in anova_lm(fit, typ=1).iterrows()
    ]


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


def _crossed(cells: list[str]) -> list[str]:
    """Factors with several levels, if the cells are exactly all combinations of at least two of them."""
    levels = [levels_of(cell) for cell in cells]
    names = sorted({name for own in levels for name in own})
    if any(set(own) != set(names) for own in levels):
        return []
    counts = {name: len({own[name] for own in levels}) for name in names}
    varied = [name for name in names if counts[name] > 1]
    return varied if len(varied) > 1 and math.prod(counts.values()) == len(cells) else []


def _ratio(pairs: list[tuple[dict[str, Any], dict[str, Any]]], name: str) -> float | None:
    if not all(own[name] and other[name] for own, other in pairs):
        return None
    return math.exp(math.fsum(math.log(own[name] / other[name]) for own, other in pairs) / len(pairs))
