"""Effects as sentences: generated from the verdict, never typed, and never "no effect"."""

import math
import re
from collections.abc import Callable
from typing import Final, Protocol

from numpy.typing import ArrayLike

from embedding_core.wording import plural
from sweeps.analysis.numbers import (
    DISTINCT_DECIMALS,
    MOST_DECIMALS,
    ROUNDING,
    Estimated,
    decimals_for,
    interval,
    noise_texts,
    number,
    sesoi_text,
    vanishes,
)

MIN_REPLICATES: Final = 4
"""Independent replicates that a verdict needs, and that the sentence of a pilot names."""

STUDY: Final = "optuna:"
"""Begins the name of an Optuna study where a folder of a sweep could stand."""

LOOKED: Final = "interval valid at every look"
"""Stands in the brackets of a sentence whose interval is an anytime-valid one."""

ANYTIME_NOTE: Final = (
    "Replicates were added after results could be read. The intervals hold all the same, however often one looks "
    "(anytime-valid), which makes them 1.6 to 1.9 times as wide as those of a sweep that is read once."
)

AN_EFFECT: Final = " effect on "
"""An outcome with these words is itself an effect. "Raised" would be ambiguous of one that may be negative."""


class Judged(Estimated, Protocol):
    """An estimate over replicates or blocks, and the verdict that it supports."""

    @property
    def verdict(self) -> str:
        """`pilot`, `beyond`, `unsettled`, `below_sesoi`, `equivalent` or `no_evidence`."""

    @property
    def sesoi(self) -> float:
        """Smallest effect size of interest, > 0."""

    @property
    def inner_low(self) -> float:
        """Lower end of the 90 % interval; may be nan."""

    @property
    def inner_high(self) -> float:
        """Upper end of the 90 % interval; may be nan."""

    @property
    def anytime(self) -> bool:
        """Whether the interval holds at every look."""


NEEDED: Final = f"at least {MIN_REPLICATES} independent replicates"
"""What a verdict on a sweep needs, as the sentence of a pilot says."""


def sentence(effect: Judged, *, what: str, outcome: str, context: str, needed: str = NEEDED) -> str:
    """What the data support, in one sentence.

    Args:
        effect: the contrast.
        what: the treatment, in the singular, as the sentence's subject: `KoLeo`, `accumulation (K=4 against 1) with
            KoLeo`.
        outcome: what was measured: `AUC`; of an interaction what was changed: `KoLeo's effect on AUC`.
        context: what it rests on, without brackets: `6 tunings x 2 seeds, CIFAR-10, fixed triplets`; empty where that
            stands elsewhere.
        needed: what a pilot lacks for a verdict, as `a verdict needs ...` goes on.
    """
    brackets = "; ".join(part for part in (context, LOOKED * effect.anytime) if part)
    within = f" ({brackets})" if brackets else ""
    matters = sesoi_text(effect.sesoi)
    match effect.verdict:
        case "pilot":
            return (
                f"Pilot, no verdict on whether {what} changes {outcome}: {interval(effect)}{within}; a verdict needs "
                f"{needed}."
            )
        case "beyond":
            return f"{capital(what)} {_moved(effect, outcome)}{within}: more than the {matters} that matters."
        case "unsettled":
            moved = _moved(effect, outcome)
            return f"{capital(what)} {moved}{within}; whether that is enough to matter ({matters}) is open."
        case "below_sesoi":
            return (
                f"{capital(what)} changed {outcome} by {_little(effect)}{within}, too little to matter{_why(effect)}."
            )
        case "equivalent":
            inside = " lies within" if _inside(effect) else f", with the 90 % interval{_inner(effect)} within"
            return (
                f"{capital(what)} makes no difference that matters to {outcome}: {interval(effect)}{inside} ±{matters}"
                f"{within}."
            )
        case "no_evidence":
            decimals = decimals_for(effect)
            low, high = (number(x, decimals=decimals, signed=True) for x in (effect.ci_low, effect.ci_high))
            return (
                f"The data do not settle whether {what} changes {outcome}: anything between {low} and {high} fits them"
                f"{within}."
            )
    raise ValueError(f"Unknown verdict `{effect.verdict}`.")


