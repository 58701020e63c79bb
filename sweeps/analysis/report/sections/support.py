"""The sections beside the effects: cells, mechanism contrasts, failures, relative cost."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from embedding_core.wording import plural
from sweeps.analysis.document import Section, Table
from sweeps.analysis.numbers import ABSENT, estimate_texts, four, number, or_absent, percent
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.description import costs, failures
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.description.held_out import STAGE, column_values, lost, mean_of, unit_of
from sweeps.analysis.stats.description.mechanism import NOT_MEASURED, MechanismEffect
from sweeps.analysis.stats.reading.composite import composite_of, counted_as
from sweeps.analysis.stats.reading.stored_plan import Contrast
from sweeps.analysis.wording import cell_name
from sweeps.results.columns import MEASURED, named

CELLS: Final = "Means over the {unit} that each cell ran in. Comparisons within them are left to the contrasts."
MECHANISM: Final = (
    "The primary contrasts, on measures of the embeddings at the final epoch, validation split; over {unit}. "
    "Exploratory: intervals only."
)
MOST_NAMED: Final = 4
"""Cells without a measure above which they are counted, not named."""

RISK_HEADING: Final = "Failure risk"
RISKS: Final = "Runs that diverged or whose embeddings collapsed, with the 95 % interval (Wilson) of their share."


def support(found: list[Finding], trials: pa.Table) -> list[Section]:
    """Sections beside the effects, those without a table left out.

    Args:
        found: from `findings`.
        trials: with the column `stage`.
    """
    first = next((f.contrast for f in found if f.contrast.family == "primary" and f.runs is not None), None)
    if first is None:
        return []
    sections = [_cells(found, trials), _mechanism(found, unit_of(trials)), _risks(first, trials), _costs(first, trials)]
    return [section for section in sections if section.tables]


def _cells(found: list[Finding], trials: pa.Table) -> Section:
    """Per outcome: means of all cells; failed runs count as in the contrasts."""
    tables, counted = [], []
    shown = [f.contrast.outcome for f in found if f.runs is not None and f.contrast.family != "common"]
    rows = rows_of(trials, STAGE, ("trial_id", "end_reason", *dict.fromkeys(shown)))
    for outcome in dict.fromkeys(shown):
        values = column_values(trials, outcome, failed=composite_of(outcome))
        failed = sum(lost(row, outcome) for row in rows)
        if failed:
            counted.append(f"{named(outcome)}: {plural(failed, 'failed run')} {counted_as(outcome)}.")
        means = {cell: mean_of(values, cell) for cell in sorted({cell for cell, _ in values})}
        if len(means) > 2:
            texts = [[cell, four(m.mean), or_absent(m.deviation, four), str(m.n)] for cell, m in means.items() if m]
            tables.append(Table([named(outcome), "mean", "SD", "n"], texts))
    return Section("Cells", [CELLS.format(unit=unit_of(trials)), *counted], tables=tables)


def _mechanism(found: list[Finding], unit: str) -> Section:
    tables = []
    told: set[str] = set()
    for finding in found:
        there = [(one.metric, one.effect) for one in finding.mechanism if one.effect is not None]
        told |= {metric for metric, _ in there}
        if there:
            rows = [[named(metric), *estimate_texts(effect), str(effect.n)] for metric, effect in there]
            tables.append(Table([finding.name, "effect", "95 % interval", "n"], rows))
    reasons: dict[str, list[MechanismEffect]] = {}
    for one in (one for finding in found for one in finding.mechanism if one.metric not in told):
        reasons.setdefault(one.metric, []).append(one)
    absent = [f"{named(metric)} ({_why_absent(of_metric)})" for metric, of_metric in reasons.items()]
    lines = [MECHANISM.format(unit=unit), *([f"Not compared: {'; '.join(absent)}."] if absent else [])]
    return Section("What changes in the embeddings", lines, tables=tables)


def _why_absent(effects: Sequence[MechanismEffect]) -> str:
    """Of one measure, over all contrasts: in which cells it was not measured, or what else stands against it."""
    cells = sorted({cell for one in effects for cell in one.absent})
    if len(cells) > MOST_NAMED:
        return f"{NOT_MEASURED} for {len(cells)} cells"
    return f"{NOT_MEASURED} for {'; '.join(map(cell_name, cells))}" if cells else effects[0].reason


def _risks(first: Contrast, trials: pa.Table) -> Section:
    """Of every cell and between the sides of the first primary; empty where no run of any cell failed."""
    risks = failures.failure_risks(trials)
    if not any(risk.failed for risk in risks):
        return Section(RISK_HEADING)
    rows = []
    for risk in risks:
        counts = {stage: f"{failed} of {n}" for stage, failed, n in risk.by_stage}
        by_stage = [counts.get(stage, ABSENT) for stage in failures.DESIGNED]
        rows.append([risk.name, *by_stage, f"{percent(risk.ci_low)} to {percent(risk.ci_high)}"])
    control = failures.risk_of(trials, first.control_cells, name=first.control)
    treatment = failures.risk_of(trials, first.treatment_cells, name=first.treatment)
    difference = failures.risk_difference(control, treatment)
    estimate, low, high = (
        number(100 * x, decimals=1, signed=True).removesuffix(".0")
        for x in (difference.estimate, difference.ci_low, difference.ci_high)
    )
    between = "equal shares" if difference.estimate == 0 else f"a difference of {estimate} percentage points"
    line = (
        f"With {_called(first.treatment_cells)}, {treatment.failed} of {treatment.n} runs failed; with "
        f"{_called(first.control_cells)}, {control.failed} of {control.n}: {between} (95 % interval {low} to {high}; "
        "Newcombe, taking runs as independent; exploratory)."
    )
    return Section(RISK_HEADING, [RISKS, line], tables=[Table(["failed runs", "tune", "confirm", "95 %"], rows)])


def _called(cells: Sequence[str]) -> str:
    return " + ".join(map(cell_name, cells))


def _costs(first: Contrast, trials: pa.Table) -> Section:
    """Relative to the control of the first primary."""
    reference = first.control_cells[0]
    rows = [
        [ratio.cell_id, *(or_absent(ratio.ratios[name], "{:.2f}".format) for name in costs.RATIOS)]
        for ratio in costs.cost_ratios(trials, reference=reference)
    ]
    note = f"Relative to {cell_name(reference)}: geometric means over the seeds that completed in both."
    tables = [Table(["ratio", *(MEASURED[name].header for name in costs.RATIOS)], rows)] if rows else []
    return Section("Relative cost", [note], tables=tables)
