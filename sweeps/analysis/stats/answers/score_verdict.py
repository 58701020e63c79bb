"""A group of scores against a control, in the words of a report. Pure."""

from dataclasses import dataclass
from typing import Final

from embedding_core.errors import Faults
from sweeps.analysis.numbers import ROUNDING
from sweeps.analysis.stats.answers.score_groups import (
    Matched,
    ScoreGroup,
    Terms,
    effect_of,
    key_texts,
    match_faults,
    matched,
)
from sweeps.analysis.stats.intervals.effects import Effect
from sweeps.analysis.wording import sentence

AT_THE_SETTINGS: Final = "at the settings compared"
"""What a verdict on given runs is conditional on: tuned anew, either side might well do better."""

MATTERS: Final = {"beyond": True, "below_sesoi": False, "equivalent": False}
"""Verdict -> whether there is a difference that matters; every other one leaves that open."""

DIRECTED: Final = ("beyond", "unsettled", "below_sesoi")
"""Verdicts on an interval that excludes zero."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The treatment against the control, with what the scores support."""

    found: Matched
    terms: Terms
    effect: Effect
    needed: str
    """What a pilot lacks for a verdict."""

    @property
    def matters(self) -> bool | None:
        """Whether there is a difference that matters; None: open, or a pilot."""
        return MATTERS.get(self.effect.verdict)

    @property
    def direction(self) -> str | None:
        """`raised` or `lowered`; None where the interval does not tell."""
        if self.effect.verdict not in DIRECTED:
            return None
        return "raised" if self.effect.estimate > 0 else "lowered"

    @property
    def better(self) -> bool | None:
        """Whether the treatment came out better; None where no direction is claimed."""
        return None if self.direction is None else (self.direction == "lowered") == self.terms.lower_is_better

    @property
    def method(self) -> str:
        """`paired by seed`, or `Welch`."""
        return f"paired by {self.terms.pair_by}" if self.found.paired else "Welch"

    @property
    def conditional_on(self) -> str:
        """`8 pairs by seed, at the settings compared`: what the verdict rests on and holds for."""
        return f"{self._counted()}, {AT_THE_SETTINGS}"

    @property
    def sentence(self) -> str:
        """The verdict, as a report would say it."""
        family = self.terms.family
        together = f"; simultaneous over {family} comparisons" if family > 1 else ""
        return sentence(
            self.effect,
            what=f"`{self.found.treatment.name}`",
            outcome=self.terms.outcome,
            context=f"against `{self.found.control.name}`; {self.conditional_on}{together}",
            needed=self.needed,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on which way is better, on runs that were left out, and on differences without any spread."""
        notes = []
        names = (self.found.control.name, self.found.treatment.name)
        if self.terms.lower_is_better and self.better is not None and self.matters is not False:
            notes.append(f"Lower is better: `{names[self.better]}` is the better one.")
        alone = [(name, keys) for name, keys in zip(names, self.found.alone, strict=True) if keys]
        if alone:
            count = sum(len(keys) for _, keys in alone)
            which = "; ".join(f"{self.terms.pair_by} {key_texts(keys)} of `{name}`" for name, keys in alone)
            notes.append(f"Left out for want of a partner: {count} ({which}).")
        if self.effect.standard_error <= ROUNDING and self.effect.verdict != "pilot":
            notes.append("All pairs differ by the same, so that the interval is a point.")
        return tuple(notes)

    def _counted(self) -> str:
        """`8 pairs by seed`; `independent, 9 runs against 8 runs`; `6 pairs of tunings x 2 seeds by seed`."""
        control, treatment = self.found.control.units, self.found.treatment.units
        n, m = (side.size for side in self.found.scores)
        if not self.found.paired:
            return f"independent, {m} {treatment} against {n} {control}"
        if control != treatment:
            return f"{n} pairs by {self.terms.pair_by}, {treatment} against {control}"
        of = "" if control in ("runs", "seeds") else f" of {control}"
        return f"{n} pairs{of} by {self.terms.pair_by}"


def compare_groups(control: ScoreGroup, treatment: ScoreGroup, terms: Terms) -> Comparison:
    """The treatment against the control.

    Args:
        control: what differences are taken from.
        treatment: what is said to raise or lower the score.
        terms: the score, what pairs it, and the smallest difference that matters.

    Raises:
        Faults: fewer than two pairs, or than two scores of a group; other test images.
    """
    found = matched(control, treatment, paired=terms.pair_by is not None)
    faults = match_faults(found, terms)
    if faults:
        raise Faults(faults)
    effect, needed = effect_of(found, terms)
    return Comparison(found, terms, effect, needed)
