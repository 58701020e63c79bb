"""The sections on planned contrasts: primaries with verdicts, others with intervals, A/A controls."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from sweeps.analysis.document import Section, Table, transposed
from sweeps.analysis.numbers import (
    decimals_for,
    estimate_texts,
    interval,
    noise_texts,
    number,
    or_absent,
    p_text,
    percent,
    sesoi_text,
)
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.intervals.effects import Effect, Interval
from sweeps.analysis.wording import ANYTIME_NOTE, MIN_REPLICATES
from sweeps.results.columns import named

VERDICT_WORDS: Final = {
    "pilot": "pilot, no verdict",
    "beyond": "more than the SESOI",
    "unsettled": "differs; whether it matters is open",
    "below_sesoi": "differs, too little to matter",
    "equivalent": "no difference that matters",
    "no_evidence": "not settled",
}
"""Of an effect's `verdict`, in tables."""

ONE_TUNING: Final = (
    "At one tuning: the interval is over seeds alone. Another tuning of the same sweep may land outside it, so no "
    "verdict rests on it."
)
ONE_SPLIT: Final = (
    "At one split of training and validation images: the interval is over seeds alone. Another split may land outside "
    "it, so no verdict rests on it."
)
BUT_FOR_FAILURES: Final = (
    "The verdict follows from the interval, except that no equivalence is claimed where it depends on failed runs."
)
FEW: Final = f"Fewer than {MIN_REPLICATES} independent units make a pilot: an interval, but no verdict."
EXPLORATORY: Final = (
    "Not adjusted for how many there are: they suggest what to look at next, and no claim rests on them."
)
CONTROLS: Final = (
    "A/A control: pairs of runs that compute the same and differ only in the order of additions. How far they come "
    "apart is what training makes of rounding"
)


def effects(found: Sequence[Finding]) -> Section:
    """What else is known of the primaries than the first screen says, those of one outcome in one table."""
    estimated = [one for one in found if one.effect is not None]
    others = [one for one in found if one.contrast.family == "beside"]
    tables = []
    for outcome in dict.fromkeys(one.contrast.outcome for one in estimated):
        what = "" if outcome == "test_auc" else f": {named(outcome)}"
        tables += _primaries([one for one in estimated if one.contrast.outcome == outcome], what)
    return Section("Effect", [*_how_to_read(estimated), *refused(others)], tables=tables)


def sensitivity(found: Sequence[Finding]) -> Section:
    """What hangs on failed runs and on the classes of the split."""
    wide = [one for one in found if one.over_classes is not None]
    rows = [[one.name, interval(one.over_classes)] for one in wide if one.over_classes is not None]
    lines = [line for one in found for line in one.caveats]
    unit, _, where = next((one.runs.unit for one in wide if one.runs is not None), "replicates").partition(" ")
    crossed = f"{unit} x classes" + (f", {where}" if where else "")
    if rows:
        lines.append(
            f"{crossed[:1].upper()}{crossed[1:]}: these intervals also allow for another draw of classes, and so "
            "extend to other classes of the same kind; 95 %, each on its own."
        )
    return Section("Sensitivity", lines, tables=[Table(["", crossed], rows)] if rows else [])


def exploratory(found: Sequence[Finding]) -> Section:
    """Other planned contrasts, by outcome: numbers and intervals."""
    own = [one for one in found if one.contrast.family == "exploratory"]
    if not own:
        return Section("Exploratory contrasts")
    outcomes = dict.fromkeys(one.contrast.outcome for one in own)
    tables = [
        intervals(named(outcome), [one for one in own if one.contrast.outcome == outcome]) for outcome in outcomes
    ]
    return Section("Exploratory contrasts", [EXPLORATORY, *refused(own)], tables=[t for t in tables if t.rows])


def controls(found: Sequence[Finding]) -> Section:
    """A/A controls, where the plan has some: how far runs of the same computation differ, beside the SESOI."""
    own = [one for one in found if one.contrast.family == "control"]
    rows = []
    for one in own:
        if one.runs is not None:
            pairs = one.runs.pairs
            rows.append([one.contrast.estimand, *noise_texts(pairs), sesoi_text(one.contrast.sesoi), str(pairs.size)])
    header = ["A/A control", "root mean square", "largest", "SESOI", "pairs"]
    lines = [one.sentence for one in own] + ([_noise(own)] if rows else [])
    return Section("A/A controls", lines, tables=[Table(header, rows)] if rows else [])


