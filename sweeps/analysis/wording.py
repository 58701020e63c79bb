"""Effects as sentences: generated from the verdict, never typed, and never "no effect"."""

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.stats.effects import ALPHA, MIN_BLOCKS, Effect, Interval


def number(value: float, *, decimals: int = 3, signed: bool = False) -> str:
    """`value` without a leading zero: .021, -.004, +.002, 1.500.

    Args:
        value: finite.
        decimals: digits after the point, >= 1.
        signed: put + before a positive value.
    """
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    head, _, tail = text.partition(".")
    return f"{head.removesuffix('0')}.{tail}" if head.lstrip("+-") == "0" else text


def decimals_for(effect: Effect | Interval) -> int:
    """Digits that keep every non-zero number of the effect from reading as zero: 3, at most 6."""
    sizes = [abs(x) for x in (effect.estimate, effect.ci_low, effect.ci_high) if x != 0]
    smallest = min(sizes, default=1.0)
    return next((d for d in range(3, 6) if smallest >= 0.5 * 10**-d), 6)


def p_text(p_value: float) -> str:
    """A p-value with three digits: `.125`, `<.001`."""
    return "<.001" if p_value < 0.001 else number(p_value)


def interval(effect: Effect | Interval) -> str:
    """Estimate and signed 95 % interval: `-.004 [-.011, +.002]`."""
    decimals = decimals_for(effect)
    estimate, low, high = (
        number(x, decimals=decimals, signed=True) for x in (effect.estimate, effect.ci_low, effect.ci_high)
    )
    return f"{estimate} [{low}, {high}]"


def sentence(
    effect: Effect,
    *,
    what: str,
    outcome: str,
    unit_note: str,
    needed: int = MIN_BLOCKS,
    p_holm: float | None = None,
) -> str:
    """What the data support, in one sentence.

    Args:
        effect: the contrast.
        what: the treatment, as the sentence's subject: `KoLeo (weight .1)`, `each doubling of accumulation steps`.
        outcome: what was measured: `AUC`; of an interaction what was changed: `KoLeo's effect on AUC`.
        unit_note: what a block is and how the arms were chosen: `digits, drop-in`; may be empty.
        needed: blocks for a verdict, which a pilot names.
        p_holm: p adjusted for the other primaries; None where nothing is adjusted.
    """
    context = f"({effect.n} blocks{', ' if unit_note else ''}{unit_note})"
    sesoi = sesoi_text(effect.sesoi)
    moved = f"{_capital(what)} {_moved(effect, outcome)} {context}"
    decimals = decimals_for(effect)
    low, high = (number(x, decimals=decimals, signed=True) for x in (effect.ci_low, effect.ci_high))
    match effect.verdict:
        case "pilot":
            with_it = what.removesuffix(",")
            return (
                f"Pilot, no verdict: with {with_it}, {outcome} differed by {interval(effect)} {context}; "
                f"a verdict needs at least {needed} blocks."
            )
        case "beyond":
            return f"{moved}, more than the SESOI ({sesoi})."
        case "unsettled":
            return f"{moved}; whether that matters is not settled (SESOI {sesoi})."
        case "below_sesoi":
            return f"{moved}: a difference was detected but is smaller than the SESOI ({sesoi})."
        case "equivalent":
            return (
                f"{_capital(what)} left {outcome} equivalent within ±{sesoi} (the SESOI): {interval(effect)} {context}."
            )
        case "no_evidence":
            return (
                f"No evidence that {what} changes {outcome}: {interval(effect)} {context}; "
                f"the data are compatible with {low} to {high}{_why_none(effect, p_holm)}."
            )
    raise ValueError(f"Unknown verdict `{effect.verdict}`.")


def control_sentence(values: NDArray[np.float64], *, sesoi: float, what: str, outcome: str, unit_note: str) -> str:
    """How far cells differ that in truth are equal: what rounding alone does.

    Args:
        values: difference per block, length n >= 2.
        sesoi: what to hold it against.
        what: the two cells.
        outcome: what was measured: `AUC`.
        unit_note: as in `sentence`.
    """
    # About zero, which is the truth: a deviation about the mean would hide a bias.
    deviation, largest = float(np.sqrt(np.mean(np.square(values)))), float(np.abs(values).max())
    digits = next((d for d in range(3, 6) if min(x for x in (deviation, largest, 1.0) if x > 0) >= 0.5 * 10**-d), 6)
    return (
        f"A/A control, {what}: {outcome} differed by at most {number(largest, decimals=digits)} in a block "
        f"(root mean square {number(deviation, decimals=digits)}; {values.size} blocks"
        f"{', ' if unit_note else ''}{unit_note}), "
        f"beside a SESOI of {sesoi_text(sesoi)}."
    )


def sesoi_text(sesoi: float) -> str:
    """The SESOI with as many digits as it has, at least three."""
    decimals = next((d for d in range(3, 7) if abs(round(sesoi, d) - sesoi) < 1e-12), 6)
    return number(sesoi, decimals=decimals)


def _why_none(effect: Effect, p_holm: float | None) -> str:
    """Why an interval without 0 is no evidence: the test says otherwise, by itself or beside the other primaries."""
    if effect.ci_low <= 0 <= effect.ci_high:
        return ""
    if p_holm is None or effect.p_value > ALPHA:
        return f", which excludes 0, but the sign-flip test gives p = {p_text(effect.p_value)}"
    return f", which excludes 0, but with the other primary contrasts allowed for p is {p_text(p_holm)} (Holm)"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _moved(effect: Effect, outcome: str) -> str:
    """`lowered AUC by .021 [.013, .028]`: sizes, since the verb carries the sign."""
    decimals = decimals_for(effect)
    lowered = effect.estimate < 0
    ends = (-effect.ci_high, -effect.ci_low) if lowered else (effect.ci_low, effect.ci_high)
    low, high = (number(x, decimals=decimals) for x in ends)
    size = number(abs(effect.estimate), decimals=decimals)
    return f"{'lowered' if lowered else 'raised'} {outcome} by {size} [{low}, {high}]"
