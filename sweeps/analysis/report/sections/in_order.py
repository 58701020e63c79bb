"""The report as a list of sections: text, tables and figures in reading order, before any markup."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from sweeps.analysis.document import Report, Section
from sweeps.analysis.figures.embeddings import stored_views
from sweeps.analysis.published import study1
from sweeps.analysis.published.beside import STUDIES, beside
from sweeps.analysis.report import embedding_figures, figure_lists, trial_table
from sweeps.analysis.report.contents import arranged
from sweeps.analysis.report.extensions import extensions, retries
from sweeps.analysis.report.first_screen import first_screen, limits_of
from sweeps.analysis.report.glossary import glossary, texts_of
from sweeps.analysis.report.plain_answer import plain_answer
from sweeps.analysis.report.scope import UNTUNED, no_effect_claimed, reach, scope
from sweeps.analysis.report.sections import (
    data,
    derived,
    effects,
    few_labels,
    held_out,
    importances,
    runs,
    settings,
    suggestion,
    support,
)
from sweeps.analysis.stats.answers.contrast_table import contrast_rows
from sweeps.analysis.stats.answers.derived import codes
from sweeps.analysis.stats.answers.findings import Finding, findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import comparisons
from sweeps.analysis.stats.description import curves as cell_curves
from sweeps.analysis.stats.description.descriptive import distinct, selected_by
from sweeps.analysis.stats.description.winners_curse import winners_curse
from sweeps.analysis.stats.reading.pairing import not_finished
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.results.columns import named


@dataclass(frozen=True, slots=True)
class SweepTables:
    """The tables of a sweep that a report reads, all with `stage`."""

    trials: pa.Table
    curves: pa.Table
    rungs: pa.Table
    views: pa.Table
    evaluations: pa.Table
    eval_groups: pa.Table
    confirm_attempts: pa.Table
    """`trials` of confirm with every attempt, where the others have the latest alone."""


def report_of(tables: SweepTables, plan: StoredPlan, *, folder: str = "RESULTS/NAME") -> Report:
    """The report of a sweep's tables, of which `trials` or `curves` has rows; `folder`: as commands name it."""
    trials, curves = tables.trials, tables.curves
    found = findings(trials, curves, plan, tables.eval_groups)
    compared = comparisons(trials, plan)
    primary = [finding for finding in found if finding.contrast.family == "primary"]
    measure = named(selected_by(trials))
    dataset = distinct(trials, "dataset") or "data set not recorded yet"
    aside = {cell.cell_id for cell in plan.cells if cell.role in cell_curves.ASIDE}
    cells = cell_curves.cells_of(trials, plan)
    outcome = next((one.contrast.outcome for one in primary), plan.outcome.column if plan.outcome else "test_auc")
    drawn = figure_lists.design(trials, found, compared, dataset, aside)
    forests = [picture for picture in drawn if picture.name == "forest"]
    about = scope(trials, found)
    added = [*extensions(plan, _units(primary)), *retries(tables.confirm_attempts)]
    # The gravest first: the first screen has room for few.
    limits = [*effects.limits(primary), *added, *limits_of(primary, plan), *_of_settings(about), *reach(found)]
    first = first_screen(
        found,
        trials,
        plan,
        answer=_answer(primary) or [no_effect_claimed(trials, curves, found)],
        picture=forests[0] if forests else None,
        limits=limits,
    )
    sections = [
        effects.effects(found),
        derived.against(compared),
        Section("Cells and contrasts", pictures=[one for one in drawn if one not in forests]),
        derived.common(found),
        derived.winners_curse(winners_curse(trials, plan), measure),
        effects.sensitivity(found),
        Section(
            "What this can and cannot say",
            [line for line in dict.fromkeys([*about, *limits]) if line not in first.caveats],
        ),
        data.section(plan.data_lines),
        effects.exploratory(found),
        effects.controls(found),
        # A plan that names no study may fit the first.
        beside(
            STUDIES.get(plan.published, study1.STUDY),
            trials,
            curves,
            cells,
            evaluations=tables.evaluations,
            views=tables.views,
        ),
        Section(_by_unit(primary), pictures=figure_lists.paired(trials, found, dataset)),
        held_out.accuracy(trials, tables.evaluations, tables.eval_groups, cells),
        few_labels.section(tables.evaluations, trials, cells, dataset=dataset),
        held_out.shortcut(trials, tables.evaluations, cells),
        *support.support(found, trials),
        settings.section(plan, measure, figure_lists.tuning(trials, dataset)),
        runs.configurations(trials),
        runs.endings(trials, curves),
        trial_table.section(trials, curves, outcome=outcome, folder=folder),
        Section(
            "Learning curves",
            pictures=figure_lists.learning_curves(trials, curves, dataset, aside)
            + figure_lists.by_epoch(found, dataset),
        ),
        Section("Losses and similarities", pictures=figure_lists.by_cell(trials, curves, cells, dataset)),
        Section("Search", pictures=figure_lists.search(trials, tables.rungs, dataset)),
        runs.stopping(trials),
        suggestion.section(trials, _confirmed(found, "E1"), _confirmed(found, "E2")),
        importances.section(trials, dataset),
        runs.mechanism(trials, curves, figure_lists.mechanism(trials, curves, dataset)),
        _embeddings(tables, plan, dataset),
        runs.cost(trials),
        runs.provenance(trials, curves),
    ]
    report = Report(
        study=distinct(trials, "study_id") or plan.study_id or "sweep",
        question=plan.question,
        verdicts=_answers(primary) or [no_effect_claimed(trials, curves, found)],
        sections=arranged(sections),
        contrasts=contrast_rows(found, compared),
        first=first,
    )
    return replace(report, sections=[*report.sections, *arranged([glossary(texts_of(report))])])


