"""Two groups of runs that nothing pairs: the difference of their means, after Welch, and its verdict. Pure."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from sweeps.analysis.stats.intervals.effects import (
    ALPHA,
    MIN_BLOCKS,
    SESOI,
    Effect,
    Interval,
    check_terms,
    judged,
    t_interval,
)


def welch(first: Interval, second: Interval, *, level: float = 1 - ALPHA) -> Interval:
    """Second minus first of two independent means with t intervals; `n` is the smaller number of units.

    Args:
        first: a mean of at least two units, with its standard error.
        second: likewise.
        level: of the interval.

    Source: Welch 1947, degrees of freedom after Satterthwaite.
    """
    estimate, error, freedom = _difference(first, second)
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error if error else 0.0
    return Interval(estimate, estimate - half, estimate + half, min(first.n, second.n), error)


def independent_effect(
    control: ArrayLike, treatment: ArrayLike, *, sesoi: float = SESOI, family: int = 1, least: int = MIN_BLOCKS
) -> Effect:
    """Effect of the treatment from independent runs with and without it.

    Args:
        control: an outcome per run, finite, length >= 2.
        treatment: likewise, of any other length >= 2.
        sesoi: smallest effect size of interest, > 0, in units of the outcome.
        family: effects held together, >= 1: interval and p are Bonferroni's.
        least: runs on either side below which there is only a pilot.

    Raises:
        ValueError: fewer than two runs on a side, a value that is not finite, or an impossible `sesoi` or `family`.

    Source: Welch 1947; TOST, Schuirmann 1987; Bonferroni.
    """
    check_terms(sesoi=sesoi, family=family)
    sides = [np.asarray(side, dtype=np.float64) for side in (control, treatment)]
    for name, side in zip(("control", "treatment"), sides, strict=True):
        if side.ndim != 1 or side.size < 2 or not np.isfinite(side).all():
            raise ValueError(f"Each group must be two finite values or more, but `{name}` is {side.tolist()}.")
    first, second = (t_interval(side) for side in sides)
    estimate, error, freedom = _difference(first, second)
    t = abs(estimate) / error if error else math.inf if estimate else 0.0
    return judged(
        welch(first, second, level=1 - ALPHA / family),
        welch(first, second, level=1 - 2 * ALPHA / family),
        p_value=min(1.0, family * 2 * float(special.stdtr(freedom, -t))),
        pilot=min(first.n, second.n) < least,
        sesoi=sesoi,
        family=family,
    )


def _difference(first: Interval, second: Interval) -> tuple[float, float, float]:
    """Second minus first, its standard error, and the degrees of freedom of that error."""
    errors = [one.standard_error for one in (first, second)]
    error = math.hypot(*errors)
    estimate, least = second.estimate - first.estimate, min(first.n, second.n) - 1.0
    if not error:
        return estimate, 0.0, least
    shares = [(one / error) ** 2 for one in errors]
    return (
        estimate,
        error,
        1 / sum(share**2 / (side.n - 1) for share, side in zip(shares, (first, second), strict=True)),
    )
