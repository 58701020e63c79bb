"""Effects over replicates or blocks: an interval, a test, an equivalence test, one verdict. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from sweeps.analysis.numbers import ROUNDING
from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK, anytime_p, anytime_t
from sweeps.analysis.stats.intervals.paired_arms import Arm, paired_values, sign_flip_p
from sweeps.analysis.wording import MIN_REPLICATES

SESOI: Final = 0.003
"""Smallest effect size of interest, in AUC."""

ALPHA: Final = 0.05
"""Of a whole family: an effect held together with others gets its share of it."""

MIN_BLOCKS: Final = 7
"""Fewer blocks make a pilot: the exact sign-flip test cannot fall below 2 / 2^n."""

VERDICTS: Final = ("pilot", "beyond", "unsettled", "below_sesoi", "equivalent", "no_evidence")

WEIGHTS_AGREE: Final = 1e-9
"""How far weights may add up to something else than 0."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Mean of a contrast over independent units, with what the data support. In units of the outcome."""

    estimate: float
    """Mean of the contrast."""

    ci_low: float
    """Lower end of the 95 % interval, simultaneous over the family."""

    ci_high: float
    """Upper end of the 95 % interval."""

    p_value: float
    """Two-sided, times the size of the family, at most 1."""

    n: int
    """Independent units."""

    equivalent: bool
    """TOST at 5 %: the 90 % interval, simultaneous over the family, lies inside +-sesoi. Computed for pilots too."""

    verdict: str
    """One of `VERDICTS`."""

    sesoi: float = SESOI
    """Smallest effect size of interest the verdict refers to; > 0."""

    standard_error: float = 0.0
    """Of the estimate."""

    inner_low: float = math.nan
    """Lower end of the 90 % interval that equivalence is judged by; nan where it was not computed."""

    inner_high: float = math.nan
    """Upper end of the 90 % interval."""

    unit: str = "block"
    """What `n` counts: `replicate`, one whole tuning with its confirmation, or `block`, a seed at one tuning."""

    blocks: int = 1
    """Seeds within a replicate."""

    family: int = 1
    """Effects that the interval and p are simultaneous over."""

    anytime: bool = False
    """Whether interval and p hold however often the data were looked at while they grew."""

    tau_squared: float | None = None
    """Variance of the contrast between tunings; None where seeds and tunings cannot be told apart."""

    @property
    def landmarks(self) -> tuple[float, ...]:
        """What the ends of the printed interval must not be confused with."""
        return (0.0, self.sesoi, -self.sesoi)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over independent units with its interval: what exploratory measures get, without a test or a verdict."""

    estimate: float
    ci_low: float
    ci_high: float
    n: int
    """Replicates or blocks."""

    standard_error: float = 0.0

    @property
    def landmarks(self) -> tuple[float, ...]:
        """What the ends of the printed interval must not be confused with."""
        return (0.0,)


def replicated_effect(
    values: ArrayLike, *, weights: ArrayLike, sesoi: float = SESOI, family: int = 1, anytime: bool = False
) -> Effect:
    """Effect over independent replicates, each a whole tuning of every cell with its own confirmation seeds.

    The contrast of replicate r is D_r = sum over cells of weight x mean over its seeds; the effect is the mean of D_r,
    its standard error SD(D) / sqrt(R), with t on R - 1. So the interval holds for whoever tunes and trains again, at
    its nominal rate, whatever the tuner did within a replicate. With a single replicate the blocks are the units: such
    an interval holds at that one tuning only, and the verdict is `pilot` always, as it is below four replicates.

    Args:
        values: outcomes, [replicates, cells, blocks], finite.
        weights: of the cells, [cells], adding up to 0.
        sesoi: smallest effect size of interest, > 0, in units of the outcome.
        family: effects held together, >= 1: interval and p are Bonferroni's.
        anytime: after a look at fewer replicates: the interval that holds at every look from the sixth replicate on.

    Raises:
        ValueError: another shape, a value that is not finite, weights that do not add up to 0, an impossible `sesoi`
            or `family`, one replicate of one block, or fewer than six replicates with `anytime`.

    Source: Bonferroni; TOST, Schuirmann 1987; `anytime`: see `stats.anytime`.
    """
    outcomes, column = _outcomes(values, weights)
    check_terms(sesoi=sesoi, family=family)
    replicates, _, blocks = outcomes.shape
    if anytime and replicates < FIRST_LOOK:
        raise ValueError(f"There are not enough replicates to look twice: {replicates} of at least {FIRST_LOOK}.")
    per_block = (column[:, None] * outcomes).sum(axis=1)  # [replicates, blocks]
    single = replicates == 1
    units = per_block[0] if single else per_block.mean(axis=1)
    if units.size < 2:
        raise ValueError(f"An interval needs at least two replicates or blocks, but got shape {outcomes.shape}.")
    estimate, error, n = float(units.mean()), float(units.std(ddof=1) / math.sqrt(units.size)), units.size
    outer = _quantile(n, ALPHA / family, anytime) * error
    inner = _quantile(n, 2 * ALPHA / family, anytime) * error
    return judged(
        Interval(estimate, estimate - outer, estimate + outer, n, error),
        Interval(estimate, estimate - inner, estimate + inner, n, error),
        p_value=min(1.0, family * _t_test_p(estimate, error, n, anytime)),
        pilot=replicates < MIN_REPLICATES,
        sesoi=sesoi,
        unit="block" if single else "replicate",
        blocks=blocks,
        family=family,
        anytime=anytime,
        tau_squared=None if single or blocks == 1 else _tau_squared(per_block),
    )


def paired_effect(control: Arm, treatment: Arm, *, sesoi: float = SESOI, family: int = 1) -> Effect:
    """Effect of the treatment from one value per block and arm.

    Args:
        control: outcome of the control, one finite value per block, length n >= 2; or its `trials` rows.
        treatment: outcome of the treatment in the same blocks, in the same order; or its `trials` rows.
        sesoi: smallest effect size of interest, > 0, in units of the outcome.
        family: effects held together, >= 1: interval and p are Bonferroni's.

    Raises:
        ValueError: arms of unequal length or of other blocks, fewer than two blocks, a value that is not finite, rows
            of the adaptive `search` stage, or an impossible `sesoi` or `family`. (`contrasts.cell_blocks` also checks
            labels and configurations.)

    Source: t interval and TOST, Schuirmann 1987; sign-flip test, Fisher 1935. Above `EXACT_BLOCKS` blocks the test
    draws `MONTE_CARLO_FLIPS` flips from a generator seeded with `MONTE_CARLO_SEED`.
    """
    arms = paired_values(control=control, treatment=treatment)
    check_terms(sesoi=sesoi, family=family)
    contrast = arms["treatment"] - arms["control"]
    return judged(
        t_interval(contrast, level=1 - ALPHA / family),
        t_interval(contrast, level=1 - 2 * ALPHA / family),
        p_value=min(1.0, family * sign_flip_p(contrast)),
        pilot=contrast.size < MIN_BLOCKS,
        sesoi=sesoi,
        family=family,
    )


def t_interval(values: ArrayLike, *, level: float = 1 - ALPHA, anytime: bool = False) -> Interval:
    """Mean of `values` (one per independent unit, n >= 2) with its two-sided t interval; `anytime`: of every look.

    Equal values have no spread but that of rounding, so the interval is (almost) the point itself.
    """
    array = np.asarray(values, dtype=np.float64)
    estimate, error = float(array.mean()), float(array.std(ddof=1) / math.sqrt(array.size))
    half = _quantile(array.size, 1 - level, anytime) * error if error else 0.0
    return Interval(estimate, estimate - half, estimate + half, array.size, error)


def probability_of_superiority(values: ArrayLike) -> Interval:
    """Share of units in which the treatment came out above the control, with its 95 % interval: P(A > B).

    Args:
        values: contrast of each independent unit, length n >= 1, finite; a tie counts as half.
    """
    array = np.asarray(values, dtype=np.float64)
    return share_of(float(np.sum((array > 0) + 0.5 * (array == 0))), array.size)


def share_of(count: float, n: int) -> Interval:
    """Share of n >= 1 independent units with its 95 % interval.

    Source: Wilson 1927.
    """
    share, z = count / n, float(special.ndtri(1 - ALPHA / 2))
    centre, half = (share + z**2 / (2 * n)), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    # Wilson's ends imply an error that is not zero even where every unit points one way.
    return Interval(share, max(0.0, low), min(1.0, high), n, (high - low) / (2 * z))


def check_terms(*, sesoi: float, family: int = 1) -> None:
    """Refuse what no verdict can refer to.

    Raises:
        ValueError: a `sesoi` that is not positive and finite, or a family of less than one.
    """
    if not (math.isfinite(sesoi) and sesoi > 0):
        raise ValueError(f"`sesoi` must be positive and finite, but got {sesoi}.")
    if family < 1:
        raise ValueError(f"`family` must be at least 1, but got {family}.")


def _outcomes(values: ArrayLike, weights: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outcomes [replicates, cells, blocks] and weights [cells], or an error with the values."""
    outcomes, column = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if outcomes.ndim != 3 or column.shape != outcomes.shape[1:2]:
        raise ValueError(
            f"Outcomes must be [replicates, cells, blocks] with one weight per cell, but got shapes {outcomes.shape} "
            f"and {column.shape}."
        )
    if not (np.isfinite(column).all() and abs(math.fsum(column)) <= WEIGHTS_AGREE and column.any()):
        raise ValueError(f"Weights must be finite, add up to 0 and not all be 0, but got {column.tolist()}.")
    if not np.isfinite(outcomes).all():
        raise ValueError(f"Every value must be finite, but got {outcomes.tolist()}.")
    return outcomes, column


