"""What a plan gives the machine to do: how many trials of which kind in each stage, and how long they run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from embedding_core.config.train_config import TrainConfig
from sweeps.design.design import Cell, Settings
from sweeps.design.plan import FIRST_POINT_BLOCK, Plan
from sweeps.design.plan_file import content_of
from sweeps.design.planned_counts import planned_trials
from sweeps.design.runs import confirm_base, drawn_at
from sweeps.engine.search.asha_savings import expected_epochs

COST_FIELDS = (
    "backbone", "norm_kind", "head", "head_layers", "head_width", "loss", "mining", "koleo", "koleo_exclude_same_class",
    "batch_size", "accum_steps", "accum_mode", "batch_sampler", "augmentation", "freeze_epochs", "subset",
)  # fmt: skip
"""What an update of a trial is dear or cheap by, besides whatever else the cells differ in; each combination is
probed. What a search draws beyond that (an optimizer, a width) is not."""


@dataclass(frozen=True, slots=True)
class Work:
    """Trials that cost the same."""

    config: TrainConfig
    """Of one of them."""
    trials: float
    """How many; of a search what is expected, as the kinds are drawn."""
    epochs: float
    """That one runs for; fewer than `config.epochs` where ASHA is expected to stop some."""


Workload = Mapping[str, list[Work]]
"""By stage, in their order."""


def workload_of(plan: Plan) -> Workload:
    """All trials of a plan by stage and kind."""
    planned = planned_trials(content_of(plan, plan.design.name))
    made = {"search": _search, "tune": _tune, "confirm": _confirm}
    found = {stage: list(_joined(plan, made[stage](plan))) for stage in planned}
    for stage, works in found.items():
        counted = sum(work.trials for work in works)
        assert abs(counted - planned[stage]) < 1e-6 * max(1, counted), "the forecast counts other trials than the plan"
    return found


def kind_of(plan: Plan, config: TrainConfig) -> tuple[object, ...]:
    """What its cost per update follows from."""
    tuned = {factor.name for factor in plan.nuisances}
    told = dict.fromkeys([*COST_FIELDS, *(name for cell in plan.cells for name in cell.settings if name not in tuned)])
    return tuple(getattr(config, name) for name in told)


def _search(plan: Plan) -> Iterator[Work]:
    """Every corner as often as any other; which of them TPE prefers nobody knows."""
    corners = list(plan.design.corners())
    for corner in corners:
        config = TrainConfig.from_flat({**plan.search_base, **corner})
        epochs = expected_epochs(plan.samples, config.epochs, exempt=plan.exempt, eta=plan.eta, grace=plan.grace)
        yield Work(config, plan.samples / len(corners), epochs)


def _tune(plan: Plan) -> Iterator[Work]:
    base = {**plan.tune_base, "seed": plan.block_seed(FIRST_POINT_BLOCK)}
    for cell in plan.factorial.distinct:
        config = TrainConfig.from_flat({**base, **_middle(plan, cell), **cell.settings})
        epochs = float(config.epochs)
        if plan.tuner == "optuna":
            epochs = expected_epochs(plan.points, config.epochs, eta=plan.eta, grace=plan.grace)
        yield Work(config, plan.replicates * plan.points, epochs)


def _confirm(plan: Plan) -> Iterator[Work]:
    """The first block of each replicate has views."""
    for cell in plan.cells:
        for block, blocks in ((1, 1), (2, plan.blocks_of(cell) - 1)):
            if blocks:
                settings = {**confirm_base(plan, block), **_middle(plan, cell), **cell.drop_in, **cell.settings}
                config = TrainConfig.from_flat(settings)
                yield Work(config, plan.replicates * blocks, float(config.epochs))


def _middle(plan: Plan, cell: Cell) -> Settings:
    """Tuned settings of a cell, each from the middle of its range."""
    return drawn_at(plan, [0.5] * len(plan.nuisances), cell)


def _joined(plan: Plan, works: Iterable[Work]) -> Iterator[Work]:
    """One per kind, of those with views and those without."""
    first: dict[object, Work] = {}
    trials: Counter[object] = Counter()
    for work in works:
        key = kind_of(plan, work.config), work.config.eval_test and work.config.views
        first.setdefault(key, work)
        trials[key] += work.trials  # type: ignore[assignment]
    yield from (replace(work, trials=float(trials[key])) for key, work in first.items())
