"""All trials of a sweep as rows to sort and to filter, with settings, curve and the command that replays each."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.document import Section, TrialTable
from sweeps.analysis.numbers import or_absent, setting
from sweeps.analysis.stats.description.descriptive import selected_by, tuned_by
from sweeps.results.columns import named
from sweeps.results.schema import STAGES

COLUMNS: Final = (
    "stage", "trial_id", "cell_id", "replicate", "block", "end_reason", "last_epoch", "wall_s", "config_json",
)  # fmt: skip

HEADING: Final = "Trials"

HOW: Final = (
    "Every trial, in report.html: sort by a heading, choose by stage, cell and ending, copy as CSV. A click on a trial "
    "shows its settings, its curve and the command that trains it again."
)

DECIMALS: Final = 4
"""Of the values of a curve: more cannot be seen."""


def section(trials: pa.Table, curves: pa.Table, *, outcome: str, folder: str) -> Section:
    """The table; empty without trials.

    Args:
        trials: with the column `stage`.
        curves: with the column `stage`.
        outcome: column of `trials` that the sweep is judged by.
        folder: of the sweep, as commands name it.
    """
    if not trials.num_rows:
        return Section(HEADING)
    return Section(HEADING, [HOW], trials=trial_table(trials, curves, outcome=outcome, folder=folder))


def trial_table(trials: pa.Table, curves: pa.Table, *, outcome: str, folder: str) -> TrialTable:
    """Trials by stage and id; arguments as `section`."""
    measure = selected_by(trials)
    shown = list(dict.fromkeys((*COLUMNS, measure, outcome)))
    rows = trials.select([name for name in shown if name in trials.column_names]).to_pylist()
    rows.sort(key=lambda row: (STAGES.index(row["stage"]), row["trial_id"]))
    configs = [json.loads(row["config_json"]) for row in rows]
    names = _varying(configs)
    curve = _curves(curves, tuned_by(trials))
    twice = _ids_of_several_stages(rows)
    return TrialTable(
        header=[
            "trial",
            "stage",
            "cell",
            "replicate",
            "block",
            "ending",
            "epochs",
            named(measure),
            named(outcome),
            "s",
        ],
        rows=[_texts(row, measure, outcome) for row in rows],
        filters=["stage", "cell", "ending"],
        names=names,
        settings=[[_setting(config.get(name)) for name in names] for config in configs],
        curves=[curve.get((row["stage"], row["trial_id"]), []) for row in rows],
        commands=[_replay(row, folder, with_stage=row["trial_id"] in twice) for row in rows],
        measure=named(measure),
    )


def _texts(row: Row, measure: str, outcome: str) -> list[str]:
    return [
        row["trial_id"],
        row["stage"],
        row["cell_id"],
        str(row["replicate"] or 1),
        or_absent(row["block"], str),
        (row["end_reason"] or "").replace("_", " ").replace("asha", "ASHA"),
        or_absent(row["last_epoch"], str),
        or_absent(row.get(measure), "{:.4f}".format),
        or_absent(row.get(outcome), "{:.4f}".format),
        or_absent(row["wall_s"], "{:.1f}".format),
    ]


def _varying(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for config in configs:
        for name, value in config.items():
            seen.setdefault(name, set()).add(repr(value))
    return sorted(name for name, values in seen.items() if len(values) > 1)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return or_absent(value, setting)


def _curves(curves: pa.Table, measure: str) -> dict[tuple[str, str], list[float | None]]:
    """By (stage, trial_id), in order of epoch."""
    if measure not in curves.column_names or not curves.num_rows:
        return {}
    table = curves.select(["stage", "trial_id", "epoch", measure])
    order = pc.sort_indices(table, sort_keys=[("epoch", "ascending")])
    found: dict[tuple[str, str], list[float | None]] = {}
    for row in table.take(order).to_pylist():
        value = row[measure]
        found.setdefault((row["stage"], row["trial_id"]), []).append(None if value is None else round(value, DECIMALS))
    return found


def _ids_of_several_stages(rows: Sequence[Row]) -> set[str]:
    stages: dict[str, set[str]] = {}
    for row in rows:
        stages.setdefault(row["trial_id"], set()).add(row["stage"])
    return {trial for trial, own in stages.items() if len(own) > 1}


def _replay(row: Row, folder: str, *, with_stage: bool) -> str:
    stage = f" --stage {row['stage']}" if with_stage else ""
    return f"koleo-sweeps replay {shlex.quote(folder)} {row['trial_id']}{stage}"
