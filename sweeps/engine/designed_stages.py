"""The stages whose runs are designed, tune and confirm: a list of runs, of which all that are not finished are run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sweeps.design import plan_file
from sweeps.design.runs import Run, confirm_runs, tune_runs
from sweeps.engine import split_files, tuner
from sweeps.engine.searchers import PlannedSearch
from sweeps.engine.sweep import Sweep
from sweeps.engine.tuner import Remainder
from sweeps.results import store
from trainables.run_label import RunLabel, to_flat, trial_name


def tune(sweep: Sweep, again: Collection[str]) -> bool:
    """Run what is left of the same points in every cell; whether all of it has ended.

    Args:
        sweep: whose.
        again: endings of trials that are run once more.
    """
    return _run(sweep, "tune", tune_runs(sweep.plan), again, {"sampler": f"Sobol({sweep.plan.points})"})


def confirm(sweep: Sweep, again: Collection[str]) -> bool:
    """Run what is left of the paired blocks of fresh seeds, one run per cell and block; the test split is read in each.

    Args:
        sweep: whose.
        again: endings of trials that are run once more.

    Raises:
        Faults: no settings to confirm: see `plan_file.settle`.
    """
    nuisance, plan_sha256 = plan_file.settle(sweep.plan, sweep.folder)
    runs = confirm_runs(sweep.plan, nuisance)
    return _run(sweep, "confirm", runs, again, {"sampler": sweep.plan.confirm, "plan_sha256": plan_sha256})


def _run(sweep: Sweep, stage: str, runs: Sequence[Run], again: Collection[str], constants: dict[str, Any]) -> bool:
    finished = store.finished(sweep.folder, stage, retry=again)
    split_files.write(sweep.folder, sweep.data, [run.config for run in runs])
    assert len(runs) == sweep.planned(stage), "the plan counts other runs than it lists"
    labels = labels_of(sweep, stage, runs, store.attempts(sweep.folder, stage=stage))
    pairs = zip(runs, labels, strict=True)
    remaining = [to_flat(run.config, label) for run, label in pairs if label.trial_id not in finished]
    if not remaining:
        return True
    config = runs[0].config
    left = Remainder(
        stage=stage,
        searcher=PlannedSearch(remaining),
        done=finished,
        images_per_trial=sweep.epoch_images(config) * config.epochs,
        constants={"master_seed": sweep.plan.seed, "scheduler": "none", **constants},
    )
    return tuner.run(sweep, left)


def labels_of(sweep: Sweep, stage: str, runs: Sequence[Run], attempts: Mapping[str, int]) -> list[RunLabel]:
    """Labels of the runs of a stage, whose ids are their places in its list.

    Args:
        sweep: whose.
        stage: `tune` or `confirm`.
        runs: all of the stage.
        attempts: highest so far by trial id.
    """
    return [
        RunLabel(
            study_id=sweep.study_id,
            stage=stage,
            cell_id=run.cell_id,
            trial_id=trial_name(number),
            block=run.block,
            origin=run.origin,
            attempt=attempts.get(trial_name(number), 0) + 1,
            checkpoint_dir=sweep.checkpoint_dir,
            point=run.point,
            epoch_deadline_s=sweep.epoch_deadline_s,
        )
        for number, run in enumerate(runs)
    ]
