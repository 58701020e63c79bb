"""Summaries that claim no effect: endings, censoring, best configurations, cost, provenance. Pure."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.config.train_config import TrainConfig
from embedding_core.storage.result_tables import Row
from sweeps.results.endings import END_REASONS
from sweeps.results.schema import SCHEMA_VERSION, STAGES, is_plugin_column

EMBEDDED: Final = ("digits",)
"""Data sets that need no `data_root`."""

UNFINISHED: Final = "unfinished"
"""Pseudo-ending of trials that have curves but no trials row: the sweep was interrupted."""

UNKNOWN_CELL: Final = "arm unknown"

SAMPLED: Final = "sampled"
"""`origin` of a tuning trial that was proposed after others had been seen."""

PROVENANCE: Final = (
    "study_id",
    "dataset",
    "split_sha256",
    "pairs_sha256",
    "data_sha256",
    "git_sha",
    "git_dirty",
    "versions",
    "device_name",
    "precision_used",
    "cpu_threads",
    "master_seed",
    "sampler",
    "scheduler",
    "argv",
)


@dataclass(frozen=True, slots=True)
class Best:
    """The completed trial of its arm with the highest final value of what the sweep is tuned by."""

    cell_id: str
    trial_id: str
    value: float
    n_completed: int
    command: str
    """Runs the same configuration again, without Ray."""


def rows_of(table: pa.Table, stage: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of one stage, in order of trial and epoch; only `columns`, where those are named (the table is wide)."""
    own = table.filter(pc.equal(table["stage"], stage))
    keys = [name for name in ("trial_id", "epoch") if name in own.column_names]
    order = pc.sort_indices(own.select(keys), sort_keys=[(name, "ascending") for name in keys])
    rows: list[dict[str, Any]] = (own if columns is None else own.select(list(columns))).take(order).to_pylist()
    return rows


