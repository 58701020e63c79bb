"""The runs of the designed stages, in their order: what a resume plans again, run for run."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import qmc

from embedding_core.config.train_config import TrainConfig
from embedding_core.seeding import stream
from sweeps.design.design import Cell, Factor, Range, Settings, Value
from sweeps.design.plan import FIRST_POINT_BLOCK, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a designed stage computes once; the engine gives it an id, and a label for where it is computed."""

    fixed: Settings
    """TrainConfig fields, but for those that are tuned."""
    nuisance: Settings | None
    """Those that are tuned; None: the tuner of its cell proposes them when its turn comes."""
    cell_id: str
    replicate: int
    """Counted from 1."""
    block: int
    """Seed index within the replicate, shared by its cells."""
    origin: str
    """Where the nuisance settings come from: `designed`, `sampled`, `drop-in`, `best of search` or `best of tune`."""
    point: int | None = None
    """Index of the settings within a tuning."""

    @property
    def study(self) -> tuple[int, str]:
        """Replicate and cell: runs of the stage tune that share these are tuned together."""
        return self.replicate, self.cell_id

    @property
    def seed(self) -> int:
        """Of its block."""
        return int(self.fixed["seed"])  # type: ignore[arg-type]

    def config(self, nuisance: Settings | None = None) -> TrainConfig:
        """What it computes.

        Args:
            nuisance: settings that were proposed, for a run that has none of its own.
        """
        own = self.nuisance if nuisance is None else nuisance
        assert own is not None, "a run whose settings nobody has proposed"
        return TrainConfig.from_flat({**self.fixed, **own})


def drawn_at(plan: Plan, point: Sequence[float], cell: Cell) -> Settings:
    """Nuisance settings of a cell at a point of the unit cube, one coordinate per nuisance in their order."""
    drawn: dict[str, Value] = {}
    for factor, u in zip(plan.nuisances, point, strict=True):
        if factor.is_drawn({**plan.base, **cell.settings, **drawn}):
            drawn[factor.name] = _at(factor, u)
    return drawn


def tune_runs(plan: Plan) -> list[Run]:
    """The tunings of all replicates, one after the other; in each point after point, cells in random order at each.

    A sweep that is interrupted has tuned its cells alike.
    """
    return [run for r in range(1, plan.replicates + 1) for run in _tuning(plan.of_replicate(r), r)]


def _tuning(plan: Plan, replicate: int) -> list[Run]:
    """Scrambled Sobol points, the same for every cell, and after them as many as are left for the cells' own tuners.

    Source: Owen 1998, by `scipy.stats.qmc`.
    """
    sobol = qmc.Sobol(len(plan.nuisances), rng=stream(plan.seed, "tune points") % 2**32)
    points = sobol.random_base2(max(0, plan.common_points - 1).bit_length())
    runs = []
    for i in range(plan.points):
        block = FIRST_POINT_BLOCK + i
        fixed = {**plan.tune_base, "seed": plan.block_seed(block)}
        common = i < plan.common_points
        runs += [
            Run(
                fixed={**fixed, **cell.settings},
                nuisance=drawn_at(plan, points[i], cell) if common else None,
                cell_id=cell.cell_id,
                replicate=replicate,
                block=block,
                origin="designed" if common else "sampled",
                point=i,
            )
            for cell in _shuffled(plan, plan.factorial.distinct, "tune", i)
        ]
    return runs


def confirm_runs(plan: Plan, nuisance: Sequence[Mapping[str, Settings]]) -> list[Run]:
    """Complete blocks of each replicate, one after the other, cells in random order within each.

    Args:
        plan: settled.
        nuisance: settings by cell id, of each replicate.
    """
    replicates = zip(range(1, plan.replicates + 1), nuisance, strict=True)
    return [run for r, settings in replicates for run in _confirmation(plan.of_replicate(r), r, settings)]


def confirm_base(plan: Plan, block: int) -> Settings:
    """TrainConfig fields common to all cells of a block of the confirmation."""
    # Views of one block are enough to look at, and UMAP takes longer than many a run.
    views = plan.base.get("views", "all") if block == 1 else "none"
    ends = {"seed": plan.block_seed(block), "eval_test": True, "stop_if_collapsed": False, "views": views}
    return {**plan.run_base, **ends}


def _confirmation(plan: Plan, replicate: int, nuisance: Mapping[str, Settings]) -> list[Run]:
    runs = []
    for block in range(1, plan.blocks + 1):
        base = confirm_base(plan, block)
        cells = [cell for cell in plan.cells if block <= plan.blocks_of(cell)]
        runs += [
            Run(
                fixed={**base, **cell.settings},
                nuisance=nuisance[cell.cell_id],
                cell_id=cell.cell_id,
                replicate=replicate,
                block=block,
                origin=plan.confirm,
            )
            for cell in _shuffled(plan, cells, "cell order", block)
        ]
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
