"""Paired effects over blocks: an interval, an exact test, an equivalence test, one verdict. Pure."""

import math
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy import stats

SESOI: Final = 0.003
"""Smallest effect size of interest, in AUC."""

ALPHA: Final = 0.05

MIN_BLOCKS: Final = 7
"""Fewer blocks make a pilot: the exact sign-flip test cannot fall below 2 / 2^n."""

EXACT_BLOCKS: Final = 16
"""Up to here all 2^n sign flips are enumerated (.4 s at 16)."""

MONTE_CARLO_FLIPS: Final = 9999
"""Standard error of a p of .05: .003."""

MONTE_CARLO_SEED: Final = 0

VERDICTS: Final = ("pilot", "beyond", "unsettled", "below_sesoi", "equivalent", "no_evidence")


@dataclass(frozen=True, slots=True)
class Effect:
    """Mean of treatment - control over blocks, with what the data support. AUC units."""

    estimate: float
    """Mean paired difference."""

    ci_low: float
    """Lower end of the 95 % t interval."""

    ci_high: float
    """Upper end of the 95 % t interval."""

    p_value: float
    """Two-sided sign-flip test."""

    n: int
    """Blocks."""

    equivalent: bool
    """TOST at 5 %: the 90 % t interval lies inside +-sesoi. Computed for pilots too."""

    verdict: str
    """One of `VERDICTS`."""

    sesoi: float = SESOI
    """Smallest effect size of interest the verdict refers to; > 0."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over blocks with its 95 % interval: what exploratory measures get, without a test or a verdict."""

    estimate: float
    ci_low: float
    ci_high: float
    n: int
    """Blocks."""


Arm: TypeAlias = ArrayLike | pa.Table
"""One outcome per block, or the `trials` rows of one cell, whose `test_auc` is taken in order of block."""


def paired_effect(control: Arm, treatment: Arm, *, sesoi: float = SESOI) -> Effect:
    """Effect of the treatment from one value per block and arm.

    Args:
        control: outcome of the control, one finite value per block, length n >= 2; or its `trials` rows.
        treatment: outcome of the treatment in the same blocks, in the same order; or its `trials` rows.
        sesoi: smallest effect size of interest, > 0, in units of the outcome.

    Raises:
        ValueError: arms of unequal length or of other blocks, fewer than two blocks, a value that is not finite, or
            rows of the adaptive `search` stage. (`contrasts.cell_blocks` also checks labels and configurations.)

    Source: t interval and TOST, Schuirmann 1987; sign-flip test, Fisher 1935. Above `EXACT_BLOCKS` blocks the test
    draws `MONTE_CARLO_FLIPS` flips from a generator seeded with `MONTE_CARLO_SEED`.
    """
    arms = _blocks(control=control, treatment=treatment)
    return effect_of(arms["treatment"] - arms["control"], sesoi=sesoi)


