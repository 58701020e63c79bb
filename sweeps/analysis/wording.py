"""Effects as sentences: generated from the verdict, never typed, and never "no effect"."""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.numbers import Estimated, decimals_for, decimals_of, ends, interval, number, p_text, sesoi_text


MIN_REPLICATES: Final = 4
"""Independent replicates that a verdict needs, and that the sentence of a pilot names."""


class Judged(Estimated, Protocol):
    """An estimate over blocks, and the verdict that it supports."""

    @property
    def verdict(self) -> str:
        """`pilot`, `beyond`, `unsettled`, `below_sesoi`, `equivalent` or `no_evidence`."""

    @property
    def p_value(self) -> float:
        """Two-sided, of the sign-flip test."""

    @property
    def sesoi(self) -> float:
        """Smallest effect size of interest, > 0."""

    @property
    def n(self) -> int:
        """Blocks."""


def sentence(
    effect: Judged,
    *,
    what: str,
    outcome: str,
    unit_note: str,
    needed: int,
    alpha: float,
    p_holm: float | None = None,
) -> str:
    """What the data support, in one sentence.

    Args:
        effect: the contrast.
        what: the treatment, as the sentence's subject: `KoLeo (weight .1)`, `each doubling of accumulation steps`.
        outcome: what was measured: `AUC`; of an interaction what was changed: `KoLeo's effect on AUC`.
        unit_note: what a block is and how the arms were chosen: `digits, drop-in`; may be empty.
        needed: blocks for a verdict, which a pilot names.
        alpha: level of the test.
        p_holm: p adjusted for the other primaries; None where nothing is adjusted.
    """
    context = f"({effect.n} blocks{', ' if unit_note else ''}{unit_note})"
    sesoi = sesoi_text(effect.sesoi)
    moved = f"{capital(what)} {_moved(effect, outcome)} {context}"
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
                f"{capital(what)} left {outcome} equivalent within ±{sesoi} (the SESOI): {interval(effect)} {context}."
            )
        case "no_evidence":
            return (
                f"No evidence that {what} changes {outcome}: {interval(effect)} {context}; "
                f"the data are compatible with {ends(effect)}{_why_none(effect, alpha, p_holm)}."
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
    digits = decimals_of(deviation, largest)
    return (
        f"A/A control, {what}: {outcome} differed by at most {number(largest, decimals=digits)} in a block "
        f"(root mean square {number(deviation, decimals=digits)}; {values.size} blocks"
        f"{', ' if unit_note else ''}{unit_note}), "
        f"beside a SESOI of {sesoi_text(sesoi)}."
    )


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _why_none(effect: Judged, alpha: float, p_holm: float | None) -> str:
    """Why an interval without 0 is no evidence: the test says otherwise, by itself or beside the other primaries."""
    if effect.ci_low <= 0 <= effect.ci_high:
        return ""
    if p_holm is None or effect.p_value > alpha:
        return f", which excludes 0, but the sign-flip test gives p = {p_text(effect.p_value)}"
    return f", which excludes 0, but with the other primary contrasts allowed for p is {p_text(p_holm)} (Holm)"


def _moved(effect: Estimated, outcome: str) -> str:
    """`lowered AUC by .021 [.013, .028]`: sizes, since the verb carries the sign."""
    decimals = decimals_for(effect)
    lowered = effect.estimate < 0
    sizes = (-effect.ci_high, -effect.ci_low) if lowered else (effect.ci_low, effect.ci_high)
    low, high = (number(x, decimals=decimals) for x in sizes)
    size = number(abs(effect.estimate), decimals=decimals)
    return f"{'lowered' if lowered else 'raised'} {outcome} by {size} [{low}, {high}]"
