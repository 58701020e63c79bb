"""The first screen: the answer, the primaries beside the other outcome, what limits them, what was run."""

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.wording import plural
from sweeps.analysis.document import FirstScreen, Picture, Table
from sweeps.analysis.numbers import interval, or_absent, sesoi_text
from sweeps.analysis.report.sections.effects import VERDICT_WORDS, treatment_names
from sweeps.analysis.stats.answers.context import DATASETS, LOSSES
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.description import costs
from sweeps.analysis.stats.description.descriptive import distinct
from sweeps.analysis.stats.intervals.effects import Effect
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.results.columns import named
from sweeps.results.schema import STAGES

MOST_CAVEATS: Final = 3

SHARE_OF_HOUR: Final = 3600.0


def first_screen(
    found: Sequence[Finding],
    trials: pa.Table,
    plan: StoredPlan,
    *,
    answer: Sequence[str],
    picture: Picture | None,
    limits: Sequence[str],
) -> FirstScreen:
    """What a reader sees first.

    Args:
        found: from `findings`.
        trials: with the column `stage`.
        plan: of the sweep.
        answer: sentences, from `plain_answer`.
        picture: forest of the primaries; None where there is one alone.
        limits: what limits the answer, the gravest first.
    """
    primary = [one for one in found if one.contrast.family == "primary" and one.effect is not None]
    other = [one for one in found if one.contrast.family == "beside" and one.estimated is not None]
    return FirstScreen(
        answer=list(answer),
        table=_table(primary, other) if primary else None,
        note=_note(primary, other, plan) if primary else "",
        picture=picture,
        caveats=list(limits[:MOST_CAVEATS]),
        ran=ran(trials, next((one.runs.counted() for one in primary if one.runs is not None), "")),
    )


def limits_of(found: Sequence[Finding], plan: StoredPlan) -> list[str]:
    """What hangs on failed runs, on the classes of the split and on the ranges of the tuning, in short."""
    primary = [one for one in found if one.contrast.family == "primary" and one.runs is not None]
    failed = {run for one in primary if one.runs is not None for run in one.runs.failed}
    lines = []
    if failed:
        n = len(failed)
        lines.append(f"{plural(n, 'run')} broke down and {'count' if n > 1 else 'counts'} as chance; see Sensitivity.")
    torn = [one.name for one in primary if _settled(one.effect) and _open(one)]
    if torn:
        lines.append(f"For other classes of images the sign is open: {'; '.join(torn)}.")
    best = [tuned for own in plan.tuned for tuned in own.values() if tuned.edges is not None]
    at_edge = sum(bool(tuned.edges) for tuned in best)
    if at_edge:
        lines.append(
            f"{at_edge} of {len(best)} tuned settings lie at an edge of their range: a better one may lie beyond."
        )
    return lines


def ran(trials: pa.Table, counted: str = "") -> str:
    """`10 tunings x 2 seeds: 300 runs (200 to tune, 100 to confirm) on CIFAR-10 ...; 1.2 CPU-hours`.

    Args:
        trials: the table; without rows the line is empty.
        counted: what the primaries rest on.
    """
    if not trials.num_rows:
        return ""
    counts = {stage: pc.sum(pc.equal(trials["stage"], stage)).as_py() for stage in STAGES}
    by_stage = ", ".join(f"{n:,} to {stage}" for stage, n in counts.items() if n)
    of_stages = f" ({by_stage})" if sum(map(bool, counts.values())) > 1 else ""
    runs = f"{counted}{': ' * bool(counted)}{plural(trials.num_rows, 'run')}{of_stages}"
    what = [_spelled(trials, "dataset", DATASETS), distinct(trials, "backbone"), _spelled(trials, "loss", LOSSES)]
    what += [
        f"{distinct(trials, name).replace(', ', ' or ')} {text}"
        for name, text in (("epochs", "epochs"), ("batch_size", "images a step"))
    ]
    rows = costs.cost_rows(trials)
    unit = costs.unit_of(rows)
    hours = sum(costs.device_seconds(row, unit) for row in rows) / SHARE_OF_HOUR
    runs = runs[:1].upper() + runs[1:]
    return f"{runs} on {', '.join(part for part in what if part)}; {_hours(hours, unit)}."


