"""Exploratory contrasts that follow from the planned ones: KoLeo against accumulation, tuned against drop-in. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sweeps.analysis.stats.levels import levels_of
from sweeps.analysis.stats.stored_plan import ROUNDING, Contrast

DROP_IN: Final = ", drop-in"
"""Ending of the estimand of a primary that was estimated again with nothing retuned (E4)."""


def derived(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Differences of planned contrasts that the question asks for, as far as the plan has both."""
    found = [*_koleo_against_accumulation(contrasts), *_tuned_against_drop_in(contrasts)]
    # With K of 1 and 4, KoLeo's mean effect less one doubling is its effect at K=1, which is planned already.
    return [one for one in found if not any(_same(one, planned) for planned in contrasts)]


def _same(one: Contrast, other: Contrast) -> bool:
    if one.outcome != other.outcome:
        return False
    cells = {*one.weights, *other.weights}
    return all(abs(one.weights.get(cell, 0.0) - other.weights.get(cell, 0.0)) <= ROUNDING for cell in cells)


def codes(contrast: Contrast) -> list[str]:
    """Estimands that the contrast stands for: `E2, E3` -> ["E2", "E3"]."""
    return [code.strip() for code in contrast.code.split(",")]


def _koleo_against_accumulation(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """E1 minus E2 of the treated arm: both are in AUC, the one per switch and the other per doubling."""
    primaries = [contrast for contrast in contrasts if contrast.family == "primary"]
    first = next((c for c in primaries if "E1" in codes(c) and _is_about_koleo(c)), None)
    treated = set(first.treatment_cells) if first is not None else set()
    second = next((c for c in primaries if "E2" in codes(c) and set(c.weights) <= treated), None)
    if first is None or second is None:
        return []
    label = f"{_bare(first)}, less the effect of {_bare(second)},"
    return _difference(first, second, code="E1 − E2", estimand="koleo against accumulation", label=label)


def _tuned_against_drop_in(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Each primary minus itself with nothing retuned: what tuning each cell does to the effect."""
    found = []
    for dropped in contrasts:
        name = dropped.estimand.removesuffix(DROP_IN)
        tuned = next((c for c in contrasts if c.family == "primary" and c.estimand == name), None)
        if "E4" in codes(dropped) and tuned is not None:
            label = f"{_bare(tuned)} with every cell tuned, less the same with nothing retuned,"
            estimand = f"{name}, tuned less drop-in"
            found += _difference(tuned, dropped, code=f"{codes(tuned)[0]} − E4", estimand=estimand, label=label)
    return found


def _difference(first: Contrast, second: Contrast, *, code: str, estimand: str, label: str) -> list[Contrast]:
    """`first` minus `second` in the blocks that both have; none where the two are the same or of other outcomes."""
    cells = sorted({*first.weights, *second.weights})
    weights = {cell: first.weights.get(cell, 0.0) - second.weights.get(cell, 0.0) for cell in cells}
    kept = {cell: weight for cell, weight in weights.items() if abs(weight) > ROUNDING}
    if not kept or first.outcome != second.outcome:
        return []
    planned = [contrast.blocks for contrast in (first, second) if contrast.blocks is not None]
    return [
        replace(
            first,
            weights=kept,
            code=code,
            estimand=estimand,
            label=label,
            family="exploratory",
            note="",
            blocks=min(planned, key=len, default=None),
        )
    ]


def _is_about_koleo(contrast: Contrast) -> bool:
    return any("koleo" in levels_of(cell) for cell in contrast.weights)


def _bare(contrast: Contrast) -> str:
    """The label without the comma that closes an aside."""
    return contrast.label.removesuffix(",")
