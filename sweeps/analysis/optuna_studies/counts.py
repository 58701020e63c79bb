"""What the trials of an Optuna study can and cannot say: levels, endings, shared settings, and why. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from sweeps.analysis.stats.description.optuna_importances import MAX_LEVELS, MIN_COMPLETED
from sweeps.analysis.stats.intervals.effects import MIN_BLOCKS

ENDINGS: Final = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

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
    asked: dict[str, list[BaseDistribution]] = defaultdict(list)
    for trial in trials:
        for name, distribution in trial.distributions.items():
            asked[name].append(distribution)
    levels = {name: _levels(distributions) for name, distributions in sorted(asked.items())}
    return [_arms(trials, name, found) for name, found in levels.items() if len(found) > 1]


def endings(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Number of trials per ending, in the order of `ENDINGS`, only those that occur."""
    counts = Counter(ENDINGS[trial.state] for trial in trials)
    return {name: counts[name] for name in ENDINGS.values() if counts[name]}


def completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials with final values."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def feasible(trial: FrozenTrial) -> bool:
    """Whether the trial keeps every constraint, as Optuna has them: at most 0."""
    return all(value <= 0 for value in trial.constraints.values())


def level(trial: FrozenTrial, parameter: str) -> str:
    """The trial's level of a parameter."""
    return str(trial.params[parameter]) if parameter in trial.params else NOT_SET


def pruned_after(trials: Sequence[FrozenTrial]) -> dict[int | None, int]:
    """Pruned trials by the last step that they reported, ascending; None: they reported nothing."""
    counts = Counter(trial.last_step for trial in trials if trial.state == TrialState.PRUNED)
    return dict(sorted(counts.items(), key=lambda item: (item[0] is not None, item[0] or 0)))


def _levels(asked: Sequence[BaseDistribution]) -> list[str]:
    """Choices, in the order they were given; of whole numbers, few of them, the lowest to the highest asked for."""
    categories = [d for d in asked if isinstance(d, CategoricalDistribution)]
    ranges = [d for d in asked if isinstance(d, IntDistribution)]
    if len(categories) == len(asked):
        return list(dict.fromkeys(str(choice) for d in categories for choice in d.choices))
    if len(ranges) == len(asked) and len({d.step for d in ranges}) == 1:
        whole = range(min(d.low for d in ranges), max(d.high for d in ranges) + 1, ranges[0].step)
        return [str(value) for value in whole] if len(whole) <= MAX_LEVELS else []
    return []


def _arms(trials: Sequence[FrozenTrial], name: str, values: Sequence[str]) -> Arms:
    of_level: dict[str, list[FrozenTrial]] = {value: [] for value in values}
    for trial in trials:
        if trial.state.is_finished() or name in trial.params:  # else it may be drawn yet
            of_level.setdefault(level(trial, name), []).append(trial)
    levels = {value: endings(own) for value, own in of_level.items()}
    shared = _shared(trials, name)
    return Arms(name, levels, shared, _against(trials, levels, shared))


def _shared(trials: Sequence[FrozenTrial], name: str) -> int:
    """Settings of the other parameters that several levels completed.

    What a level alone has (the weight of a term that is on) is part of the level.
    """
    done = [trial for trial in completed(trials) if name in trial.params]
    by_level: dict[str, set[str]] = defaultdict(set)
    for trial in done:
        by_level[level(trial, name)] |= trial.params.keys() - {name}
    common = set.intersection(*by_level.values()) if by_level else set()
    met: dict[Any, set[str]] = defaultdict(set)
    for trial in done:
        met[_key(trial, common)].add(level(trial, name))
    return sum(len(levels) > 1 for levels in met.values())


def _key(trial: FrozenTrial, names: set[str]) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in trial.params.items() if name in names)


def _against(trials: Sequence[FrozenTrial], levels: dict[str, dict[str, int]], shared: int) -> dict[str, str]:
    found = {}
    if not all(GRID in trial.system_attrs for trial in trials):
        found["adaptive"] = ""
    if shared < MIN_BLOCKS:
        found["unpaired"] = str(shared)
    done = [_key(trial, set(trial.params)) for trial in completed(trials)]
    if len(set(done)) == len(done) and not any("seed" in trial.params for trial in trials):
        found["one seed"] = ""
    if few := [name for name, own in levels.items() if own.get("completed", 0) < MIN_COMPLETED]:
        found["starved"] = ", ".join(few)
    if any("pruned" in own for own in levels.values()):
        found["censored"] = ""
    return found
