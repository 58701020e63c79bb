"""The report as a list of sections: text, tables and figures in reading order, before any markup."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis import (
    budget_figures,
    censoring,
    descriptive,
    design_figures,
    effect_sections,
    figure_data,
    figures,
    mechanism_figures,
    search_sections,
    study1,
    suggestion,
    support_sections,
    table_sections,
    tuning_figures,
    view_data,
    view_pictures,
)
from sweeps.analysis.derived import codes
from sweeps.analysis.findings import Finding, findings
from sweeps.analysis.forest import forest_items
from sweeps.analysis.page import Picture, Section
from sweeps.analysis.plan import Plan
from sweeps.analysis.scope import extensions, no_effect_claimed, retries, scope

INTERACTION: Final = (
    "Large marks are means of a cell, small dots its runs, faint lines the runs of one block. Lines that are not "
    "parallel are what an interaction looks like; whether there is one is for the interval to say."
)
FOREST: Final = "Each contrast over its own band of ±SESOI. Only the primary ones are adjusted for their number."
ISOLATION: Final = (
    "Every cell met the same settings. Tuning is fair where each cell's best lies inside the range and the others fall "
    "off around it."
)
DOSE: Final = (
    "Pairs of trials at the same point of the other settings, one seed: KoLeo on minus off. The best of each cell is "
    "what goes on to confirm, not this average."
)
TUNING: Final = (
    "What the best of n trials would reach, half of the time: an arm that needs more tuning rises later. Bands treat "
    "the points as independent draws."
)
PLANE: Final = "KoLeo pushes nearest neighbours apart. Large marks are means of a cell."
GAP: Final = (
    "What a micro-batch of B / K still sees of the batch, and whether its gradient points the same way. Measured on "
    "training batches, in either mode; nothing is lost at K = 1."
)
COST: Final = "Large marks are means of a cell. Seconds are those of the machine named under provenance."


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a sweep that a report reads, all with `stage`."""

    trials: pa.Table
    curves: pa.Table
    rungs: pa.Table
    views: pa.Table
    eval_groups: pa.Table
    confirm_attempts: pa.Table
    """`trials` of confirm with every attempt, where the others have the latest alone."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    study: str
    question: str
    verdicts: list[str]
    sections: list[Section]
    findings: list[Finding]


def report_of(tables: Tables, plan: Plan) -> Report:
    """The report of a sweep's tables, of which `trials` or `curves` has rows."""
    trials, curves = tables.trials, tables.curves
    found = findings(trials, curves, plan.contrasts, tables.eval_groups)
    primary = [finding for finding in found if finding.contrast.family == "primary"]
    # Differences of planned contrasts stand in the tables alone: their sentences would say little and at length.
    planned = [finding for finding in found if finding.contrast in plan.contrasts]
    others = [finding for finding in planned if finding.contrast.family != "primary"] if primary else []
    dataset = _distinct(trials, "dataset") or "data set not recorded yet"
    aside = {cell.cell_id for cell in plan.cells if cell.role != "factorial"}
    sections = [
        effect_sections.effects(found),
        Section("Cells and contrasts", pictures=_design(trials, found, dataset, aside)),
        Section("Other contrasts", [finding.verdict for finding in others]),
        Section(
            "What this can and cannot say", scope(trials, found) + extensions(plan) + retries(tables.confirm_attempts)
        ),
        Section("Sensitivity", [line for finding in found for line in finding.sensitivity]),
        study1.section(trials, curves, without=aside),
        Section("Block by block", pictures=effect_sections.paired(found, dataset)),
        *support_sections.support(found, trials),
        table_sections.tuned(plan, _tuning(trials, dataset)),
        table_sections.configurations(trials),
        table_sections.endings(trials, curves),
        Section(
            "Learning curves",
            pictures=_curves(trials, curves, dataset, aside) + effect_sections.by_epoch(found, dataset),
        ),
        search_sections.search(trials, tables.rungs, dataset),
        censoring.audit_section(trials),
        suggestion.section(trials, _confirmed(found, "E1"), _confirmed(found, "E2")),
        search_sections.importances(trials, dataset),
        table_sections.mechanism(trials, curves, _mechanism(trials, curves, dataset)),
        Section("Embeddings", pictures=_embeddings(tables, plan, dataset)),
        table_sections.cost(trials, _cost(trials, dataset)),
        table_sections.provenance(trials, curves),
    ]
    return Report(
        study=_distinct(trials, "study_id") or plan.study_id or "sweep",
        question=plan.question,
        verdicts=[finding.verdict for finding in primary or found] or [no_effect_claimed(trials, curves)],
        sections=[s for s in sections if s.paragraphs or s.commands or s.tables or s.pictures],
        findings=found,
    )