def _primaries(found: Sequence[Finding], what: str) -> list[Table]:
    """One column per contrast: these numbers fit a phone downwards, not across."""
    names, columns = [], {}
    for name, finding in zip(treatment_names(found), found, strict=True):
        effect, runs = finding.effect, finding.runs
        assert effect is not None
        assert runs is not None
        at_one = effect.unit == "block"
        cells = {
            f"p{f' (times {effect.family})' if effect.family > 1 else ''}": "" if at_one else p_text(effect.p_value),
            "based on": runs.counted(),
            "P(A > B)": "" if at_one else or_absent(finding.superiority, _share),
            "variance due to tuning": "" if finding.due_to_tuning is None else percent(finding.due_to_tuning),
            "detectable (power .8)": "" if finding.detectable is None else _range(finding.detectable, effect),
        }
        names, columns[name] = list(cells), list(cells.values())
    kept = [i for i in range(len(names)) if any(column[i] for column in columns.values())]
    shown = {name: [column[i] for i in kept] for name, column in columns.items()}
    return transposed(f"primary{what}", [names[i] for i in kept], shown)


def _how_to_read(found: Sequence[Finding]) -> list[str]:
    replicated = [one.effect for one in found if one.effect is not None and one.effect.unit == "replicate"]
    if not replicated:
        return []
    unit = next((one.runs.unit for one in found if one.runs is not None), "replicates")
    family = replicated[0].family
    of = "valid at every look (the inverse of an e-value)" if replicated[0].anytime else f"that of a t test over {unit}"
    held = f"p is {of}. "
    if family > 1:
        every = "Both" if family == 2 else f"All {family}"
        held = (
            f"{every} intervals hold at once in 95 % of sweeps (Bonferroni: each is a {100 - 5 / family:.4g} % "
            f"interval). p is {of}, multiplied by {family}. "
        )
    withdrawn = any(one.withdrawn for one in found)
    return [held + (BUT_FOR_FAILURES if withdrawn else "The verdict follows from the interval alone.")]


def limits(found: Sequence[Finding]) -> list[str]:
    """Why there is no verdict, or a wider interval than that of a sweep that is read once."""
    judged = [one.effect for one in found if one.effect is not None]
    lines = [ANYTIME_NOTE] if any(effect.anytime for effect in judged) else []
    if any(effect.verdict == "pilot" and effect.unit == "replicate" for effect in judged):
        lines.append(FEW)
    single = [one for one in found if one.effect is not None and one.effect.unit == "block"]
    tuned = {one.runs.tuned for one in single if one.runs is not None}
    return lines + [line for line, of in ((ONE_TUNING, True), (ONE_SPLIT, False)) if of in tuned]


def intervals(title: str, found: Sequence[Finding]) -> Table:
    """A row per contrast that has an estimate: no test and no verdict."""
    rows = [
        [name, *estimate_texts(one.estimated), one.runs.counted()]
        for name, one in zip(treatment_names(found), found, strict=True)
        if one.estimated is not None and one.runs is not None
    ]
    return Table([title, "effect", "95 % interval", "based on"], rows)


def refused(found: Sequence[Finding]) -> list[str]:
    """Why others have none; that runs have not finished stands on the first screen."""
    return [one.sentence for one in found if one.estimated is None and not one.unfinished]


def treatment_names(found: Sequence[Finding]) -> list[str]:
    """Treatments, with the estimand where several have the same one, and numbered where that is the same too."""
    counts = Counter(one.name for one in found)
    told: list[str] = []
    for one in found:
        name = one.name if counts[one.name] == 1 else f"{one.name} ({one.contrast.estimand})"
        told.append(f"{name} {len(told) + 1}" if name in told else name)
    return told


def _share(share: Interval) -> str:
    """`.88 [.53, .98]`"""
    estimate, low, high = (number(x, decimals=2) for x in (share.estimate, share.ci_low, share.ci_high))
    return f"{estimate} [{low}, {high}]"


def _range(found: Interval, effect: Effect) -> str:
    decimals = decimals_for(effect)
    return " to ".join(number(x, decimals=decimals) for x in (found.ci_low, found.ci_high))


def _noise(found: Sequence[Finding]) -> str:
    """How far two runs that compute the same lie apart, beside the SESOI; by the outcome of the first A/A control."""
    first = found[0].contrast
    own = [one.runs.pairs for one in found if one.contrast.outcome == first.outcome and one.runs is not None]
    if not own:
        return ""
    differences = np.concatenate(own)
    apart = float(np.sqrt(np.mean(np.square(differences))))
    over = f"over {differences.size} pairs, {apart / first.sesoi:.1f} x the SESOI"
    size = f"root mean square {noise_texts(differences)[0]} {over}"
    if apart < first.sesoi:
        return f"{CONTROLS}: {size}."
    return f"{CONTROLS}: {size}. No single pair of runs can show an effect of that size here; means over many can."
