"""Everything impossible about a plan, told before its first trial."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from sweeps.design import Range
from sweeps.design.corners import corners
from sweeps.design.design import Settings, Value
from sweeps.design.plan import BLOCKS_PER_SEED, FIRST_POINT_BLOCK, Plan
from sweeps.design.runs import confirm_base, drawn_at

MOST_PRIMARIES = 4
"""Each further one widens the interval of all."""


def reachable(plan: Plan) -> list[Settings]:
    """Settings of everything that the sweep could run: the corners of its search and its cells."""
    found: list[Settings] = []
    if "search" in plan.stages:
        found += searched(plan)
    if "tune" in plan.stages:
        found += [settings for corners in tuned(plan).values() for settings in corners]
    if "confirm" in plan.stages:
        first_block = confirm_base(plan, 1)
        found += [{**first_block, **cell.drop_in, **cell.settings} for cell in plan.cells]
    return found


def searched(plan: Plan) -> list[Settings]:
    """Settings of the corners of a search, and of the trials that it begins with."""
    return [{**plan.search_base, **drawn} for drawn in (*plan.design.corners(), *plan.preset.first_trials)]


def tuned(plan: Plan) -> dict[str, list[Settings]]:
    """Settings of the corners of what is tuned, by id of the cell."""
    ends = [(0.0, 1.0) if isinstance(f.domain, Range) else _places(len(f.domain.values)) for f in plan.nuisances]
    crossed = list(corners(ends))
    return {
        cell.cell_id: [{**plan.tune_base, **drawn_at(plan, u, cell), **cell.settings} for u in crossed]
        for cell in plan.factorial.distinct
    }


def _places(levels: int) -> tuple[float, ...]:
    """A place in [0, 1] for each of so many levels."""
    return tuple((level + 0.5) / levels for level in range(levels))


def distinct(plan: Plan, *names: str) -> list[TrainConfig]:
    """One possible configuration for each reachable combination of values of these fields."""
    return alike(reachable(plan), *names)


def alike(each: Iterable[Settings], *names: str) -> list[TrainConfig]:
    """One configuration for each combination of values of these fields; what is none is left out."""
    found: dict[tuple[Value, ...], TrainConfig] = {}
    for settings in each:
        with suppress(Faults):  # told by `config_faults`
            config = TrainConfig.from_flat(dict(settings))
            found.setdefault(tuple(getattr(config, name) for name in names), config)
    return list(found.values())


def config_faults(plan: Plan) -> list[str]:
    """Everything impossible about any configuration that the sweep could reach, each fault once."""
    compared = {name for cell in plan.cells for name in (*cell.levels, *cell.drop_in)} | set(plan.factorial.levels)
    # What goes with listed cells is theirs; what follows from crossed levels is made of what is given.
    compared |= {name for cell in plan.design.cells for name in cell.fixed}
    fixed = sorted(compared & set(plan.what))
    faults = dict.fromkeys(f"`--set {name}` would fix what the sweep compares; its cells set it." for name in fixed)
    for settings in reachable(plan):
        try:
            TrainConfig.from_flat(dict(settings))
        except Faults as error:
            faults.update(dict.fromkeys(error.faults))
    most = {"blocks": FIRST_POINT_BLOCK - 1, "points": BLOCKS_PER_SEED - FIRST_POINT_BLOCK}
    for name, limit in most.items():
        if getattr(plan, name) > limit:
            faults[f"`--{name}` must be at most {limit}, but got {getattr(plan, name)}."] = None
    faults.update(dict.fromkeys(_stage_faults(plan)))
    return list(faults)


def _stage_faults(plan: Plan) -> Iterator[str]:
    """Stages that lack what they need."""
    if "search" in plan.stages and plan.design.cells:
        yield f"{plan.design.name} lists its cells and has no search: `--stages` must be of tune, confirm."
    elif "search" in plan.stages and not plan.samples:
        yield "The stage search needs `--samples`; this preset has no search."
    for stage, how, flag in (("search", "best of search", "best"), ("tune", "best of tune", "tuned")):
        if "confirm" in plan.stages and stage not in plan.stages and plan.confirm == how:
            yield f"`--confirm {flag}` needs the stage {stage}: add it to `--stages`, or take `--confirm drop-in`."
    for name in ("points", "tuner"):
        if name in plan.what and "tune" not in plan.stages:
            yield f"`--{name}` is for the stage tune, which is not run: add `--confirm tuned`."
    for name in ("searcher", "eta", "grace"):
        if name in plan.what and "search" not in plan.stages and plan.tuner != "optuna":
            yield f"`--{name}` is for stages that Optuna and ASHA tune, and none of them is run."
    if "tune" in plan.stages and not plan.points:
        yield "The stage tune needs `--points`; this preset tunes nothing."
    elif plan.tuner == "sobol" and plan.points & (plan.points - 1):
        yield f"`--points` must be a power of two, which Sobol points are balanced at, but got {plan.points}."
    if plan.controls and not any(cell.role == "control" for cell in plan.cells):
        yield "`--controls` adds A/A controls beside tuned cells that accumulate, and this plan has none to add."
    primaries = sum(contrast.family == "primary" for contrast in plan.contrasts())
    if primaries > MOST_PRIMARIES:
        yield f"A family holds at most {MOST_PRIMARIES} primaries, as they share one level, but {primaries} are asked."
    if plan.confirm == "best of search" and plan.replicates > 1:
        yield f"A search is one tuning, however many seeds confirm it: `--replicates` must be 1, got {plan.replicates}."
    if plan.replicates * plan.blocks < 2 and "confirm" in plan.stages:
        yield "An interval needs two runs of each cell, but `--replicates 1 --blocks 1` has one."