def effect_of(values: ArrayLike, *, sesoi: float = SESOI) -> Effect:
    """Effect from one contrast per block: differences, slopes, differences of differences.

    Args:
        values: one finite value per block, length n >= 2.
        sesoi: as in `paired_effect`.

    Raises:
        ValueError: fewer than two blocks, a value that is not finite, or an impossible `sesoi`.
    """
    if not (np.isfinite(sesoi) and sesoi > 0):
        raise ValueError(f"`sesoi` must be positive and finite, but got {sesoi}.")
    contrast = _blocks(values=values)["values"]
    ci95, ci90 = t_interval(contrast), t_interval(contrast, level=0.90)
    equivalent = -sesoi < ci90.ci_low and ci90.ci_high < sesoi
    return Effect(
        estimate=ci95.estimate,
        ci_low=ci95.ci_low,
        ci_high=ci95.ci_high,
        p_value=_sign_flip_p(contrast),
        n=contrast.size,
        equivalent=equivalent,
        verdict=_verdict(ci95.ci_low, ci95.ci_high, n=contrast.size, equivalent=equivalent, sesoi=sesoi),
        sesoi=sesoi,
    )


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Mean of `values` (one per block, n >= 2) with its two-sided t interval.

    Equal values have no spread but that of rounding, so the interval is (almost) the point itself.
    """
    array = np.asarray(values, dtype=np.float64)
    estimate = float(array.mean())
    half = float(stats.t.ppf((1 + level) / 2, array.size - 1)) * float(array.std(ddof=1) / np.sqrt(array.size))
    return Interval(estimate, estimate - half, estimate + half, array.size)


def blocks_needed(primaries: int) -> int:
    """Fewest blocks for a verdict: below, the smallest possible p of the sign-flip test, 2 / 2^n, fails Holm's test.

    Args:
        primaries: contrasts that are adjusted together, >= 1.
    """
    return max(MIN_BLOCKS, math.ceil(math.log2(2 * primaries / ALPHA)))


def with_adjusted_p(effect: Effect, p_adjusted: float, *, needed: int = MIN_BLOCKS) -> Effect:
    """`effect` as a primary one: a difference counts as detected only if the p adjusted for all primaries agrees.

    Args:
        effect: before the adjustment.
        p_adjusted: its p, adjusted.
        needed: from `blocks_needed`; fewer blocks make a pilot.
    """
    if effect.n < needed:
        return replace(effect, verdict="pilot")
    detected = effect.verdict in ("beyond", "unsettled", "below_sesoi")
    return replace(effect, verdict="no_evidence") if detected and p_adjusted > ALPHA else effect


def _blocks(**arms: Arm) -> dict[str, NDArray[np.float64]]:
    """Arms as float arrays of one shape, or an error with the values."""
    tables = {name: _by_block(name, arm) for name, arm in arms.items() if isinstance(arm, pa.Table)}
    if len({tuple(table["block"].to_pylist()) for table in tables.values()}) > 1:
        blocks = {name: table["block"].to_pylist() for name, table in tables.items()}
        raise ValueError(f"Each arm must have the same blocks, but got {blocks}.")
    values = {name: tables[name]["test_auc"].to_numpy() if name in tables else arm for name, arm in arms.items()}
    arrays = {name: np.asarray(arm, dtype=np.float64) for name, arm in values.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(array.ndim != 1 for array in arrays.values()) or len(set(lengths.values())) != 1:
        raise ValueError(f"Each arm must be one value per block and all of one length, but got shapes {lengths}.")
    for name, array in arrays.items():
        if array.size < 2:
            raise ValueError(f"An interval needs at least two blocks, but `{name}` has {array.tolist()}.")
        if not np.isfinite(array).all():
            raise ValueError(f"Every value must be finite, but `{name}` is {array.tolist()}.")
    return arrays


def _by_block(name: str, rows: pa.Table) -> pa.Table:
    """`trials` rows of one cell in order of block, each block once; adaptive rows are refused."""
    if "stage" not in rows.column_names or "search" in rows["stage"].to_pylist():
        raise ValueError(f"No effect is estimated from an adaptive sample, but `{name}` has rows of stage `search`.")
    cells, blocks = set(rows["cell_id"].to_pylist()), rows["block"].to_pylist()
    if len(cells) > 1 or len(set(blocks)) < len(blocks):
        raise ValueError(f"`{name}` must be one cell with each block once, but got {sorted(cells)}, blocks {blocks}.")
    return rows.sort_by("block")


def _verdict(ci_low: float, ci_high: float, *, n: int, equivalent: bool, sesoi: float) -> str:
    """The row of the wording table that the two intervals fall in."""
    if n < MIN_BLOCKS:
        return "pilot"
    if ci_low <= 0 <= ci_high:
        return "equivalent" if equivalent else "no_evidence"
    if ci_low > sesoi or ci_high < -sesoi:
        return "beyond"
    return "below_sesoi" if equivalent else "unsettled"


def _sign_flip_p(differences: NDArray[np.float64]) -> float:
    exact = differences.size <= EXACT_BLOCKS
    test = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        batch=10_000,
        n_resamples=np.inf if exact else MONTE_CARLO_FLIPS,
        rng=np.random.default_rng(MONTE_CARLO_SEED),
    )
    return min(1.0, float(test.pvalue))
