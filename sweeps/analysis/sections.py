"""The report as a list of sections: text, tables and figures in reading order, before any markup."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from sweeps.analysis import descriptive, effect_sections, figure_data, figures, view_data, view_pictures
from sweeps.analysis.findings import Finding, findings, no_effect_claimed, scope
from sweeps.analysis.importances import search_importances
from sweeps.analysis.page import Picture, Section, Table, transposed
from sweeps.analysis.plan import Contrast
from sweeps.analysis.wording import number
from sweeps.results.schema import STAGES

ABSENT: Final = "–"

MECHANISM_WORDS: Final = {
    "val_effective_rank": "effective rank",
    "val_uniformity": "uniformity (lower: more uniform)",
    "val_nn_distance": "nearest-neighbour distance",
    "koleo_nn_same_class_frac": "same-class share of KoLeo's neighbours",
    "val_sim_mean": "mean cosine similarity",
}


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    study: str
    question: str
    verdicts: list[str]
    sections: list[Section]
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Views:
    """What is stored of the embeddings of single runs; tables with `stage`."""

    views: pa.Table
    eval_groups: pa.Table


def report_of(trials: pa.Table, curves: pa.Table, contrasts: list[Contrast], embedded: Views | None = None) -> Report:
    """The report of a sweep's tables (with `stage`), of which `trials` or `curves` has rows."""
    found = findings(trials, curves, contrasts)
    dataset = _distinct(trials, "dataset") or "data set not recorded yet"
    sections = [
        effect_sections.effects(found),
        Section("What this can and cannot say", scope(trials, found)),
        Section("Sensitivity", [line for finding in found for line in finding.sensitivity]),
        Section("Block by block", pictures=effect_sections.paired(found, dataset)),
        _best(trials),
        _endings(trials, curves),
        Section(
            "Learning curves", pictures=_curves(trials, curves, dataset) + effect_sections.by_epoch(found, dataset)
        ),
        _search(trials, dataset),
        _importances(trials, dataset),
        _mechanism(trials, curves),
        Section("Embeddings", pictures=_embeddings(trials, contrasts, embedded, dataset)),
        _cost(trials),
        Section("Provenance", tables=[_pairs_table(descriptive.provenance(trials, curves))]),
    ]
    return Report(
        study=_distinct(trials, "study_id") or ", ".join(sorted({c.study_id for c in contrasts})) or "sweep",
        question=next((c.question for c in contrasts if c.question), ""),
        verdicts=[finding.verdict for finding in found] or [no_effect_claimed(trials, curves)],
        sections=[s for s in sections if s.paragraphs or s.commands or s.tables or s.pictures],
        findings=found,
    )


def _curves(trials: pa.Table, curves: pa.Table, dataset: str) -> list[Picture]:
    pictures = []
    for stage in descriptive.trials_by_stage(trials, curves):
        data = figure_data.curve_data(trials, curves, stage=stage, dataset=dataset)
        if data.curves:
            reading = "A thin line is one trial" + ("; a thick line is the mean of its arm." if data.means else ".")
            pictures.append(Picture(f"curves-{stage}", figures.draw_curves(data), reading))
    return pictures


def _best(trials: pa.Table) -> Section:
    best = descriptive.best_by_arm(trials)
    commands = descriptive.confirm_commands(trials)
    paragraphs = []
    if best:
        paragraphs.append(
            f"Best completed search trial: {best[0].trial_id} ({best[0].cell_id}), final validation AUC "
            f"{number(best[0].final_val_auc)}. Best of each arm, a maximum that favours the arm with more trials: "
            + "; ".join(f"{b.cell_id} {number(b.final_val_auc)} of {b.n_completed} completed" for b in best)
            + "."
        )
    lines = [(f"{b.trial_id}, best of {b.cell_id}", b.command) for b in best]
    lines += [(f"confirm, {cell}, first block", command) for cell, command in commands.items()]
    if lines:
        paragraphs.append("To run one again, without Ray:")
    return Section("Best configuration" if best else "Configurations", paragraphs, lines)


def _endings(trials: pa.Table, curves: pa.Table) -> Section:
    rows = descriptive.endings(trials, curves)
    tables = []
    for stage in descriptive.trials_by_stage(trials, curves):
        arms = [r for r in rows if r["stage"] == stage]
        names = [n for n in arms[0] if n not in ("stage", "cell_id") and any(arm[n] for arm in arms)]
        labels = [name.replace("_", " ").replace("asha", "ASHA") for name in names]
        columns = {arm["cell_id"]: [str(arm[name]) for name in names] for arm in arms}
        tables += transposed(stage, labels, columns)
    stops = []
    for row in descriptive.censoring(trials):
        if row["stopped"]:
            when = "" if row["median_epoch"] is None else f", half of them by epoch {row['median_epoch']:g}"
            stops.append(f"{row['cell_id']} {row['stopped']} of {row['n']} ({row['share']:.0%}{when})")
    paragraphs = [f"Stopped early by ASHA: {'; '.join(stops)}."] if stops else []
    errors = Counter(row["error_type"] for row in trials.to_pylist() if row["error_type"] is not None)
    paragraphs += [f"{count} trials: {reason}" for reason, count in sorted(errors.items())]
    return Section("Runs per arm and ending", paragraphs, tables=tables)


