"""What so many replicates can tell, before they are run: half-widths, power, effects and sentences in reach. Pure.

The standard deviation is that of the contrast between replicates (D_r of `stats.effects`), the test is t on n - 1, and
each of a family of contrasts gets its share of the level.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeps.analysis.stats.intervals.effects import ALPHA, Interval, check_terms
from sweeps.analysis.wording import MIN_REPLICATES

POWER: Final = 0.8

MOST_REPLICATES: Final = 10_000
"""More are never proposed."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """Which sentences n replicates can reach, at `POWER`; None where one is out of reach."""

    n: int
    half_width: float
    """Of the printed 95 % interval, simultaneous over the family, where the sample has this SD."""

    inner_half_width: float
    """Of the 90 % interval: where it exceeds the SESOI, "no difference that matters" takes a lucky sample."""

    moved: float | None
    """Smallest effect that is called "raised" or "lowered"."""

    beyond: float | None
    """Smallest effect that is called more than the SESOI."""

    equivalence_power: float
    """Probability of "no difference that matters" if the true effect is 0."""

    @property
    def equivalence(self) -> bool:
        """Whether "no difference that matters" can be relied on if the true effect is 0."""
        return self.equivalence_power >= POWER


def half_width(sd: float, n: int, *, family: int = 1, level: float = 1 - ALPHA) -> float:
    """Half the width of the interval over n >= 2 replicates of this SD, simultaneous over the family."""
    return float(special.stdtrit(n - 1, 1 - (1 - level) / (2 * family))) * sd / math.sqrt(n)


def power(effect: float, sd: float, n: int, *, family: int = 1) -> float:
    """Probability that the interval over n >= 2 replicates excludes 0.

    Source: non-central t, by statsmodels.
    """
    from statsmodels.stats.power import TTestPower  # brings pandas and more, and no report needs it

    _check_sd(sd)
    return float(TTestPower().power(abs(effect) / sd, n, ALPHA / family))


def detectable(sd: float, n: int, *, family: int = 1, power: float = POWER) -> float:
    """Effect whose interval over n >= 2 replicates excludes 0, on its own side, with this power."""
    return _shift(sd, n, ALPHA / family, power)


def detectable_range(values: ArrayLike, *, family: int = 1, power: float = POWER) -> Interval:
    """The detectable effect with its 95 % interval, since the SD is itself estimated.

    Args:
        values: contrast of each replicate, length n >= 2.
        family: contrasts held together.
        power: wanted.

    Source: chi-square interval of a variance.
    """
    array = np.asarray(values, dtype=np.float64)
    n, freedom = array.size, array.size - 1
    found = detectable(1.0, n, family=family, power=power) * float(array.std(ddof=1))
    low, high = (math.sqrt(freedom / float(special.chdtri(freedom, tail))) for tail in (ALPHA / 2, 1 - ALPHA / 2))
    return Interval(found, found * low, found * high, n, found / math.sqrt(2 * freedom))


def replicates_needed(effect: float, sd: float, *, family: int = 1, power: float = POWER) -> int | None:
    """Fewest replicates that detect the effect with this power; at least those of a verdict, None above 10,000."""
    _check_sd(sd)
    low, high = MIN_REPLICATES, MOST_REPLICATES
    if effect == 0 or detectable(sd, high, family=family, power=power) > abs(effect):
        return None
    while low < high:
        middle = (low + high) // 2
        if detectable(sd, middle, family=family, power=power) <= abs(effect):
            high = middle
        else:
            low = middle + 1
    return low


def equivalence_power(sd: float, n: int, *, sesoi: float, family: int = 1, effect: float = 0.0) -> float:
    """Probability that the 90 % interval, simultaneous over the family, lies inside +-sesoi.

    Source: Phillips 1990, integrated over the distribution of the sample's SD.
    """
    _check_sd(sd)
    freedom, error = n - 1, sd / math.sqrt(n)
    crit = float(special.stdtrit(freedom, 1 - ALPHA / family))
    # Beyond this sample SD (in units of the true one) the interval is wider than the range itself.
    widest = sesoi / (crit * error)
    nodes, weights = leggauss(200)
    largest = min(widest, math.sqrt(float(special.chdtri(freedom, 1e-12)) / freedom))
    s = (nodes + 1) / 2 * largest
    density = 2 * s * freedom * _chi_square_density(freedom * s**2, freedom)
    room = sesoi / error - crit * s
    inside = special.ndtr(room - effect / error) - special.ndtr(-room - effect / error)
    return float((weights * density * inside).sum() * largest / 2)


def reachable(sd: float, n: int, *, sesoi: float, family: int = 1) -> Reachable:
    """What n >= 2 replicates of this SD can say; below the fewest that a verdict needs, nothing."""
    _check_sd(sd)
    check_terms(sesoi=sesoi, family=family)
    verdict = n >= MIN_REPLICATES
    moved = detectable(sd, n, family=family)
    return Reachable(
        n=n,
        half_width=half_width(sd, n, family=family),
        inner_half_width=half_width(sd, n, family=family, level=1 - 2 * ALPHA),
        moved=moved if verdict else None,
        # "More than the SESOI" is "raised" about another mark than 0.
        beyond=sesoi + moved if verdict else None,
        equivalence_power=equivalence_power(sd, n, sesoi=sesoi, family=family) if verdict else 0.0,
    )


def _shift(sd: float, n: int, alpha: float, power: float) -> float:
    """How far the mean must lie from a mark for the interval at level 1 - alpha to lie beyond it with this power."""
    _check_sd(sd)
    crit = float(special.stdtrit(n - 1, 1 - alpha / 2))
    return float(special.nctdtrinc(n - 1, 1 - power, crit)) * sd / math.sqrt(n)


def _chi_square_density(x: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    half = freedom / 2
    density: NDArray[np.float64] = np.exp(special.xlogy(half - 1, x / 2) - x / 2 - special.gammaln(half)) / 2
    return density


def _check_sd(sd: float) -> None:
    if not (math.isfinite(sd) and sd > 0):
        raise ValueError(f"The SD between replicates must be positive and finite, but got {sd}.")
