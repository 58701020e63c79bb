"""The stage search: TPE suggests, ASHA stops, over all factors in one block."""

from collections.abc import Collection, Sequence

import optuna

from embedding_core.config.train_config import TrainConfig
from sweeps.design.plan import SEARCH_BLOCK
from sweeps.engine import tuner
from sweeps.engine.records import split_files
from sweeps.engine.search.asha import Decision, Exemption, Rungs, milestones, scheduler_name
from sweeps.engine.search.optuna_study import STARTUP_TRIALS, open_study, reconcile
from sweeps.engine.search.searchers import StudySearch
from sweeps.engine.sweep import Sweep
from sweeps.engine.tuner import Remainder
from sweeps.results import store


def search(sweep: Sweep, again: Collection[str]) -> bool:
    """Run what is left of the search; whether all of it has ended.

    Args:
        sweep: whose.
        again: endings of trials that are run once more.
    """
    plan, folder = sweep.plan, sweep.folder
    finished = store.finished(folder, "search", retry=again)
    rows = store.read(folder, "trials", stage="search")
    first_trials = () if rows.num_rows else plan.preset.first_trials
    study = open_study(folder / "optuna.db", seed=plan.seed, first_trials=first_trials, searcher=plan.searcher)
    # A study that is older than the checkpoints, as a copy on a new machine is, must not give their numbers away.
    begun = {*store.attempts(folder, stage="search"), *sweep.checkpoint_store().runs("search")}
    reconcile(study, plan.design, rows, finished, measure=plan.outcome.final, begun=begun)
    if len(finished) >= plan.samples:
        return True
    retried = store.finished(folder, "search") - finished
    config = TrainConfig.from_flat({**plan.search_base, **next(plan.design.corners())})
    split_files.write(folder, sweep.data, [config])
    marks = milestones(sweep.epoch_images(config), config.epochs, eta=plan.eta, grace=plan.grace)
    left = Remainder(
        stage="search",
        searcher=_searcher(sweep, study, marks, finished, retried),
        rungs=_rungs(sweep, marks, retried),
        done=finished,
        images_per_trial=sweep.epoch_images(config) * config.epochs,
        constants={
            "sampler": f"TPE(n_startup_trials={STARTUP_TRIALS})" if plan.searcher == "tpe" else "random draws",
            "scheduler": scheduler_name(plan.eta, plan.grace),
        },
    )
    return tuner.run(sweep, left)


def _searcher(
    sweep: Sweep,
    study: optuna.Study,
    marks: Collection[int],
    finished: Collection[str],
    retried: Collection[str],
) -> StudySearch:
    return StudySearch(
        sweep.plan.design,
        study,
        outcome=sweep.plan.outcome,
        base=sweep.plan.search_base,
        rungs=marks,
        label={
            "study_id": sweep.study_id,
            "stage": "search",
            "replicate": 1,
            "master_seed": sweep.plan.seed,
            "block": SEARCH_BLOCK,
            "checkpoint_dir": sweep.checkpoint_dir,
            "epoch_deadline_s": sweep.epoch_deadline_s,
            "save_every_s": sweep.save_every_s,
            "data_sha256": sweep.data_sha256,
        },
        attempts=store.attempts(sweep.folder, stage="search"),
        finished=finished,
        retried=retried,
        pause=sweep.interruption.pause,
    )


def _rungs(sweep: Sweep, marks: Sequence[int], retried: Collection[str]) -> Rungs:
    """ASHA as an earlier start has left it."""
    decided = store.read(sweep.folder, "rungs", stage="search").to_pylist()
    # A value that was not finite stopped its trial; what is tried again is judged anew.
    replay = [Decision.of_row(row) for row in decided if row["is_finite"] or row["trial_id"] not in retried]
    return Rungs(marks, sweep.plan.eta, replay=replay, exempt=Exemption(sweep.plan.exempt, sweep.plan.seed))
