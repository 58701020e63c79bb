"""The report that lays two sweeps side by side."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sweeps.analysis.document import FirstScreen, Picture, Report, Section, Table
from sweeps.analysis.figures.forest import primary_items
from sweeps.analysis.figures.tunings_alone import READING, TuningsAlone, draw_tunings_alone, tunings_data
from sweeps.analysis.numbers import ABSENT, interval, or_absent
from sweeps.analysis.report.figure_lists import forest_of
from sweeps.analysis.report.first_screen import MOST_CAVEATS
from sweeps.analysis.report.glossary import glossary, texts_of
from sweeps.analysis.report.plain_answer import plain_answer
from sweeps.analysis.report.sections.effects import VERDICT_WORDS
from sweeps.analysis.stats.answers.compare import Pairing, Sweep, compare, config_differences, only_in, refusals
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.answers.single_tunings import single_tunings
from sweeps.analysis.stats.description.descriptive import distinct
from sweeps.results.columns import named

NOTE: Final = "Each sweep has its own estimates, 95 % intervals and verdicts."
DIFFERENCE: Final = " The difference is the second less the first; exploratory."
ALONE: Final = (
    "What each tuning would have claimed had it been the only one: its own mean, with the interval that seeds alone "
    "give it (their spread pooled over the sweep's tunings). Apart: pairs of tunings whose intervals have no number in "
    "common."
)


def comparison(first: Sweep, second: Sweep) -> Report:
    """Primaries of both, differences with an interval where nothing refuses one, and what tells the sweeps apart."""
    pairs = compare(first, second)
    told = any(one.difference is not None for one in pairs)
    outcomes = [dict.fromkeys(named(finding.contrast.outcome) for finding in side) for side in _sides(pairs)]
    alike = all(one.other_outcomes for one in pairs) and all(len(own) == 1 for own in outcomes)
    rows = [
        [
            one.first.name,
            *_cells(one.first, one.other_outcomes and not alike),
            *_cells(one.second, one.other_outcomes and not alike),
            *([or_absent(one.difference, interval)] if told else []),
        ]
        for one in pairs
    ]
    heads = [
        f"{sweep.name}: {next(iter(own))}" if alike else sweep.name
        for sweep, own in zip((first, second), outcomes, strict=True)
    ]
    header = ["effect of", heads[0], "verdict", heads[1], "verdict", *(["difference (95 %)"] if told else [])]
    alone = [
        f"Only in {a.name}: {', '.join(labels)}."
        for a, b in ((first, second), (second, first))
        if (labels := only_in(a, b))
    ]
    study = f"{first.name} against {second.name}"
    refused = refusals(first, second)
    items = [item for sweep in (first, second) for item in primary_items(sweep.found, sweep=sweep.name)]
    front = FirstScreen(
        answer=[
            study,
            *(f"{sweep.name}, {_judged_by(sweep)}: {' '.join(_plain(sweep))}" for sweep in (first, second)),
        ],
        table=Table(header, rows) if rows else None,
        note=f"{NOTE}{DIFFERENCE * told} {_counted(first, second)}" if rows else "",
        picture=next(iter(forest_of(items, _dataset(first))), None),
        caveats=[f"No interval of the difference: {reason}." for reason in refused][:MOST_CAVEATS],
    )
    sections = [
        Section("Side by side", alone + [one.sentence for one in pairs if not one.other_outcomes]),
        _tunings_alone((first, second), pairs),
        Section("Whether they are comparable", _comparable(first, second)),
    ]
    report = Report(
        study=study,
        question="",
        verdicts=[one.sentence for one in pairs] or ["The two sweeps have no primary contrast in common."],
        sections=[s for s in sections if s.paragraphs or s.tables],
        first=front,
    )
    words = glossary(texts_of(report))
    return replace(report, sections=[*report.sections, *([words] if words.tables else [])])


def _sides(pairs: Sequence[Pairing]) -> tuple[list[Finding], list[Finding]]:
    return [one.first for one in pairs], [one.second for one in pairs]


def _dataset(sweep: Sweep) -> str:
    return distinct(sweep.confirm, "dataset")


def _judged_by(sweep: Sweep) -> str:
    outcomes = dict.fromkeys(named(one.contrast.outcome) for one in sweep.found if one.contrast.family == "primary")
    return f"judged by {' and '.join(outcomes)}" if outcomes else "without a primary"


def _counted(*sweeps: Sweep) -> str:
    """`auc-0: 10 tunings x 2 seeds; recall-0: 8 tunings x 2 seeds.`"""
    counts = {
        sweep.name: [f.runs.counted() for f in sweep.found if f.contrast.family == "primary" and f.runs is not None]
        for sweep in sweeps
    }
    return "; ".join(f"{name}: {', '.join(dict.fromkeys(own))}" for name, own in counts.items() if own) + "."


def _plain(sweep: Sweep) -> list[str]:
    """The plain answer, or why there is none."""
    primary = [one for one in sweep.found if one.contrast.family == "primary"]
    return plain_answer(primary) or ["nothing is estimated."]


def _tunings_alone(sweeps: tuple[Sweep, Sweep], pairs: Sequence[Pairing]) -> Section:
    """Empty where no sweep has several tunings of several seeds."""
    rows: list[list[str]] = []
    pictures: list[Picture] = []
    for pair in pairs:
        told = []
        for sweep, finding in zip(sweeps, (pair.first, pair.second), strict=True):
            alone, effect = single_tunings(finding), finding.effect
            if alone is not None and effect is not None:
                told.append(TuningsAlone(sweep.name, effect, alone))
                n = len(alone.effects)
                counts = [f"{count} of {n}" for count in (alone.raised, alone.lowered)]
                apart = f"{alone.apart} of {n * (n - 1) // 2}"
                rows.append([finding.contrast.label, sweep.name, *counts, apart, VERDICT_WORDS[effect.verdict]])
        if told and not pair.other_outcomes:
            data = tunings_data(finding.name, finding.contrast.outcome, told)
            name = f"tunings-alone-{finding.contrast.code.replace(', ', '-').lower()}-{len(pictures) + 1}"
            pictures.append(Picture(name, partial(draw_tunings_alone, data), READING))
    header = ["", "sweep", "alone: raised", "alone: lowered", "pairs apart", "together"]
    return Section(
        "Each tuning alone", [ALONE] * bool(rows), tables=[Table(header, rows)] if rows else [], pictures=pictures
    )


def _comparable(first: Sweep, second: Sweep) -> list[str]:
    refused = refusals(first, second)
    lines = [f"Against an interval of the difference: {reason}." for reason in refused]
    lines = lines or ["Data set, training images and test split are the same, by hash."]
    differing = config_differences(first, second)
    if not differing:
        return [*lines, "Cells of the same name ran the same settings, seeds aside."]
    lines.append(
        f"Cells of the same name differ in settings (value in {first.name}, then in {second.name}); a difference of "
        "the effects may come from any of them:"
    )
    return lines + [f"{cell}: {'; '.join(names)}." for cell, names in differing.items()]


def _cells(finding: Finding, of_outcome: bool) -> list[str]:
    """Estimate, what it is of, verdict; `of_outcome`: with the outcome, where the other sweep has another."""
    effect, runs = finding.effect, finding.runs
    if effect is None or runs is None:
        return [ABSENT, "not estimated"]
    of = f"{named(finding.contrast.outcome)}: " if of_outcome else ""
    return [of + interval(effect), VERDICT_WORDS[effect.verdict]]