def _design(trials: pa.Table, found: list[Finding], dataset: str, aside: set[str]) -> list[Picture]:
    pictures = []
    interaction = design_figures.interaction_data(trials, dataset=dataset, without=aside)
    if interaction is not None:
        pictures.append(Picture("interaction", design_figures.draw_interaction(interaction), INTERACTION))
    items = forest_items(found)
    if len(items) > 1:
        forest = design_figures.forest_data(items, dataset=dataset)
        pictures.append(Picture("forest", design_figures.draw_forest(forest), FOREST))
    return pictures


def _tuning(trials: pa.Table, dataset: str) -> list[Picture]:
    pictures = []
    isolation = tuning_figures.isolation_data(trials, dataset=dataset)
    if isolation is not None:
        pictures.append(Picture("isolation", tuning_figures.draw_isolation(isolation), ISOLATION))
    dose = tuning_figures.dose_data(trials, dataset=dataset)
    if dose is not None:
        pictures.append(Picture("dose", tuning_figures.draw_dose(dose), DOSE))
    curves = budget_figures.tuning_data(trials, dataset=dataset)
    if curves is not None:
        pictures.append(Picture("tuning", budget_figures.draw_tuning(curves), TUNING))
    return pictures


def _curves(trials: pa.Table, curves: pa.Table, dataset: str, aside: set[str]) -> list[Picture]:
    pictures = []
    for stage in descriptive.trials_by_stage(trials, curves):
        data = figure_data.curve_data(trials, curves, stage=stage, dataset=dataset, without=aside)
        if data.curves:
            reading = "A thin line is one trial" + ("; a thick line is the mean of its arm." if data.means else ".")
            pictures.append(Picture(f"curves-{stage}", figures.draw_curves(data), reading))
    return pictures


def _mechanism(trials: pa.Table, curves: pa.Table, dataset: str) -> list[Picture]:
    pictures = []
    plane = mechanism_figures.plane_data(trials, curves, dataset=dataset)
    if plane is not None:
        pictures.append(Picture("plane", mechanism_figures.draw_scatter(plane), PLANE))
    gap = mechanism_figures.gap_data(trials, curves, dataset=dataset)
    if gap is not None:
        pictures.append(Picture("gap", mechanism_figures.draw_gap(gap), GAP))
    return pictures


def _cost(trials: pa.Table, dataset: str) -> list[Picture]:
    data = mechanism_figures.cost_data(trials, dataset=dataset)
    return [Picture("cost", mechanism_figures.draw_scatter(data), COST)] if data is not None else []


def _embeddings(tables: Tables, plan: Plan, dataset: str) -> list[Picture]:
    """The factorial cells side by side; those of the first contrast where the plan lists no cells."""
    cells = [cell.cell_id for cell in plan.cells if cell.role == "factorial"]
    if not cells and plan.contrasts:
        cells = [*plan.contrasts[0].control_cells, *plan.contrasts[0].treatment_cells]
    shown = view_data.shown(tables.views, tables.trials, cells, dataset=dataset)
    return [Picture(*item) for item in view_pictures.pictures(shown, tables.eval_groups)] if shown else []


def _confirmed(found: list[Finding], code: str) -> suggestion.Confirmed | None:
    """Sentence and interval of the first primary of this code; for E1 also of a plan without codes."""
    primary = [one for one in found if one.contrast.family == "primary"]
    wanted = [one for one in primary if code in codes(one.contrast) or (code == "E1" and not one.contrast.code)]
    effects = [(one.verdict, one.result[0]) for one in wanted if one.result is not None]
    return next(((verdict, effect.ci_low, effect.ci_high) for verdict, effect in effects), None)


def _distinct(trials: pa.Table, name: str) -> str:
    return ", ".join(sorted({str(value) for value in pc.unique(trials[name]).to_pylist() if value is not None}))
