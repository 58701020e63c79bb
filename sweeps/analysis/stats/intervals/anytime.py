"""A t interval that holds at every look while replicates come in. Pure.

The e-value against a mean mu0 is the Bayes factor of a normal prior with variance g on the standardised effect and the
right Haar prior on the scale: its running product has expectation 1 under mu0 whatever the variance, so that it exceeds
1 / alpha at any time with probability alpha at most (Ville 1939). With n units and t about mu0 on nu = n - 1 it is

    (1 + n g)^(-1/2) [(1 + t^2 / nu) / (1 + t^2 / (nu (1 + n g)))]^((nu + 1) / 2)

and the interval is every mu0 that it does not reject. Source: Gonen et al. 2005 for the factor; Lai 1976, Perez-Ortiz,
Lardy, de Heide & Grunwald 2024 for its validity at any time.
"""

import math
from typing import Final

FIRST_LOOK: Final = 6
"""Replicates below which such an interval would tell next to nothing (at three it is infinite)."""

PRIOR_VARIANCE: Final = 8.0
"""g: narrowest for effects of some two to four SD of a replicate, those that so few replicates can tell."""

LARGEST_EXPONENT: Final = 700.0


def e_value(t: float, n: int) -> float:
    """Evidence against the mean that `t` is about, from n >= 2 units; >= 1 / alpha rejects it at level alpha."""
    freedom, shrink = n - 1, 1 + n * PRIOR_VARIANCE
    u = t**2 / freedom
    grown = math.log(shrink) if math.isinf(u) else math.log1p(u) - math.log1p(u / shrink)
    # In logarithms, capped: the ratio to the power of n / 2 overflows from some hundred units on.
    return math.exp(min(LARGEST_EXPONENT, (n * grown - math.log(shrink)) / 2))


def anytime_p(t: float, n: int) -> float:
    """p that may be looked at after every unit: 1 / e, at most 1."""
    return min(1.0, 1 / e_value(t, n))


def anytime_t(n: int, alpha: float) -> float:
    """Standard errors from the mean of n >= 2 units to either end of the interval; infinite where nothing is rejected.

    Args:
        n: units.
        alpha: one minus the level, over the size of the family.
    """
    freedom, shrink = n - 1, 1 + n * PRIOR_VARIANCE
    ratio = (math.sqrt(shrink) / alpha) ** (2 / n)
    return math.sqrt(freedom * (ratio - 1) / (1 - ratio / shrink)) if ratio < shrink else math.inf