def withdrawal(effect: Judged, failed: int) -> str:
    """Why no equivalence is claimed of an interval that is small enough: a sentence after that of the effect."""
    runs = plural(failed, "run")
    return (
        f"The 90 % interval lies within ±{sesoi_text(effect.sesoi)}, but {runs} failed, and without the seeds of those "
        "it does not: failing alike is no equivalence."
    )


def control_sentence(values: ArrayLike, *, sesoi: float, what: str, outcome: str, context: str) -> str:
    """How far cells differ that in truth are equal: what rounding alone does.

    Args:
        values: differences of paired runs, any shape, finite.
        sesoi: what to hold them against.
        what: the two cells.
        outcome: what was measured: `AUC`.
        context: as in `sentence`.
    """
    deviation, largest = noise_texts(values)
    return (
        f"A/A control, {what}, which compute the same: {outcome} differed by at most "
        f"{largest} (root mean square {deviation}; {context}), where {sesoi_text(sesoi)} would matter."
    )


CELL: Final = re.compile(r"[a-z_]+=(?:[./]?[\w+-]+)+(?:,[a-z_]+=(?:[./]?[\w+-]+)+)*")
"""A cell_id: its levels, without spaces."""


def cell_name(text: str) -> str:
    """A cell_id as people say it, `KoLeo (other-class), K=4`; any other text as it is."""
    if not CELL.fullmatch(text):
        return text
    levels = dict(part.split("=", 1) for part in text.split(","))
    same_class = levels.pop("koleo_exclude_same_class", None)
    whom = {"on": " (other-class)", "off": " (any)"}.get(same_class or "", "")
    short: dict[str, Callable[[str], str]] = {
        "koleo": lambda level: f"KoLeo{whom}" if level == "on" else f"KoLeo {level}",
        "koleo_weight": "weight {}".format,
        "accum_steps": "K={}".format,
        "batch_size": "B={}".format,
        "accum_mode": str,
    }
    order = sorted(levels, key=lambda name: (name != "koleo", name in ("accum_steps", "accum_mode")))
    return ", ".join(short.get(name, f"{name.replace('_', ' ')} {{}}".format)(levels[name]) for name in order)


def capital(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _moved(effect: Judged, outcome: str) -> str:
    """`lowered AUC by .021 [.013, .028]`: sizes, since the verb carries the sign; an effect is changed, with sign."""
    if AN_EFFECT in outcome:
        return f"changed {outcome} by {interval(effect)}"
    decimals = decimals_for(effect)
    lowered = effect.estimate < 0
    sizes = (-effect.ci_high, -effect.ci_low) if lowered else (effect.ci_low, effect.ci_high)
    low, high = (number(x, decimals=decimals) for x in sizes)
    size = number(abs(effect.estimate), decimals=decimals)
    return f"{'lowered' if lowered else 'raised'} {outcome} by {size} [{low}, {high}]"


def _little(effect: Judged) -> str:
    """The size of a difference that is not zero, whatever digits it has."""
    return f"less than {number(10**-MOST_DECIMALS, decimals=MOST_DECIMALS)}" if vanishes(effect) else interval(effect)


def _why(effect: Judged) -> str:
    """Which interval is small enough, if not plainly the one that was printed."""
    matters = sesoi_text(effect.sesoi)
    if vanishes(effect):
        return ""
    return f" (within ±{matters})" if _inside(effect) else f" (the 90 % interval{_inner(effect)} within ±{matters})"


def _inside(effect: Judged) -> bool:
    room = effect.sesoi - ROUNDING
    return -room < effect.ci_low and effect.ci_high < room


def _inner(effect: Judged) -> str:
    """`, -.0015 to +.0027,`: what equivalence was judged by, with digits that keep it inside; empty if not known."""
    ends = (effect.inner_low, effect.inner_high)
    if any(math.isnan(end) for end in ends):
        return ""
    for decimals in range(decimals_for(effect), DISTINCT_DECIMALS + 1):
        low, high = (number(end, decimals=decimals, signed=True) for end in ends)
        if -effect.sesoi <= float(low) and float(high) <= effect.sesoi:
            break
    return f", {low} to {high},"
