"""Sections of tables that claim no effect: configurations, endings, tuned settings, mechanism, cost, provenance."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Picture, Section, Table, compact
from sweeps.analysis.figures.style import ADAPTIVE
from sweeps.analysis.stats import costs, descriptive
from sweeps.analysis.stats.plan import Plan
from sweeps.analysis.wording import number
from sweeps.results.schema import STAGES

ABSENT: Final = "–"

MECHANISM_WORDS: Final = {
    "val_effective_rank": "effective rank",
    "val_uniformity": "uniformity (lower: more uniform)",
    "val_nn_distance": "nearest-neighbour distance",
    "koleo_nn_same_class_frac": "same-class share of KoLeo's neighbours",
    "nn_agreement": "neighbours in the same micro-batch",
    "micro_full_grad_cos": "cosine of naive and full-batch gradient",
    "val_sim_mean": "mean cosine similarity",
}


def configurations(trials: pa.Table) -> Section:
    """The best of the search and the commands that run a configuration again."""
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


def endings(trials: pa.Table, curves: pa.Table) -> Section:
    """Runs per cell by how they ended, one table a stage."""
    rows = descriptive.endings(trials, curves)
    tables = []
    for stage in descriptive.trials_by_stage(trials, curves):
        arms = [r for r in rows if r["stage"] == stage]
        names = [n for n in arms[0] if n not in ("stage", "cell_id") and any(arm[n] for arm in arms)]
        labels = [name.replace("_", " ").replace("asha", "ASHA") for name in names]
        columns = {arm["cell_id"]: [str(arm[name]) for name in names] for arm in arms}
        tables += compact(stage, labels, columns)
    stops = []
    for row in descriptive.censoring(trials):
        if row["stopped"]:
            when = "" if row["median_epoch"] is None else f", half of them by epoch {row['median_epoch']:g}"
            stops.append(f"{row['cell_id']} {row['stopped']} of {row['n']} ({row['share']:.0%}{when})")
    paragraphs = [f"Stopped early by ASHA: {'; '.join(stops)}."] if stops else []
    errors = Counter(reason for reason in trials["error_type"].to_pylist() if reason is not None)
    paragraphs += [f"{count} trials: {reason}" for reason, count in sorted(errors.items())]
    return Section("Runs per arm and ending", paragraphs, tables=tables)


def tuned(plan: Plan, pictures: list[Picture]) -> Section:
    """Settings that each cell runs with, and whether tuning found them at an edge of their range."""
    settings, best = plan.nuisance or {}, plan.tuned or {}
    if not any(settings.values()) and not best:
        return Section("Settings", pictures=pictures)
    names = sorted({name for values in settings.values() for name in values})
    columns = {}
    for cell, values in settings.items():
        trial = best.get(cell, {})
        edges = trial.get("edges") or {}
        column = [_setting(values[name], edges.get(name)) if name in values else ABSENT for name in names]
        auc = trial.get("final_val_auc")
        columns[cell] = column + ([trial.get("trial_id", ABSENT), _or_absent(auc, number)] if best else [])
    labels = [name.replace("_", " ") for name in names] + (["from trial", "its validation AUC"] if best else [])
    flagged = sorted(cell for cell, trial in best.items() if trial.get("edges"))
    lines = []
    if flagged:
        lines.append(
            f"The best is the outermost value tried in: {'; '.join(flagged)}. A better value may lie beyond it, so "
            "such a cell may be tuned less well than the others."
        )
    elif best:
        lines.append("No best setting is the outermost that was tried.")
    return Section(
        "Tuned settings" if best else "Settings", lines, tables=compact("", labels, columns), pictures=pictures
    )


def mechanism(trials: pa.Table, curves: pa.Table, pictures: list[Picture]) -> Section:
    """Means of what tells how KoLeo and accumulation act."""
    stage = "confirm" if pc.any(pc.equal(trials["stage"], "confirm")).as_py() else "search"
    rows = descriptive.mechanism(trials, curves, stage=stage)
    names = [name for name in descriptive.MECHANISM if any(row[name] is not None for row in rows)]
    columns = {row["cell_id"]: [str(row["n"]), *(_or_absent(row[name], number) for name in names)] for row in rows}
    what = f"Means at the final epoch over completed {stage} trials"
    what += f"; {ADAPTIVE}." if stage == "search" else ", validation split."
    tables = compact(stage, ["n", *(MECHANISM_WORDS[name] for name in names)], columns)
    return Section("Mechanism", [what] if tables else [], tables=tables, pictures=pictures)


def cost(trials: pa.Table) -> Section:
    """Time, images and memory per stage and cell."""
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
        tables += compact(stage, names, columns)
    known = costs.rows_of(trials)
    saving = costs.saving(known)
    saved = f"ASHA stopped {saving.stopped} trials, which at their own rates would have cost another "
    saved += f"{saving.saved_s:,.0f} {costs.unit_of(known)}, {saving.share:.0%} of the whole search."
    return Section("Cost", [saved] if saving.stopped else [], tables=tables)


def provenance(trials: pa.Table, curves: pa.Table) -> Section:
    """What produced the rows."""
    pairs = descriptive.provenance(trials, curves)
    return Section("Provenance", tables=[Table(["", "value"], [[n.replace("_", " "), value] for n, value in pairs])])


def _setting(value: Any, edge: str | None) -> str:
    text = number(value, decimals=_decimals(value)) if isinstance(value, float) else str(value)
    return f"{text} ({edge}est tried)" if edge else text


def _decimals(value: float) -> int:
    """Digits after the point that show three that count, at least three and at most seven."""
    return next((d for d in range(3, 7) if abs(value) >= 10.0 ** (2 - d)), 7)


def _or_absent(value: float | None, write: Callable[[Any], str]) -> str:
    return ABSENT if value is None else write(value)