def last_rows(curves: pa.Table, stage: str, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`columns` of the last epoch of each trial of a stage, by trial_id."""
    own = curves.filter(pc.equal(curves["stage"], stage))
    last = own.group_by("trial_id").aggregate([("epoch", "max")])
    ends = last.rename_columns({"epoch_max": "epoch"}).join(own, ["trial_id", "epoch"], join_type="left outer")
    return {row["trial_id"]: row for row in ends.select(["trial_id", *columns]).to_pylist()}


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def distinct(table: pa.Table, column: str) -> str:
    """The values of a column in order, joined by commas; nulls left out."""
    return ", ".join(sorted({str(value) for value in pc.unique(table[column]).to_pylist() if value is not None}))


def tuned_by(trials: pa.Table) -> str:
    """The column of `curves` that settings were chosen by, and that stopping and proposals followed."""
    known = pc.unique(trials["tuned_by"]).to_pylist() if "tuned_by" in trials.column_names else []
    return next((str(name) for name in known if name is not None), "val_auc")


def final_column(measure: str) -> str:
    """Column of `trials` with the last value of a validation measure: `val_auc` -> `final_val_auc`."""
    return f"final_{measure}"


def selected_by(trials: pa.Table) -> str:
    """Column of `trials` by whose value settings were chosen: the last one of `tuned_by`."""
    return final_column(tuned_by(trials))


def unfinished(trials: pa.Table, curves: pa.Table) -> list[tuple[str, str]]:
    """(stage, trial_id) of trials that have curves but no trials row."""
    keys = ["stage", "trial_id"]
    done, seen = (
        {(r["stage"], r["trial_id"]) for r in table.group_by(keys).aggregate([]).to_pylist()}
        for table in (trials.select(keys), curves.select(keys))
    )
    return sorted(seen - done)


def endings(trials: pa.Table, curves: pa.Table) -> list[dict[str, Any]]:
    """Trials per stage, arm and ending: `stage`, `cell_id`, one count per ending that occurs, `total`."""
    ended = trials.select(["stage", "cell_id", "end_reason"]).to_pylist()
    counts = Counter((r["stage"], r["cell_id"], r["end_reason"]) for r in ended)
    counts.update((stage, UNKNOWN_CELL, UNFINISHED) for stage, _ in unfinished(trials, curves))
    reasons = [reason for reason in (*END_REASONS, UNFINISHED) if any(key[2] == reason for key in counts)]
    arms = sorted({key[:2] for key in counts}, key=lambda arm: (STAGES.index(arm[0]), arm[1]))
    return [
        {"stage": stage, "cell_id": cell}
        | {reason: counts[stage, cell, reason] for reason in reasons}
        | {"total": sum(counts[stage, cell, reason] for reason in reasons)}
        for stage, cell in arms
    ]


def trials_by_stage(trials: pa.Table, curves: pa.Table) -> dict[str, int]:
    """Number of trials per stage, unfinished ones included; stages without any left out."""
    counts = Counter(trials["stage"].to_pylist())
    counts.update(stage for stage, _ in unfinished(trials, curves))
    return {stage: counts[stage] for stage in STAGES if counts[stage]}


def best_by_arm(trials: pa.Table) -> list[Best]:
    """Best completed search trial of each arm, best first; arms without a completed trial are left out.

    A maximum over unequal numbers of trials favours the arm with more of them: no comparison of arms.
    """
    found = []
    search, column = rows_of(trials, "search"), selected_by(trials)
    for cell in sorted({r["cell_id"] for r in search}):
        arm = [r for r in search if r["cell_id"] == cell]
        completed = [r for r in arm if r["end_reason"] == "completed" and r[column] is not None]
        if completed:
            top = max(completed, key=lambda r: r[column])
            found.append(Best(cell, top["trial_id"], top[column], len(completed), command_of(top)))
    return sorted(found, key=lambda best: (-best.value, best.cell_id))


def confirm_commands(trials: pa.Table) -> dict[str, str]:
    """Per confirm cell, the command that runs its first block again, of the first replicate."""
    commands: dict[str, str] = {}
    for row in sorted(rows_of(trials, "confirm"), key=lambda r: (r["cell_id"], r["replicate"] or 1, r["block"])):
        commands.setdefault(row["cell_id"], command_of(row))
    return commands


def command_of(row: Row) -> str:
    """`python -m embedding_core.train key=value ...` with every field that is not at its default, and the threads.

    Of plug-ins all fields: what they default to, the plug-ins alone know. Which file that was is for whoever runs it.
    """
    config, default = json.loads(row["config_json"]), TrainConfig().to_flat()
    parts = [
        shlex.quote(f"{name}={_spelled(value)}")
        for name, value in config.items()
        if is_plugin_column(name) or (name in default and value != default[name])
    ]
    if row["dataset"] not in EMBEDDED and row["data_root"] is not None:
        parts.append(shlex.quote(f"data_root={row['data_root']}"))
    threads = "" if row["cpu_threads"] is None else f"OMP_NUM_THREADS={row['cpu_threads']} "
    plugin = ["--plugin FILE"] if row.get("plugin_sha256") else []
    return threads + " ".join(["python -m embedding_core.train", *plugin, *parts])


def censoring(trials: pa.Table) -> list[dict[str, Any]]:
    """Per search arm: trials, how many ASHA stopped, their share, and the median epoch of the stop."""
    found = []
    search = rows_of(trials, "search", ("cell_id", "end_reason", "last_epoch"))
    for cell in sorted({r["cell_id"] for r in search}):
        arm = [r for r in search if r["cell_id"] == cell]
        epochs = [r["last_epoch"] for r in arm if r["end_reason"] == "asha_stopped" and r["last_epoch"] is not None]
        stopped = sum(r["end_reason"] == "asha_stopped" for r in arm)
        median = float(np.median(epochs)) if epochs else None
        found.append(
            {"cell_id": cell, "n": len(arm), "stopped": stopped, "share": stopped / len(arm), "median_epoch": median}
        )
    return found


def cost(trials: pa.Table) -> list[dict[str, Any]]:
    """Per stage and cell: trials, mean and total time (s), GPU time (s), images forwarded, peak device memory (B)."""
    found = []
    for stage in STAGES:
        rows = rows_of(trials, stage, ("cell_id", "wall_s", "gpu_s", "images_seen", "peak_gpu_bytes"))
        for cell in sorted({r["cell_id"] for r in rows}):
            arm = [r for r in rows if r["cell_id"] == cell]
            found.append(
                {
                    "stage": stage,
                    "cell_id": cell,
                    "n": len(arm),
                    "mean_wall_s": mean_of_known([r["wall_s"] for r in arm]),
                    "wall_s": sum(r["wall_s"] or 0.0 for r in arm),
                    "gpu_s": sum(r["gpu_s"] or 0.0 for r in arm),
                    "images_seen": sum(r["images_seen"] or 0 for r in arm),
                    "peak_gpu_bytes": max((r["peak_gpu_bytes"] or 0 for r in arm), default=0),
                }
            )
    return found


def provenance(trials: pa.Table, curves: pa.Table) -> list[tuple[str, str]]:
    """(name, distinct values) of what produced the rows; several values are all named."""
    found = [("schema_version", str(SCHEMA_VERSION))]
    found += [(f"trials in {stage}", str(n)) for stage, n in trials_by_stage(trials, curves).items()]
    for name in PROVENANCE:
        values = sorted({str(v) for v in pc.unique(trials[name]).to_pylist() if v is not None})
        found.append((name, "; ".join(values) or "not recorded"))
    return found


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
