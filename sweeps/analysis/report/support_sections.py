"""The sections beside the effects: cells, mechanism contrasts, failures, relative cost."""

from typing import Final

import pyarrow as pa

from sweeps.analysis.document import Section, Table
from sweeps.analysis.figures.forest import name_of
from sweeps.analysis.report.effect_sections import ABSENT, estimate_texts
from sweeps.analysis.stats import cells, failures
from sweeps.analysis.stats.findings import Finding
from sweeps.analysis.stats.mechanism import METRICS, NOT_MEASURED
from sweeps.analysis.stats.outcomes import named
from sweeps.analysis.stats.plan import Contrast
from sweeps.analysis.wording import number, p_text

CELLS: Final = (
    "Over the blocks that a cell ran in, which controls share only in part: it is the contrasts that compare within "
    "blocks. The analysis of variance is exploratory."
)
MECHANISM: Final = (
    "The primaries on measures of the embeddings at the final epoch, validation split. Exploratory: intervals only."
)
RISKS: Final = "Runs that diverged or whose embeddings collapsed, with the 95 % interval (Wilson) of their share."


def support(found: list[Finding], trials: pa.Table) -> list[Section]:
    """Sections beside the effects, those without a table left out.

    Args:
        found: from `findings`.
        trials: with the column `stage`.
    """
    first = next((f.contrast for f in found if f.contrast.family == "primary" and f.result is not None), None)
    if first is None:
        return []
    sections = [_cells(found, trials), _mechanism(found), _risks(first, trials), _costs(first, trials)]
    return [section for section in sections if section.tables]


def _cells(found: list[Finding], trials: pa.Table) -> Section:
    """Per outcome: means of all cells over their measured runs; analysis of variance of what primaries compare."""
    estimated = [finding for finding in found if finding.result is not None]
    tables = []
    for outcome in dict.fromkeys(finding.contrast.outcome for finding in estimated):
        primaries = [f for f in estimated if (f.contrast.outcome, f.contrast.family) == (outcome, "primary")]
        means = cells.cell_means(cells.confirmed(trials, outcome=outcome))
        sources = cells.anova(cells.outcomes_of(f.result[1] for f in primaries if f.result is not None))
        what = named(outcome)
        if len(means) > 2:
            rows = [[m.cell_id, number(m.mean, decimals=4), _deviation(m), str(m.n)] for m in means]
            tables.append(Table([what, "mean", "SD", "n"], rows))
        if sources:
            name = "analysis of variance" if outcome == "test_auc" else f"analysis of variance, {what}"
            tables.append(Table([name, "df", "mean square", "F", "p"], [_source(s) for s in sources]))
    return Section("Cells", [CELLS], tables=tables)


def _deviation(mean: cells.CellMean) -> str:
    return number(mean.deviation, decimals=4) if mean.n > 1 else ABSENT


def _source(source: cells.Source) -> list[str]:
    f = ABSENT if source.f is None else f"{source.f:.2f}"
    p = ABSENT if source.p_value is None else p_text(source.p_value)
    return [source.name, str(source.df), f"{source.mean_square:.2g}", f, p]


def _mechanism(found: list[Finding]) -> Section:
    tables = []
    reasons: dict[str, list[str]] = {}
    for finding in found:
        there = [(METRICS[one.metric], one.effect) for one in finding.mechanism if one.effect is not None]
        if there:
            rows = [[name, *estimate_texts(effect), str(effect.n)] for name, effect in there]
            tables.append(Table([name_of(finding), "effect", "95 % interval", "n"], rows))
        for one in finding.mechanism:
            if one.reason:
                where = "" if one.reason == NOT_MEASURED else f"{name_of(finding)}: "
                reasons.setdefault(where + one.reason, []).append(METRICS[one.metric])
    absent = [f"{', '.join(dict.fromkeys(names))} ({reason})" for reason, names in reasons.items()]
    lines = [MECHANISM, *([f"Without a contrast: {'; '.join(absent)}."] if absent else [])]
    return Section("What changes in the embeddings", lines, tables=tables)


def _risks(first: Contrast, trials: pa.Table) -> Section:
    rows = []
    for risk in failures.failure_risks(trials):
        counts = {stage: f"{failed} of {n}" for stage, failed, n in risk.by_stage}
        by_stage = [counts.get(stage, ABSENT) for stage in failures.DESIGNED]
        rows.append([risk.name, *by_stage, f"{risk.ci_low:.0%} to {risk.ci_high:.0%}"])
    control = failures.risk_of(trials, first.control_cells, name=first.control)
    treatment = failures.risk_of(trials, first.treatment_cells, name=first.treatment)
    difference = failures.risk_difference(control, treatment)
    line = (
        f"Of {first.treatment} {treatment.failed} of {treatment.n} runs failed, of {first.control} "
        f"{control.failed} of {control.n}: a difference of {difference.estimate:+.1%} [{difference.ci_low:+.1%}, "
        f"{difference.ci_high:+.1%}] (Newcombe, runs taken as independent). Exploratory."
    )
    return Section("Failure risk", [RISKS, line], tables=[Table(["failed runs", "tune", "confirm", "95 %"], rows)])


def _costs(first: Contrast, trials: pa.Table) -> Section:
    """Relative to the control of the first primary."""
    reference = first.control_cells[0]
    rows = [
        [ratio.cell_id, *(ABSENT if (x := ratio.ratios[name]) is None else f"{x:.2f}" for name in cells.COSTS)]
        for ratio in cells.cost_ratios(trials, reference=reference)
    ]
    note = f"Relative to {reference}: geometric means over the blocks that completed in both."
    tables = [Table(["ratio", "time", "GPU time", "images"], rows)] if rows else []
    return Section("Relative cost", [note], tables=tables)
