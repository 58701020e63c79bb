"""How long a plan takes, from what its trials take: arithmetic alone."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from embedding_core.config.train_config import SAVE_EVERY_S, TrainConfig
from sweeps.cli.forecast.rates import Evaluation, Rates, evaluation_kind, nearest
from sweeps.cli.forecast.workload import Work, Workload, kind_of
from sweeps.design.plan import Plan

DRIVER_STARTS = 3.5
"""What a sweep and Ray take to start and to end, in starts of a process that trains: all of it is mostly imports."""

STAGE_STARTS = 2.0
"""The same of a stage: its processes are new, import Ray as well, and are slow the first time they do anything."""

REPORT_STARTS = 2.5
"""The same of the report."""

TRIAL_S = 0.25
"""Between the end of a trial and the first step of the next: what `benchmarks/orchestration.py` shows."""

ROW_S = 0.03
"""Between two epochs of a trial: the driver takes the row, and stores it in time."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds."""

    start_s: float
    """Of the sweep and Ray."""
    stages: Mapping[str, float]
    """With ASHA's savings as far as they are expected."""
    longest: Mapping[str, float]
    """Where ASHA stops no trial."""
    report_s: float
    features_s: float = 0.0
    """Of backbones that are never trained, before anything else."""

    @property
    def total_s(self) -> float:
        """From the command to its last line."""
        return self.features_s + self.start_s + sum(self.stages.values()) + self.report_s

    @property
    def most_s(self) -> float:
        """The same where ASHA stops no trial."""
        return self.features_s + self.start_s + sum(self.longest.values()) + self.report_s


def duration_of(
    plan: Plan,
    works: Workload,
    rates: Rates,
    images_of: Callable[[TrainConfig], int],
    *,
    at_once: int,
    features_s: float = 0.0,
    save_every_s: float = SAVE_EVERY_S,
) -> Duration:
    """How long the sweep takes.

    Args:
        plan: whose.
        works: its trials.
        rates: what they take.
        images_of: images forwarded in an epoch.
        at_once: trials.
        features_s: what comes before all of them.
        save_every_s: between two checkpoints of a trial; 0: one after each epoch.
    """
    expected, longest = {}, {}
    for stage, own in works.items():
        slots = at_once
        if stage == "tune" and plan.tuner == "optuna":  # in a study one trial follows the other
            slots = min(at_once, plan.replicates * len(plan.factorial.distinct))
        start = STAGE_STARTS * rates.process_s + _first_views_s(own, rates)
        kinds = [(work, _seconds(plan, work, work.epochs, rates, images_of, save_every_s=save_every_s)) for work in own]
        whole = [
            (work, _seconds(plan, work, work.config.epochs, rates, images_of, save_every_s=save_every_s))
            for work in own
        ]
        expected[stage] = start + makespan(interleaved(kinds), slots)
        longest[stage] = start + makespan(interleaved(whole), slots)
    start_s, report_s = DRIVER_STARTS * rates.process_s, REPORT_STARTS * rates.process_s
    return Duration(start_s, expected, longest, report_s, features_s)


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Until the last of these trials has ended, each of which takes the first free slot in its turn."""
    free = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def interleaved(kinds: Sequence[tuple[Work, float]]) -> list[float]:
    """Seconds of each trial, kinds spread evenly; of kinds that are expected by fractions, whole trials in all."""
    placed: list[tuple[float, float]] = []
    carried = 0.0
    for work, seconds in kinds:
        carried += work.trials
        whole = int(carried + 1e-6)
        carried -= whole
        placed += [((i + 0.5) / whole, seconds) for i in range(whole)]
    # What a fraction carries over goes to a later kind; the mean is kept by scaling.
    total, kept = sum(work.trials * seconds for work, seconds in kinds), sum(seconds for _, seconds in placed)
    scale = total / kept if kept else 1.0
    return [scale * seconds for _, seconds in sorted(placed, key=lambda pair: pair[0])]


def _seconds(
    plan: Plan,
    work: Work,
    epochs: float,
    rates: Rates,
    images_of: Callable[[TrainConfig], int],
    *,
    save_every_s: float,
) -> float:
    """That one trial takes."""
    evaluation = _evaluation(work, rates)
    rate = nearest(kind_of(plan, work.config), rates.images_per_s)
    trained_s = epochs * (images_of(work.config) / rate + evaluation.validation_s + ROW_S)
    checkpoints = min(epochs, 1 + trained_s // save_every_s) if save_every_s else epochs
    held_out_s = evaluation.held_out_s.get(work.config.views, 0.0) if work.config.eval_test else 0.0
    return float(TRIAL_S + evaluation.setup_s + trained_s + checkpoints * evaluation.checkpoint_s + held_out_s)


def _first_views_s(works: Sequence[Work], rates: Rates) -> float:
    """What the first views take beyond later ones."""
    shown = [work for work in works if work.config.eval_test and work.config.views != "none"]
    return max((_evaluation(work, rates).first_views_s for work in shown), default=0.0)


def _evaluation(work: Work, rates: Rates) -> Evaluation:
    found: Evaluation = nearest(evaluation_kind(work.config), rates.evaluations)
    return found