def _quantile(n: int, alpha: float, anytime: bool = False) -> float:
    """Standard errors from the mean of n units to either end of its interval at level 1 - alpha."""
    return anytime_t(n, alpha) if anytime else float(special.stdtrit(n - 1, 1 - alpha / 2))


def _t_test_p(estimate: float, error: float, n: int, anytime: bool) -> float:
    """Two-sided p of the t test that goes with the interval; without any spread 0, or 1 where nothing differs."""
    t = abs(estimate) / error if error else math.inf if estimate else 0.0
    return anytime_p(t, n) if anytime else 2 * float(special.stdtr(n - 1, -t))


def _tau_squared(per_block: NDArray[np.float64]) -> float:
    """Variance of the contrast between replicates that their seeds do not account for, from [replicates, blocks]."""
    between, within = per_block.mean(axis=1).var(ddof=1), per_block.var(axis=1, ddof=1).mean()
    return max(0.0, float(between - within / per_block.shape[1]))


def judged(
    outer: Interval, inner: Interval, *, p_value: float, pilot: bool, sesoi: float, **known: str | float | None
) -> Effect:
    """The effect with the row of the wording table that its 95 % and 90 % intervals fall in.

    An end that differs from 0 or the SESOI by rounding alone lies at it, and claims nothing.

    Args:
        outer: the 95 % interval, simultaneous over the family.
        inner: the 90 % interval, simultaneous likewise, about the same estimate.
        p_value: two-sided, times the size of the family, at most 1.
        pilot: whether there are too few units for a verdict.
        sesoi: smallest effect size of interest, > 0.
        known: other fields of `Effect`.
    """
    room = sesoi - ROUNDING
    equivalent = -room < inner.ci_low and inner.ci_high < room
    if pilot:
        verdict = "pilot"
    elif outer.ci_low <= ROUNDING and outer.ci_high >= -ROUNDING:
        verdict = "equivalent" if equivalent else "no_evidence"
    elif outer.ci_low > sesoi + ROUNDING or outer.ci_high < -sesoi - ROUNDING:
        verdict = "beyond"
    else:
        verdict = "below_sesoi" if equivalent else "unsettled"
    return Effect(
        estimate=outer.estimate,
        ci_low=outer.ci_low,
        ci_high=outer.ci_high,
        p_value=p_value,
        n=outer.n,
        equivalent=equivalent,
        verdict=verdict,
        sesoi=sesoi,
        standard_error=outer.standard_error,
        inner_low=inner.ci_low,
        inner_high=inner.ci_high,
        **known,  # type: ignore[arg-type]
    )
