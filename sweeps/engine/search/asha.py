"""ASHA on `images_seen`: a decision without input or output, and the Ray scheduler that asks it."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from embedding_core.seeding import STREAMS, stream
from sweeps.design.tuning import ETA, GRACE

_Study = TypeVar("_Study", bound=Hashable)

Decided = dict[str, float | int | str | bool | None]
"""One row of the `rungs` table, with its `trial_id`."""


def milestones(epoch_images: int, epochs: int, *, eta: int = ETA, grace: float = GRACE) -> tuple[int, ...]:
    """Rungs r, r * eta, r * eta^2, ... before the end of a run, in images; exact integers, as rows come at them.

    Args:
        epoch_images: forwarded per epoch.
        epochs: of a full run.
        eta: >= 2.
        grace: share of the epochs up to the first rung, in (0, 1].
    """
    rungs, rung = [], epoch_images * max(1, math.floor(epochs * grace + 1e-9))  # .29 of 100 are 29
    while rung < epoch_images * epochs:
        rungs.append(rung)
        rung *= eta
    return tuple(rungs)


def scheduler_name(eta: int, grace: float) -> str:
    """As `trials.scheduler` has it."""
    return f"ASHA(eta={eta})" if grace == GRACE else f"ASHA(eta={eta}, grace={grace:g})"


@dataclass(frozen=True, slots=True)
class Decision:
    """What ASHA made of one value at one rung."""

    trial_id: str
    rung: int
    value: float
    cutoff: float | None
    """None: nothing to compare with."""
    stop: bool
    exempt: bool = False
    """Drawn to go on where it would have been stopped."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """From the `rungs` table; a value that was not finite is null there."""
        value = math.nan if row["value"] is None else row["value"]
        decision = row["decision"]
        return cls(row["trial_id"], row["rung"], value, row["cutoff"], decision == "stop", decision == "exempt")

    def row(self) -> Decided:
        """For the `rungs` table."""
        return {
            "trial_id": self.trial_id,
            "rung": self.rung,
            "value": self.value,
            "cutoff": self.cutoff,
            "decision": "stop" if self.stop else "exempt" if self.exempt else "continue",
            "is_finite": math.isfinite(self.value),
        }


@dataclass(frozen=True, slots=True)
class Exemption:
    """A share of trials drawn by their own id, so that the sampler cannot learn it and a rerun repeats it."""

    share: float
    seed: int
    """Master seed."""

    def holds(self, trial_id: str) -> bool:
        """Whether this trial was drawn."""
        return bool(stream(self.seed, "stop exempt", trial_id) < self.share * STREAMS)


class Rungs:
    """Asynchronous successive halving: at each rung a trial stops if it is below the best 1/eta of those before it.

    A value that is not finite stops its trial and is compared with nothing. Source: Li et al. 2020, arXiv 1810.05934.
    An exempt trial goes on where another would have stopped; from there on it is judged, and others by it, no more.
    """

    def __init__(
        self,
        rungs: Sequence[int],
        reduction_factor: float,
        *,
        replay: Iterable[Decision] = (),
        exempt: Exemption | None = None,
    ) -> None:
        """Args: rungs: images, ascending. reduction_factor: eta > 1. replay: decisions of an interrupted sweep."""
        self.reduction_factor = reduction_factor
        self.exempt = exempt or Exemption(0.0, 0)
        self._decided: dict[int, dict[str, Decision]] = {rung: {} for rung in rungs}
        for decision in replay:
            self._decided.setdefault(decision.rung, {})[decision.trial_id] = decision

    def decide(self, trial_id: str, images_seen: int, value: float) -> Decision | None:
        """Decision at the rung `images_seen`, None elsewhere; asked again, it repeats itself."""
        decided = self._decided.get(images_seen)
        if decided is None:
            return None
        if trial_id not in decided:
            if self.ended(trial_id) is not None:
                return None
            cutoff = self._cutoff(decided.values())
            below = cutoff is not None and value < cutoff
            exempt = below and self.exempt.holds(trial_id)
            stop = not math.isfinite(value) or (below and not exempt)
            decided[trial_id] = Decision(trial_id, images_seen, value, cutoff, stop, exempt)
        return decided[trial_id]

    def ended(self, trial_id: str) -> Decision | None:
        """The decision that stopped a trial, or would have, if one did."""
        decisions = (decided[trial_id] for decided in self._decided.values() if trial_id in decided)
        return next((decision for decision in decisions if decision.stop or decision.exempt), None)

    def _cutoff(self, earlier: Iterable[Decision]) -> float | None:
        values = [decision.value for decision in earlier if math.isfinite(decision.value)]
        return float(np.percentile(values, 100 * (1 - 1 / self.reduction_factor))) if values else None


class Judge(Protocol):
    """Decides which trials go on."""

    exempt: Exemption

    def decide(self, trial_id: str, images_seen: int, value: float) -> Decision | None:
        """Decision at the rung `images_seen`, None elsewhere."""

    def ended(self, trial_id: str) -> Decision | None:
        """The decision that stopped a trial, or would have, if one did."""


class RungsByStudy(Generic[_Study]):
    """Successive halving within each of many studies, whose trials are compared with those of their own alone."""

    def __init__(self, study_of: Mapping[str, _Study], rungs: Mapping[_Study, Rungs]) -> None:
        """Args: study_of: by trial id. rungs: by study."""
        self._study_of, self._rungs = study_of, rungs
        self.exempt = Exemption(0.0, 0)

    def decide(self, trial_id: str, images_seen: int, value: float) -> Decision | None:
        """As `Rungs.decide`, in the study of the trial."""
        return self._rungs[self._study_of[trial_id]].decide(trial_id, images_seen, value)

    def ended(self, trial_id: str) -> Decision | None:
        """As `Rungs.ended`."""
        return self._rungs[self._study_of[trial_id]].ended(trial_id)


class ImagesSeenASHA(ASHAScheduler):
    """Ray's ASHA with `Rungs` deciding: NaN stops a trial, late values enter no rung, a resumed sweep remembers.

    A decision is stored before it holds: Tune asks for it first of all, before it tells the searcher or lets the trial
    go on, so that a driver killed at any moment has acted on none that its successor does not know. One that cannot be
    stored does not hold: the sweep is about to end.
    """

    def __init__(self, rungs: Judge, store: Callable[[Trial, Decision], bool], *, metric: str) -> None:
        """Args: rungs: what decides. store: puts a decision on the disk, and says whether it is there. metric: higher
        is better.
        """
        super().__init__(time_attr="images_seen", metric=metric, mode="max", stop_last_trials=False)
        self._rungs, self._store, self._value = rungs, store, metric

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop or go on after one row."""
        decision = self._rungs.decide(trial.config["trial_id"], result["images_seen"], result[self._value])
        if decision is None:
            return str(self.CONTINUE)
        stored = self._store(trial, decision)
        return str(self.STOP if stored and decision.stop else self.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A trial's last row is judged by nobody."""
        self.on_trial_remove(tune_controller, trial)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the `rungs` table is what a resumed sweep reads."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the same reason: Tune pickles what it is given."""
        return {}
