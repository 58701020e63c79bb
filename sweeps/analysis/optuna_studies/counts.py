"""What the trials of an Optuna study can and cannot say: levels, endings, shared settings, and why. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from sweeps.analysis.stats.description.importances import MIN_COMPLETED
from sweeps.analysis.stats.description.optuna_importances import MAX_LEVELS
from sweeps.analysis.stats.intervals.effects import MIN_BLOCKS

ENDINGS: Final = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}

NOT_SET: Final = "not set"
"""Level of trials that do not have the parameter."""

GRID: Final = "grid_id"
"""System attribute of trials that a grid named beforehand."""


@dataclass(frozen=True, slots=True)
class Level:
    """Trials at one level of a parameter."""

    name: str
    endings: dict[str, int]
    """Only those that occur."""

    best: float | None
    """Best value of the completed ones."""

    @property
    def trials(self) -> int:
        """All of them."""
        return sum(self.endings.values())

    @property
    def completed(self) -> int:
        """Those with a final value."""
        return self.endings.get("completed", 0)


@dataclass(frozen=True, slots=True)
class Arms:
    """A parameter with levels, and what stands against comparing them."""

    parameter: str
    levels: tuple[Level, ...]
    shared: int
    """Settings of the other parameters that two levels or more completed."""

    against: tuple[str, ...]
    """Reasons why no effect of the parameter can be read off; empty if none was found."""


def arms(trials: Sequence[FrozenTrial], *, maximize: bool) -> list[Arms]:
    """Every parameter with two levels or more, in order of name."""
    levels: dict[str, set[Any]] = defaultdict(set)
    for trial in trials:
        for name, distribution in trial.distributions.items():
            levels[name] |= set(_levels(distribution))
    return [_arms(trials, name, found, maximize) for name, found in sorted(levels.items()) if len(found) > 1]


def endings(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Number of trials per ending, in the order of `ENDINGS`, only those that occur."""
    counts = Counter(ENDINGS[trial.state] for trial in trials)
    return {name: counts[name] for name in ENDINGS.values() if counts[name]}


def completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials with a final value."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]


def repeated(trials: Sequence[FrozenTrial]) -> int:
    """Configurations that completed more than once."""
    counts = Counter(_key(trial.params) for trial in completed(trials))
    return sum(n > 1 for n in counts.values())


def pruned_after(trials: Sequence[FrozenTrial]) -> dict[int | None, int]:
    """Pruned trials by the last step that they reported, ascending; None: they reported nothing."""
    counts = Counter(trial.last_step for trial in trials if trial.state == TrialState.PRUNED)
    return dict(sorted(counts.items(), key=lambda item: (item[0] is not None, item[0] or 0)))


def _levels(distribution: Any) -> Sequence[Any]:
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution():
            values = range(distribution.low, distribution.high + 1, distribution.step)
            return values if len(values) <= MAX_LEVELS else ()
    return ()


def _arms(trials: Sequence[FrozenTrial], name: str, values: set[Any], maximize: bool) -> Arms:
    of_level: dict[str, list[FrozenTrial]] = {str(value): [] for value in sorted(values, key=_order)}
    for trial in trials:
        if trial.state == TrialState.WAITING or not trial.params:
            continue  # not drawn yet
        of_level.setdefault(str(trial.params[name]) if name in trial.params else NOT_SET, []).append(trial)
    pick = max if maximize else min
    levels = []
    for level, own in of_level.items():
        best = pick((trial.value for trial in completed(own) if trial.value is not None), default=None)
        levels.append(Level(level, endings(own), best))
    shared = _shared(trials, name)
    return Arms(name, tuple(levels), shared, tuple(_against(trials, levels, shared)))


def _order(value: Any) -> tuple[str, Any]:
    """Choices of one type by value; of several, by type."""
    return type(value).__name__, value if isinstance(value, bool | int | float | str) else str(value)


def _shared(trials: Sequence[FrozenTrial], name: str) -> int:
    """Settings of the other parameters that several levels completed.

    What a level alone has (the weight of a term that is on) is part of the level.
    """
    done = [trial for trial in completed(trials) if name in trial.params]
    by_level: dict[Any, list[FrozenTrial]] = defaultdict(list)
    for trial in done:
        by_level[trial.params[name]].append(trial)
    names = {parameter for trial in done for parameter in trial.params} - {name}
    common = {p for p in names if all(any(p in trial.params for trial in own) for own in by_level.values())}
    met: dict[Any, set[Any]] = defaultdict(set)
    for trial in done:
        met[_key({p: trial.params.get(p) for p in common})].add(trial.params[name])
    return sum(len(levels) > 1 for levels in met.values())


def _key(params: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def _against(trials: Sequence[FrozenTrial], levels: Sequence[Level], shared: int) -> list[str]:
    reasons = []
    if not all(GRID in trial.system_attrs for trial in trials):
        reasons.append(
            "adaptive: unless its sampler was random, which the database does not record, later trials were drawn "
            "where earlier ones did well"
        )
    if shared < MIN_BLOCKS:
        where = f"at {shared} settings" if shared else "at no setting"
        reasons.append(f"unpaired: {where} of the other parameters did two levels complete")
    if not repeated(trials) and not any("seed" in trial.params for trial in trials):
        reasons.append("one seed per configuration: how far equal configurations differ is not known")
    counts = ", ".join(f"{level.name} {level.completed} of {level.trials}" for level in levels)
    few = [level.name for level in levels if level.completed < MIN_COMPLETED]
    if few:
        reasons.append(f"starved: fewer than {MIN_COMPLETED} trials completed at {', '.join(few)} ({counts})")
    if any("pruned" in level.endings for level in levels):
        pruned = ", ".join(f"{level.name} {level.endings.get('pruned', 0)} of {level.trials}" for level in levels)
        reasons.append(f"censored: pruned trials have no final value ({pruned}), so the rest are survivors")
    return reasons