def _search(trials: pa.Table, dataset: str) -> Section:
    data = figure_data.search_data(trials, dataset=dataset)
    if not data.values:
        return Section("Search")
    reading = "The first ten trials are drawn at random, later ones where earlier ones did well: it rises by design."
    return Section("Search", pictures=[Picture("search", figures.draw_search(data), reading)])


def _importances(trials: pa.Table, dataset: str) -> Section:
    """Bars where an evaluator answered, its reason where it did not."""
    heading = "Importance of the settings in the search"
    if not descriptive.rows_of(trials, "search"):
        return Section(heading)
    given = search_importances(trials)
    lines = [f"{item.evaluator}: {item.reason}." for item in given if item.reason]
    for name in sorted({name for item in given for name in item.conditional}):
        n = max(item.conditional[name][1] for item in given if name in item.conditional)
        shares = ", ".join(
            f"{item.evaluator} {number(item.conditional[name][0], decimals=2)}"
            for item in given
            if name in item.conditional
        )
        lines.append(f"{name}, which only {n} of {given[0].n} completed trials have, among those: {shares}.")
    if not any(item.shares for item in given):
        return Section(heading, lines)
    picture = Picture(
        "importances",
        figures.draw_importances(figure_data.bar_data(given, dataset=dataset)),
        "Completed trials only, so the sample is the sampler's and the survivors'. The evaluators answer different "
        "questions and may disagree.",
    )
    return Section(heading, lines, pictures=[picture])


def _mechanism(trials: pa.Table, curves: pa.Table) -> Section:
    stage = "confirm" if descriptive.rows_of(trials, "confirm") else "search"
    rows = descriptive.mechanism(trials, curves, stage=stage)
    columns = {
        row["cell_id"]: [str(row["n"]), *(_or_absent(row[name], number) for name in descriptive.MECHANISM)]
        for row in rows
    }
    what = f"Means at the final epoch over completed {stage} trials"
    what += f"; {figure_data.ADAPTIVE}." if stage == "search" else ", validation split."
    tables = transposed(stage, ["n", *(MECHANISM_WORDS[name] for name in descriptive.MECHANISM)], columns)
    return Section("Mechanism", [what] if tables else [], tables=tables)


def _embeddings(trials: pa.Table, contrasts: list[Contrast], embedded: Views | None, dataset: str) -> list[Picture]:
    """The arms of the first contrast side by side."""
    if embedded is None:
        return []
    cells = [contrasts[0].control, contrasts[0].treatment] if contrasts else []
    shown = view_data.shown(embedded.views, trials, cells, dataset=dataset)
    return [Picture(*item) for item in view_pictures.pictures(shown, embedded.eval_groups)] if shown else []


def _cost(trials: pa.Table) -> Section:
    names = ["trials", "mean time (s)", "total time (s)", "GPU time (s)", "images forwarded", "peak GPU memory (MiB)"]
    tables, rows = [], descriptive.cost(trials)
    for stage in sorted({r["stage"] for r in rows}, key=STAGES.index):
        columns = {
            r["cell_id"]: [
                str(r["n"]),
                _or_absent(r["mean_wall_s"], lambda x: f"{x:,.1f}"),
                f"{r['wall_s']:,.0f}",
                f"{r['gpu_s']:,.0f}",
                f"{r['images_seen']:,}",
                f"{r['peak_gpu_bytes'] / 2**20:,.0f}" if r["peak_gpu_bytes"] else ABSENT,
            ]
            for r in rows
            if r["stage"] == stage
        }
        tables += transposed(stage, names, columns)
    return Section("Cost", tables=tables)


def _pairs_table(pairs: list[tuple[str, str]]) -> Table:
    return Table(["", "value"], [[name.replace("_", " "), value] for name, value in pairs])


def _or_absent(value: float | None, write: Callable[[Any], str]) -> str:
    return ABSENT if value is None else write(value)


def _distinct(trials: pa.Table, name: str) -> str:
    return ", ".join(sorted({str(value) for value in trials[name].to_pylist() if value is not None}))
