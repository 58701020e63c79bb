"""The stages whose runs are designed, tune and confirm: a list of runs, of which all that are not finished are run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from embedding_core.config.train_config import TrainConfig
from sweeps.design import plan_file
from sweeps.design.design import Settings
from sweeps.design.runs import Run, confirm_runs, tune_runs
from sweeps.engine import tuner
from sweeps.engine.records import split_files
from sweeps.engine.search.asha import Decision, Rungs, RungsByStudy, milestones, scheduler_name
from sweeps.engine.search.cell_study import CellStudy, ShownStudies
from sweeps.engine.search.searchers import PlannedSearch
from sweeps.engine.search.tuning_search import TuningSearch
from sweeps.engine.sweep import Sweep
from sweeps.engine.tuner import Remainder
from sweeps.engine.watching.audience import Audience
from sweeps.results import store
from trainables.run_label import RunLabel, to_flat, trial_name

PROPOSALS = {"tpe": "TPE", "random": "random draws"}
"""What `trials.sampler` calls each of `SEARCHERS`."""

Labelled = Sequence[tuple[Run, RunLabel]]


def tune(sweep: Sweep, again: Collection[str]) -> bool:
    """Run what is left of the tunings of all cells and replicates; whether all of it has ended.

    Args:
        sweep: whose.
        again: endings of trials that are run once more.
    """
    runs = tune_runs(sweep.plan)
    if sweep.plan.tuner == "sobol":
        return _run(sweep, "tune", runs, again, {"sampler": f"Sobol({sweep.plan.points})"})
    labelled, finished = _labelled(sweep, "tune", runs), store.finished(sweep.folder, "tune", retry=again)
    left = [(run, label) for run, label in labelled if label.trial_id not in finished]
    if not left:
        return True
    split_files.write(sweep.folder, sweep.data, _with_splits(runs))
    remainder = Remainder(
        stage="tune",
        searcher=_tuning_search(sweep, labelled, left, finished),
        rungs=_rungs(sweep, labelled, {label.trial_id for _, label in left}),
        done=finished,
        images_per_trial=_most_images(sweep, runs),
        constants={
            "sampler": f"Sobol({sweep.plan.common_points}), then {PROPOSALS[sweep.plan.searcher]}",
            "scheduler": f"{scheduler_name(sweep.plan.eta, sweep.plan.grace)} in each study",
        },
    )
    return tuner.run(sweep, remainder)


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
    """Run what is left of runs that all have their settings, as many at once as there is room for."""
    finished = store.finished(sweep.folder, stage, retry=again)
    split_files.write(sweep.folder, sweep.data, _with_splits(runs))
    labelled = _labelled(sweep, stage, runs)
    remaining = [to_flat(run.config(), label) for run, label in labelled if label.trial_id not in finished]
    if not remaining:
        return True
    left = Remainder(
        stage=stage,
        searcher=PlannedSearch(remaining),
        done=finished,
        images_per_trial=_most_images(sweep, runs),
        constants={"scheduler": "none", **constants},
    )
    return tuner.run(sweep, left)


def _tuning_search(sweep: Sweep, labelled: Labelled, left: Labelled, finished: Collection[str]) -> TuningSearch:
    """The studies as an earlier start has left them."""
    plan = sweep.plan
    rows = {row["trial_id"]: row for row in store.read(sweep.folder, "trials", stage="tune").to_pylist()}
    cells = {cell.cell_id: cell for cell in plan.factorial.distinct}
    studies = {
        run.study: CellStudy(plan, cells[run.cell_id], seed=plan.seed + run.replicate - 1) for run, _ in labelled
    }
    names = [factor.name for factor in plan.nuisances]
    once_more: dict[str, Settings] = {
        label.trial_id: {name: rows[label.trial_id][name] for name in names if rows[label.trial_id][name] is not None}
        for _, label in left
        if label.trial_id in rows
    }
    return TuningSearch(
        left,
        studies,
        rows=[rows[label.trial_id] for _, label in labelled if label.trial_id in finished],
        settings_of=once_more,
        shown=Audience(
            {"The studies for optuna-dashboard": lambda: ShownStudies(sweep.folder / "optuna.db")},
            sweep.console,
            sweep.log,
        ),
        metric=plan.outcome.validation,
    )


def _rungs(sweep: Sweep, labelled: Labelled, left: Collection[str]) -> RungsByStudy[tuple[int, str]]:
    """ASHA in each study as an earlier start has left it; what is tried again after no finite value is judged anew."""
    decided = store.read(sweep.folder, "rungs", stage="tune").to_pylist()
    replay = [Decision.of_row(row) for row in decided if row["is_finite"] or row["trial_id"] not in left]
    study_of = {label.trial_id: run.study for run, label in labelled}
    first = {run.study: run for run, _ in reversed(labelled)}
    rungs = {}
    for study, run in first.items():
        config = run.config()
        marks = milestones(sweep.epoch_images(config), config.epochs, eta=sweep.plan.eta, grace=sweep.plan.grace)
        own = [decision for decision in replay if study_of[decision.trial_id] == study]
        rungs[study] = Rungs(marks, sweep.plan.eta, replay=own)
    return RungsByStudy(study_of, rungs)


def _with_splits(runs: Sequence[Run]) -> list[TrainConfig]:
    """A configuration of each cell in each replicate: cells may differ in what they hold out."""
    return [run.config() for run in {run.study: run for run in reversed(runs)}.values()]


def _most_images(sweep: Sweep, runs: Sequence[Run]) -> int:
    """Forwarded by the longest of them, by the first of each cell."""
    configs = [run.config() for run in {run.cell_id: run for run in reversed(runs)}.values()]
    return max(sweep.epoch_images(config) * config.epochs for config in configs)


def _labelled(sweep: Sweep, stage: str, runs: Sequence[Run]) -> list[tuple[Run, RunLabel]]:
    assert len(runs) == sweep.planned(stage), "the plan counts other runs than it lists"
    labels = labels_of(sweep, stage, runs, store.attempts(sweep.folder, stage=stage))
    return list(zip(runs, labels, strict=True))


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
            replicate=run.replicate,
            master_seed=sweep.plan.seed + run.replicate - 1,
            block=run.block,
            origin=run.origin,
            attempt=attempts.get(trial_name(number), 0) + 1,
            checkpoint_dir=sweep.checkpoint_dir,
            point=run.point,
            epoch_deadline_s=sweep.epoch_deadline_s,
            save_every_s=sweep.save_every_s,
            data_sha256=sweep.data_sha256,
        )
        for number, run in enumerate(runs)
    ]
