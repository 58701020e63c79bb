"""What each tuning of a sweep would have claimed by itself, had it been the only one. Pure."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.intervals.effects import ALPHA, Interval
from sweeps.analysis.stats.reading.contrasts import CellRuns, weighted


@dataclass(frozen=True, slots=True)
class SingleTunings:
    """One primary contrast, tuning by tuning."""

    effects: tuple[Interval, ...]
    """Of each replicate, over its seeds alone."""

    @property
    def raised(self) -> int:
        """Tunings whose interval lies above 0."""
        return sum(effect.ci_low > 0 for effect in self.effects)

    @property
    def lowered(self) -> int:
        """Tunings whose interval lies below 0."""
        return sum(effect.ci_high < 0 for effect in self.effects)

    @property
    def apart(self) -> int:
        """Pairs of tunings whose intervals have no number in common."""
        effects = self.effects
        return sum(
            one.ci_high < other.ci_low or other.ci_high < one.ci_low
            for i, one in enumerate(effects)
            for other in effects[:i]
        )


def single_tunings(finding: Finding) -> SingleTunings | None:
    """The contrast of each replicate with the interval that its seeds give it, held with the family's others.

    So would a sweep of one tuning have had it, but for the spread between seeds: that is pooled over the replicates, as
    the two or three seeds of one hardly tell it. R (S - 1) degrees of freedom for R replicates of S seeds.

    Returns:
        None where nothing was tuned, or a replicate has one seed, or there is one replicate.
    """
    runs, effect = finding.runs, finding.effect
    if runs is None or effect is None or not runs.tuned or not _can_be_told(runs):
        return None
    by_seed = weighted(runs.weights, runs.outcomes)  # [replicates, blocks]
    replicates, seeds = by_seed.shape
    error = float(np.sqrt(by_seed.var(axis=1, ddof=1).mean() / seeds))
    half = float(special.stdtrit(replicates * (seeds - 1), 1 - ALPHA / effect.family / 2)) * error
    means = by_seed.mean(axis=1).tolist()
    return SingleTunings(tuple(Interval(mean, mean - half, mean + half, seeds, error) for mean in means))


def _can_be_told(runs: CellRuns) -> bool:
    return len(runs.places) > 1 and len(runs.places[0]) > 1
