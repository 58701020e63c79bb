"""The sections beside the effects: cells, mechanism contrasts, failures, relative cost."""

from typing import Final

import pyarrow as pa

from sweeps.analysis.document import Section, Table
from sweeps.analysis.numbers import ABSENT, estimate_texts, four, or_absent, percent
from sweeps.analysis.stats import costs, failures
from sweeps.analysis.stats.findings import Finding
from sweeps.analysis.stats.held_out import column_values, mean_of
from sweeps.analysis.stats.stored_plan import Contrast
from sweeps.results.columns import MEASURED, named

CELLS: Final = (
    "Over the replicates that a cell ran in, or over the seeds of a single one. It is the contrasts that compare "
    "within replicates."
)
MECHANISM: Final = (
    "The primaries on measures of the embeddings at the final epoch, validation split. Exploratory: intervals only."
)
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
    sections = [_cells(found, trials), _mechanism(found), _risks(first, trials), _costs(first, trials)]
    return [section for section in sections if section.tables]


def _cells(found: list[Finding], trials: pa.Table) -> Section:
    """Per outcome: means of all cells over their measured runs."""
    tables = []
    shown = [f.contrast.outcome for f in found if f.runs is not None and f.contrast.family != "common"]
    for outcome in dict.fromkeys(shown):
        values = column_values(trials, outcome)
        means = {cell: mean_of(values, cell) for cell in sorted({cell for cell, _ in values})}
        if len(means) > 2:
            rows = [[cell, four(m.mean), or_absent(m.deviation, four), str(m.n)] for cell, m in means.items() if m]
            tables.append(Table([named(outcome), "mean", "SD", "n"], rows))
    return Section("Cells", [CELLS], tables=tables)


def _mechanism(found: list[Finding]) -> Section:
    tables = []
    told: set[str] = set()
    for finding in found:
        there = [(one.metric, one.effect) for one in finding.mechanism if one.effect is not None]
        told |= {metric for metric, _ in there}
        if there:
            rows = [[named(metric), *estimate_texts(effect), str(effect.n)] for metric, effect in there]
            tables.append(Table([finding.name, "effect", "95 % interval", "n"], rows))
    reasons: dict[str, list[str]] = {}
    for one in (one for finding in found for one in finding.mechanism if one.metric not in told):
        reasons.setdefault(one.reason, []).append(named(one.metric))
    absent = [f"{', '.join(dict.fromkeys(names))} ({reason})" for reason, names in reasons.items()]
    lines = [MECHANISM, *([f"Without any contrast: {'; '.join(absent)}."] if absent else [])]
    return Section("What changes in the embeddings", lines, tables=tables)


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
        percent(x, decimals=1, signed=True) for x in (difference.estimate, difference.ci_low, difference.ci_high)
    )
    line = (
        f"Of {first.treatment} {treatment.failed} of {treatment.n} runs failed, of {first.control} "
        f"{control.failed} of {control.n}: a difference of {estimate} [{low}, {high}] (Newcombe, runs taken as "
        "independent). Exploratory."
    )
    return Section(RISK_HEADING, [RISKS, line], tables=[Table(["failed runs", "tune", "confirm", "95 %"], rows)])


def _costs(first: Contrast, trials: pa.Table) -> Section:
    """Relative to the control of the first primary."""
    reference = first.control_cells[0]
    rows = [
        [ratio.cell_id, *(or_absent(ratio.ratios[name], "{:.2f}".format) for name in costs.RATIOS)]
        for ratio in costs.cost_ratios(trials, reference=reference)
    ]
    note = f"Relative to {reference}: geometric means over the seeds that completed in both."
    tables = [Table(["ratio", *(MEASURED[name].header for name in costs.RATIOS)], rows)] if rows else []
    return Section("Relative cost", [note], tables=tables)
