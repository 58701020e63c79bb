"""The curves of a sweep as TensorBoard's runs, a folder per trial."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.types as kinds

from embedding_core.storage.result_tables import Row
from sweeps.analysis.numbers import plain
from sweeps.commands.event_file import EventFile
from sweeps.results import store
from sweeps.results.schema import CURVES

EVENTS: Final = "events.out.tfevents.sweep"
"""Name of a run's file; TensorBoard goes by `tfevents`."""

DRAWN: Final = tuple(
    field.name
    for field in CURVES
    if (kinds.is_floating(field.type) or kinds.is_integer(field.type)) and field.name not in ("attempt", "epoch")
)
"""Columns of numbers: each is a scalar by epoch."""

TOLD: Final = ("cell_id", "replicate", "block", "point", "origin", "end_reason", "final_val_auc", "test_auc")
"""Columns of `trials` that a run's text begins with."""


def write_runs(results_dir: Path, out: Path) -> dict[str, int]:
    """Write `out/STAGE/TRIAL_ID/` for each trial that has an epoch or has ended.

    An epoch's wall time is counted back from the trial's end by training and evaluation time; of a trial that has not
    ended it is that time alone, since 1970.

    Args:
        results_dir: folder of the sweep.
        out: existing folder.

    Returns:
        Runs by stage.

    Raises:
        Faults: as `store.read` does.
        OSError: e.g. disk full.
    """
    ended = {(row["stage"], row["trial_id"]): row for row in store.read(results_dir, "trials").to_pylist()}
    curves = _by_trial(store.read(results_dir, "curves"))
    counts: dict[str, int] = {}
    for stage, trial_id in sorted({*ended, *curves}):
        key = (stage, trial_id)
        folder = out / stage / trial_id
        folder.mkdir(parents=True)
        _write_run(folder / EVENTS, ended.get(key), curves.get(key, []))
        counts[stage] = counts.get(stage, 0) + 1
    return counts


def _by_trial(curves: pa.Table) -> dict[tuple[str, str], list[Row]]:
    """Rows by stage and trial, in order of epoch as the store has them."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in curves.select(["stage", "trial_id", "epoch", *DRAWN]).to_pylist():
        found.setdefault((row["stage"], row["trial_id"]), []).append(row)
    return found


def _write_run(file: Path, trial: Row | None, curve: Sequence[Row]) -> None:
    began = _began(trial, curve)
    with file.open("wb") as stream:
        events = EventFile(stream, began)
        if trial is not None:
            events.text("config", settings_table(trial), wall_time=began)
        for row in curve:
            values = {name: float(row[name]) for name in DRAWN if row[name] is not None}
            events.scalars(values, step=row["epoch"], wall_time=began + (row["elapsed_s"] or 0.0))


def _began(trial: Row | None, curve: Sequence[Row]) -> float:
    """Seconds since 1970 at which a trial that was never interrupted would have begun; 0 where its end is not known."""
    if trial is None or trial["ended_at"] is None:
        return 0.0
    spent = max((row["elapsed_s"] or 0.0 for row in curve), default=0.0)
    return float(trial["ended_at"].timestamp()) - spent


def settings_table(trial: Row) -> str:
    """What the trial is and how it was configured, as a Markdown table."""
    told: Mapping[str, object] = {name: trial[name] for name in TOLD if trial[name] is not None}
    config = json.loads(trial["config_json"]) if trial["config_json"] else {}
    lines = [f"| {name} | {plain(value)} |" for name, value in {**told, **config}.items()]
    return "\n".join(["| setting | value |", "|---|---|", *lines])