def _table(primary: Sequence[Finding], other: Sequence[Finding]) -> Table:
    """A row per primary: its interval, its verdict, and the other outcomes of the same cells."""
    outcomes = list(dict.fromkeys(one.contrast.outcome for one in primary))
    besides = list(dict.fromkeys(one.contrast.outcome for one in other))
    rows = []
    for name, one in zip(treatment_names(primary), primary, strict=True):
        assert one.effect is not None
        own = f"{named(one.contrast.outcome)}: " if len(outcomes) > 1 else ""
        texts = [_beside(one, other, outcome) for outcome in besides]
        rows.append([name, own + interval(one.effect), _verdict(one.effect), *texts])
    judged = named(outcomes[0]) if len(outcomes) == 1 else "effect"
    return Table(["effect of", judged, "verdict", *(f"beside it: {named(outcome)}" for outcome in besides)], rows)


def _verdict(effect: Effect) -> str:
    """As in other tables, but the first screen spells out what they call the SESOI."""
    return VERDICT_WORDS[effect.verdict].replace("the SESOI", f"the {sesoi_text(effect.sesoi)} that matters")


def _beside(one: Finding, other: Sequence[Finding], outcome: str) -> str:
    same = (each for each in other if each.contrast.outcome == outcome and _alike(each, one))
    return or_absent(next((each.estimated for each in same), None), interval)


def _alike(a: Finding, b: Finding) -> bool:
    return _weights(a.contrast.weights) == _weights(b.contrast.weights)


def _weights(weights: Mapping[str, float]) -> dict[str, float]:
    return {cell: round(weight, 9) for cell, weight in weights.items()}


def _note(primary: Sequence[Finding], other: Sequence[Finding], plan: StoredPlan) -> str:
    """What would matter, what the intervals hold for, and how the other outcome was come by."""
    effects = [one.effect for one in primary if one.effect is not None]
    sesoi = {one.contrast.outcome: one.contrast.sesoi for one in primary}
    matters = ", ".join(f"±{sesoi_text(size)} in {named(outcome)}" for outcome, size in sesoi.items())
    family = max(effect.family for effect in effects)
    held = "" if family == 1 else f" ({'both' if family == 2 else f'all {family}'} at once)"
    lines = [
        f"Differences with 95 % intervals{held}, judged by the smallest effect size of interest (SESOI), {matters}."
    ]
    if other and plan.outcome is not None:
        how = f"Judged by {plan.outcome.label}" if plan.confirm == "drop-in" else ""
        how = how or f"At settings tuned by {named(plan.outcome.validation)}"
        lines.append(f"Beside it, {how[:1].lower()}{how[1:]}: 95 % intervals, each on its own, without a verdict.")
    lines += dict.fromkeys(
        f"{name[:1].upper()}{name[1:]}: {one.contrast.note[:1].lower()}{one.contrast.note[1:]}"
        for name, one in zip(treatment_names(primary), primary, strict=True)
        if one.contrast.note
    )
    return " ".join(lines)


def _settled(effect: Effect | None) -> bool:
    return effect is not None and effect.verdict != "pilot" and not effect.ci_low <= 0 <= effect.ci_high


def _open(one: Finding) -> bool:
    wide = one.over_classes
    return wide is not None and wide.ci_low <= 0 <= wide.ci_high


def _spelled(trials: pa.Table, column: str, words: Mapping[str, str]) -> str:
    return ", ".join(words.get(name, name) for name in distinct(trials, column).split(", "))


def _hours(hours: float, unit: str) -> str:
    """`2.4 GPU-hours`; below an hour in minutes."""
    kind = unit.partition("-")[0]
    return f"{hours:,.1f} {kind}-hours" if hours >= 1 else f"{hours * 60:,.1f} {kind}-minutes"
