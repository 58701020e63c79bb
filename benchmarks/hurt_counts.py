"""What is left of a sweep that was hurt: trials and rows counted, and every trial trained once more: see `kills.py`."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from kills import Hurt

from sweeps.commands import replay
from sweeps.engine.search.optuna_study import latest
from sweeps.results import store
from sweeps.results.endings import INFRASTRUCTURE
from trainables.run_label import trial_name

STATE_OF = {"completed": "COMPLETE", "error": "FAIL", "preempted": "FAIL"}
"""Optuna's state by ending; any other is PRUNED."""
ZEROS = (
    "trials lost", "trials beyond the plan", "trials doubled", "rows lost", "rows sent otherwise", "rows different",
    "seen otherwise than asked", "Optuna disagrees",
)  # fmt: skip
"""Counts that are to be zero."""


def counted(sweep: Hurt) -> Counter[str]:
    """Trials and rows planned, lost, doubled and different.

    A trial that goes on sends the rows of its checkpoint again, under the same attempt or the next, and the same ones.
    Every trial is then trained again in this process, undisturbed, and its rows compared with those stored.
    """
    found, folder = Counter[str](), sweep.folder
    for stage, planned in sweep.planned.items():
        trials = store.read(folder, "trials", stage=stage).to_pylist()
        ended = [row for row in trials if row["end_reason"] not in INFRASTRUCTURE]
        every = store.read(folder, "trials", stage=stage, attempts="all").to_pylist()
        finals = Counter(row["trial_id"] for row in every if row["end_reason"] not in INFRASTRUCTURE)
        sent = store.read(folder, "curves", stage=stage, attempts="all").to_pylist()
        contents = {((row["trial_id"], row["epoch"]), repr(untimed(row))) for row in sent}
        curves = {key for key, _ in contents}
        expected = {(row["trial_id"], epoch) for row in trials for epoch in range(1, row["last_epoch"] + 1)}
        names = planned_ids(sweep, stage)
        # `update` and not `+=`, which would drop the zeros.
        found.update({
            "trials planned": planned,
            "trials ended": len(ended),
            "trials lost": planned - len(names & {row["trial_id"] for row in ended}),
            "trials beyond the plan": len({row["trial_id"] for row in trials} - names),
            "trials doubled": sum(count - 1 for count in finals.values()),
            "rows expected": len(expected),
            "rows lost": len(expected - curves),
            "rows sent again": len(sent) - len(curves),
            "rows sent otherwise": len(contents) - len(curves),
            "rows different": sum(rows_different(folder, row) for row in ended if row["last_epoch"]),
            "seen otherwise than asked": sum(row["config_seen_sha256"] != row["config_sha256"] for row in ended),
        })  # fmt: skip
    found.update({"Optuna disagrees": disagreements(folder)})
    return found


def planned_ids(sweep: Hurt, stage: str) -> set[str]:
    """Trials that a stage is to have: the plan's indices, or the first that the study has begun."""
    if stage != "search":
        return {trial_name(number) for number in range(sweep.planned[stage])}
    return set(sorted(study_states(sweep.folder))[: sweep.planned[stage]])


def rows_different(folder: Path, trial: dict[str, Any]) -> int:
    """Epochs of a trial from the first whose row is another one when it is trained again, here and undisturbed."""
    found = replay.compared(folder, trial, replay.replay(trial, None))
    return trial["last_epoch"] - found[0].epoch + 1 if found else 0


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `curves` without ids and timing."""
    return {name: row[name] for name in replay.COMPARED}


def study_states(folder: Path) -> dict[str, str]:
    """State in Optuna's database by trial of the search."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'optuna.db'}")
    return {name: trial.state.name for name, trial in latest(study).items()}


def disagreements(folder: Path) -> int:
    """Search trials whose state in Optuna's database is not that of their ending, or that it lacks or has too many."""
    states, rows = study_states(folder), store.read(folder, "trials", stage="search").to_pylist()
    expected = {row["trial_id"]: STATE_OF.get(row["end_reason"], "PRUNED") for row in rows}
    return sum(states.get(trial) != expected.get(trial) for trial in states.keys() | expected.keys())
