"""The plain answer of a sweep: a few sentences that join its primaries."""

from collections.abc import Sequence
from typing import Final

from sweeps.analysis.numbers import decimals_for, number, sesoi_text
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.intervals.effects import Effect
from sweeps.analysis.wording import AN_EFFECT, NEEDED, capital, sentence

MOVED: Final = ("beyond", "unsettled", "below_sesoi")
"""Verdicts on a difference that is there, so that its direction is told."""


def plain_answer(primary: Sequence[Finding]) -> list[str]:
    """A sentence per verdict, outcome and direction, in the order of the primaries; none without an effect.

    One contrast is told with its interval; several at once without, as the table has them.
    """
    groups: dict[tuple[str, str, bool], list[tuple[Finding, Effect]]] = {}
    for one in primary:
        if one.effect is not None:
            lowered = one.effect.verdict in MOVED and one.effect.estimate < 0
            key = (one.effect.verdict, one.contrast.outcome_text, lowered)
            groups.setdefault(key, []).append((one, one.effect))
    return [_told(own) for own in groups.values()]


def _told(own: Sequence[tuple[Finding, Effect]]) -> str:
    (first, effect), outcome = own[0], own[0][0].contrast.outcome_text
    if len(own) == 1:
        return sentence(effect, what=first.contrast.label, outcome=outcome, context="")
    names = [one.contrast.label.removesuffix(",") for one, _ in own]
    matters = sesoi_text(effect.sesoi)
    match effect.verdict:
        case "pilot":
            return f"Pilot, no verdict on {joined(names, 'or')}: a verdict needs {NEEDED}."
        case "equivalent":
            text = joined(names, "nor")
            which = "neither " if len(names) == 2 else "none of "
            text = text if len(names) == 2 else joined(names, "and")
            return f"{capital(which)}{text} makes a difference to {outcome} that matters (±{matters})."
        case "no_evidence":
            return f"The data do not settle whether {joined(names, 'or')} changes {outcome}."
    moved = f"{capital(joined(names, 'and'))} {_verb(effect, outcome)} {outcome} by {joined(_sizes(own), 'and')}"
    match effect.verdict:
        case "beyond":
            return f"{moved}: each more than the {matters} that matters."
        case "unsettled":
            return f"{moved}; whether that is enough to matter ({matters}) is open."
    return f"{moved}, too little to matter (±{matters})."


def _verb(effect: Effect, outcome: str) -> str:
    if AN_EFFECT in outcome:
        return "changed"
    return "lowered" if effect.estimate < 0 else "raised"


def _sizes(own: Sequence[tuple[Finding, Effect]]) -> list[str]:
    """Without a sign where the verb has it."""
    return [
        number(effect.estimate, decimals=decimals_for(effect), signed=True)
        if AN_EFFECT in one.contrast.outcome_text
        else number(abs(effect.estimate), decimals=decimals_for(effect))
        for one, effect in own
    ]


def joined(names: Sequence[str], word: str) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last
