"""What the trials of an Optuna study can and cannot say: levels, endings, shared settings, and why. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from sweeps.analysis.stats.description.optuna_importances import MAX_LEVELS, MIN_COMPLETED
from sweeps.analysis.stats.intervals.effects import MIN_BLOCKS

STATES: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)
ENDINGS: Final = dict(zip(STATES, ("completed", "pruned", "failed", "running", "waiting"), strict=True))

NOT_SET: Final = "(not set)"
"""Level of trials that do not have the parameter."""

GRID: Final = "grid_id"
"""System attribute of trials that a grid named beforehand."""

REASONS: Final = {
    "adaptive": "later trials are drawn where earlier ones did well, unless the sampler was random, which a study does "
    "not record",
    "unpaired": f"fewer than {MIN_BLOCKS} settings of the other parameters were completed at two levels",
    "one seed": "no configuration was completed twice and no seed varied: how far equal ones differ is not known",
    "starved": f"fewer than {MIN_COMPLETED} trials were completed at a level",
    "censored": "pruned trials have no final value, so the rest are survivors",
}
"""What can stand against reading the effect of a parameter off a study."""


@dataclass(frozen=True, slots=True)
class Arms:
    """A parameter with levels, and what stands against comparing them."""

    parameter: str
    levels: dict[str, dict[str, int]]
    """Level -> number of trials by ending, only those that occur."""

    shared: int
    """Settings of the other parameters that two levels or more completed."""

    against: dict[str, str]
    """Those of `REASONS` for which no effect of the parameter can be read off -> where it shows, may be empty."""


def arms(trials: Sequence[FrozenTrial]) -> list[Arms]:
    """Every parameter with two levels or more, in order of name."""
    names = sorted({name for trial in trials for name in trial.distributions})
    levels = {name: _levels([t.distributions[name] for t in trials if name in t.distributions]) for name in names}
    return [_arms(trials, name, found) for name, found in levels.items() if len(found) > 1]


def endings(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Number of trials per ending, in the order of `ENDINGS`, only those that occur."""
    counts = Counter(trial.state for trial in trials)
    return {name: counts[state] for state, name in ENDINGS.items() if counts[state]}


def completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials with final values."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def feasible(trial: FrozenTrial) -> bool:
    """Whether the trial keeps every constraint, as Optuna has them: at most 0."""
    return all(value <= 0 for value in trial.constraints.values())


def level(trial: FrozenTrial, parameter: str) -> str:
    """The trial's level of a parameter."""
    return str(trial.params.get(parameter, NOT_SET))


def _levels(asked: Sequence[Any]) -> list[str]:
    """Choices, in the order they were given; of whole numbers, few of them, the lowest to the highest asked for."""
    if all(isinstance(d, CategoricalDistribution) for d in asked):
        return list(dict.fromkeys(str(choice) for d in asked for choice in d.choices))
    if not all(isinstance(d, IntDistribution) for d in asked) or len({d.step for d in asked}) > 1:
        return []
    whole = range(min(d.low for d in asked), max(d.high for d in asked) + 1, asked[0].step)
    return [str(value) for value in whole] if len(whole) <= MAX_LEVELS else []


def _arms(trials: Sequence[FrozenTrial], name: str, values: Sequence[str]) -> Arms:
    members: dict[str, list[FrozenTrial]] = {value: [] for value in values}
    for trial in trials:
        if trial.state.is_finished() or name in trial.params:  # else it may be drawn yet
            members.setdefault(level(trial, name), []).append(trial)
    levels = {value: endings(own) for value, own in members.items()}
    done = [trial.params for trial in completed(trials)]
    shared = _shared([params for params in done if name in params], name)
    few = [value for value, own in levels.items() if own.get("completed", 0) < MIN_COMPLETED]
    repeated = len({frozenset(params.items()) for params in done}) < len(done)
    stands = {
        "adaptive": not all(GRID in trial.system_attrs for trial in trials),
        "unpaired": shared < MIN_BLOCKS,
        "one seed": not repeated and not any("seed" in trial.params for trial in trials),
        "starved": bool(few),
        "censored": any("pruned" in own for own in levels.values()),
    }
    where = {"unpaired": str(shared), "starved": ", ".join(few)}
    return Arms(name, levels, shared, {reason: where.get(reason, "") for reason, does in stands.items() if does})


def _shared(done: Sequence[dict[str, Any]], name: str) -> int:
    """Settings of the other parameters that several levels of `name` completed.

    What a level alone has (the weight of a term that is on) is part of the level.
    """
    had: dict[Any, set[str]] = defaultdict(set)
    for params in done:
        had[params[name]] |= params.keys() - {name}
    common = set.intersection(*had.values()) if had else set()
    met: dict[frozenset[tuple[str, Any]], set[Any]] = defaultdict(set)
    for params in done:
        met[frozenset(item for item in params.items() if item[0] in common)].add(params[name])
    return sum(len(levels) > 1 for levels in met.values())
