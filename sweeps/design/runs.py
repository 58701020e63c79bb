"""The runs of the designed stages, in their order: what a resume plans again, run for run."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import qmc

from embedding_core.config.train_config import TrainConfig
from embedding_core.seeding import stream
from sweeps.design.design import Cell, Factor, Range, Settings, Value
from sweeps.design.plan import SEARCH_BLOCK, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a designed stage computes once; the engine gives it an id, and a label for where it is computed."""

    config: TrainConfig
    cell_id: str
    block: int
    """Seed index shared by all cells."""
    origin: str
    """Where the nuisance settings come from: `designed`, `drop-in`, `best of search` or `best of tune`."""
    point: int | None = None
    """Index of the settings in the stage tune, shared by its cells."""


def settings_at(plan: Plan, point: Sequence[float], cell: Cell) -> Settings:
    """Nuisance settings of a cell at a point of the unit cube, one coordinate per nuisance in their order."""
    drawn: dict[str, Value] = {}
    for factor, u in zip(plan.nuisances, point, strict=True):
        if factor.when is None or {**plan.base, **cell.settings, **drawn}.get(factor.when[0]) in factor.when[1]:
            drawn[factor.name] = _at(factor, u)
    return drawn


def tune_runs(plan: Plan) -> list[Run]:
    """Scrambled Sobol points, the same for every cell; point after point, cells in random order at each.

    A sweep that is interrupted has tuned its cells alike. Source: Owen 1998, by `scipy.stats.qmc`.
    """
    sobol = qmc.Sobol(len(plan.nuisances), rng=stream(plan.seed, "tune points") % 2**32)
    points = sobol.random_base2((plan.points - 1).bit_length())
    ordered = [(i, cell) for i in range(plan.points) for cell in _shuffled(plan, plan.factorial.distinct, "tune", i)]
    runs = []
    for i, cell in ordered:
        config = TrainConfig.from_flat({**plan.tune_base, **settings_at(plan, points[i], cell), **cell.settings})
        runs.append(Run(config=config, cell_id=cell.cell_id, block=SEARCH_BLOCK, origin="designed", point=i))
    return runs


def confirm_config(plan: Plan, cell: Cell, block: int, nuisance: Settings) -> TrainConfig:
    """Configuration of one confirmation run."""
    # Views of one block are enough to look at, and UMAP takes longer than many a run.
    views = plan.base.get("views", "all") if block == 1 else "none"
    given = {**plan.base, **nuisance, **cell.settings}
    return TrainConfig.from_flat(
        {**given, "seed": plan.block_seed(block), "eval_test": True, "stop_if_collapsed": False, "views": views}
    )


def confirm_runs(plan: Plan, nuisance: Mapping[str, Settings]) -> list[Run]:
    """Complete blocks, one after the other, cells in random order within each. `nuisance`: settings by cell id."""
    runs = []
    for block in range(1, plan.blocks + 1):
        cells = [cell for cell in plan.cells if block <= plan.blocks_of(cell)]
        for cell in _shuffled(plan, cells, "cell order", block):
            config = confirm_config(plan, cell, block, nuisance[cell.cell_id])
            origin = "drop-in" if cell.role == "drop-in" else plan.confirm
            runs.append(Run(config=config, cell_id=cell.cell_id, block=block, origin=origin))
    return runs


def _shuffled(plan: Plan, cells: Sequence[Cell], *role: str | int) -> list[Cell]:
    shuffled = list(cells)
    random.Random(stream(plan.seed, *role)).shuffle(shuffled)
    return shuffled


def _at(factor: Factor, u: float) -> Value:
    """The value of a factor at u in [0, 1]."""
    domain = factor.domain
    if not isinstance(domain, Range):
        return domain.values[min(int(u * len(domain.values)), len(domain.values) - 1)]
    if domain.log:
        return float(domain.low * (domain.high / domain.low) ** u)
    return float(domain.low + (domain.high - domain.low) * u)