def _embeddings(tables: SweepTables, plan: StoredPlan, dataset: str) -> Section:
    """The compared cells of the plan; those of its contrasts where it lists none."""
    cells = [cell.cell_id for cell in plan.cells if cell.role not in cell_curves.ASIDE]
    contrasted = [cell for contrast in plan.contrasts for cell in (*contrast.control_cells, *contrast.treatment_cells)]
    cells = cells or list(dict.fromkeys(contrasted))
    shown = stored_views.shown(tables.views, tables.trials, cells, dataset=dataset, first=contrasted)
    missing = embedding_figures.missing(tables.trials)
    if shown is None:
        return Section("Embeddings", missing)
    pictures = [*embedding_figures.pictures(shown, tables.eval_groups)]
    note = [embedding_figures.chosen(shown)] * (shown.sheet_cells != shown.cells)
    return Section("Embeddings", [*note, *missing], pictures=pictures)


def _by_unit(primary: Sequence[Finding]) -> str:
    units = [one.runs.unit for one in primary if one.runs is not None]
    return "Seed by seed" if units and units[0].startswith("seeds") else "Replicate by replicate"


def _answers(primary: Sequence[Finding]) -> list[str]:
    """The sentence of each primary; of those that wait for runs to finish one line."""
    waiting = [one for one in primary if one.unfinished]
    told = [one.sentence for one in primary if not one.unfinished]
    if not waiting:
        return told
    whom = f", the effect of {'; of '.join(one.name for one in waiting)}" if told else ""
    return [*told, f"Not estimated yet{whom}: {not_finished(frozenset().union(*(one.unfinished for one in waiting)))}."]


def _answer(primary: Sequence[Finding]) -> list[str]:
    """As `_answers`, with the sentences of those that have an effect joined."""
    told = {one.sentence for one in primary if one.effect is not None}
    return plain_answer(primary) + [line for line in _answers(primary) if line not in told]


def _of_settings(about: Sequence[str]) -> list[str]:
    return [line for line in about if line == UNTUNED]


def _units(primary: Sequence[Finding]) -> int:
    """Independent replicates of the primaries; 0 where all were refused."""
    return max((len(one.runs.places) for one in primary if one.runs is not None), default=0)


def _confirmed(found: list[Finding], code: str) -> suggestion.Confirmed | None:
    """Sentence and interval of the first primary of this code; for E1 also of a plan without codes."""
    primary = [one for one in found if one.contrast.family == "primary"]
    wanted = [one for one in primary if code in codes(one.contrast) or (code == "E1" and not one.contrast.code)]
    pairs = [(one.sentence, one.effect) for one in wanted if one.effect is not None]
    return next(((sentence, effect.ci_low, effect.ci_high) for sentence, effect in pairs), None)
