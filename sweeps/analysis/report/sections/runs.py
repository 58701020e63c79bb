"""Sections of tables that claim no effect: configurations, endings, stopping, mechanism, cost, provenance."""

from collections import Counter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.wording import plural
from sweeps.analysis.document import Picture, Section, Table, compact
from sweeps.analysis.figures.drawing.style import ADAPTIVE
from sweeps.analysis.numbers import ABSENT, number, or_absent, percent
from sweeps.analysis.stats.description import costs, descriptive
from sweeps.analysis.stats.description.censoring import ipw_means
from sweeps.analysis.stats.description.descriptive import selected_by
from sweeps.analysis.stats.description.mechanism import SHOWN, final_means
from sweeps.analysis.wording import cell_name
from sweeps.results.columns import MEASURED, named
from sweeps.results.schema import STAGES

STOPPING: Final = (
    "Weighted means correct for stopping: a trial that ASHA would have stopped, but that was drawn to go on, stands "
    "for all that were stopped (weight 1 / share exempt), others count once. ± is the linearised standard error of a "
    "weighted ratio over the arm's trials, taken as independent, which under an adaptive sampler they are not: this "
    "audits the stopping and compares no arms."
)


def configurations(trials: pa.Table) -> Section:
    """The best of the search and the commands that run a configuration again."""
    best = descriptive.best_by_arm(trials)
    commands = descriptive.confirm_commands(trials)
    paragraphs = []
    if best:
        paragraphs.append(
            f"Best completed search trial: {best[0].trial_id} ({cell_name(best[0].cell_id)}), final "
            f"{named(selected_by(trials))} {number(best[0].value)}. Best of each arm, a maximum that favours the arm "
            "with more trials: "
            + "; ".join(f"{cell_name(b.cell_id)} {number(b.value)} of {b.n_completed} completed" for b in best)
            + "."
        )
    lines = [(f"{b.trial_id}, best of {cell_name(b.cell_id)}", b.command) for b in best]
    lines += [(f"confirm, {cell_name(cell)}, first block", command) for cell, command in commands.items()]
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
            when = "" if row["median_epoch"] is None else f"; median epoch {row['median_epoch']:g}"
            stops.append(f"{cell_name(row['cell_id'])} {row['stopped']} of {row['n']} ({percent(row['share'])}{when})")
    paragraphs = [f"Stopped early by ASHA: {'; '.join(stops)}."] if stops else []
    errors = Counter(reason for reason in trials["error_type"].to_pylist() if reason is not None)
    paragraphs += [f"{plural(count, 'trial')}: {reason}" for reason, count in sorted(errors.items())]
    return Section("Runs per arm and ending", paragraphs, tables=tables)


def stopping(trials: pa.Table) -> Section:
    """The means of `ipw_means`; empty where no trial was exempt from stopping."""
    found = ipw_means(trials)
    if not any(one.exempt for one in found):
        return Section("What stopping hid")
    header = ["arm", "trials", "stopped", "exempt, below a cutoff", "last values", "completed", "weighted"]
    rows = [
        [
            one.cell_id,
            str(one.n),
            str(one.stopped),
            str(one.exempt),
            number(one.last_values),
            or_absent(one.complete_cases),
            or_absent(one.weighted) + ("" if one.se is None else f" ± {number(one.se)}"),
        ]
        for one in found
    ]
    return Section("What stopping hid", [STOPPING], tables=[Table(header, rows)])


def mechanism(trials: pa.Table, curves: pa.Table, pictures: list[Picture]) -> Section:
    """Means of what tells how KoLeo and accumulation act."""
    stage = "confirm" if pc.any(pc.equal(trials["stage"], "confirm")).as_py() else "search"
    rows = final_means(trials, curves, stage=stage)
    names = [name for name in SHOWN if any(row[name] is not None for row in rows)]
    columns = {row["cell_id"]: [str(row["n"]), *(or_absent(row[name], _mean) for name in names)] for row in rows}
    what = f"Means at the final epoch over completed {stage} trials"
    what += f"; {ADAPTIVE}." if stage == "search" else ", validation split."
    tables = compact(stage, ["n", *(named(name) for name in names)], columns)
    return Section("Mechanism", [what] if tables else [], tables=tables, pictures=pictures)


def _mean(value: float) -> str:
    return number(value, decimals=3 if abs(value) < 10 else 1)


def cost(trials: pa.Table) -> Section:
    """Time, images and memory per stage and cell."""
    time, gpu_time = (f"{MEASURED[name].label} ({MEASURED[name].unit})" for name in ("wall_s", "gpu_s"))
    names = ["trials", f"mean {time}", f"total {time}", gpu_time, named("images_seen"), "peak GPU memory (MiB)"]
    tables, rows = [], descriptive.cost(trials)
    for stage in sorted({r["stage"] for r in rows}, key=STAGES.index):
        columns = {
            r["cell_id"]: [
                str(r["n"]),
                or_absent(r["mean_wall_s"], lambda x: f"{x:,.1f}"),
                f"{r['wall_s']:,.0f}",
                f"{r['gpu_s']:,.0f}",
                f"{r['images_seen']:,}",
                f"{r['peak_gpu_bytes'] / 2**20:,.0f}" if r["peak_gpu_bytes"] else ABSENT,
            ]
            for r in rows
            if r["stage"] == stage
        }
        tables += compact(stage, names, columns)
    known = costs.cost_rows(trials)
    saving = costs.saving(known)
    saved = f"ASHA stopped {plural(saving.stopped, 'trial')}, which at their own rates would have cost another "
    saved += f"{saving.saved_s:,.0f} {costs.unit_of(known)}, {percent(saving.share)} of the whole search."
    return Section("Cost", [saved] if saving.stopped else [], tables=tables)


def provenance(trials: pa.Table, curves: pa.Table) -> Section:
    """What produced the rows."""
    pairs = descriptive.provenance(trials, curves)
    return Section("Provenance", tables=[Table(["", "value"], [[n.replace("_", " "), value] for n, value in pairs])])
