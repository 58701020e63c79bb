"""Optuna inside Tune: what OptunaSearch gets wrong put right, and a study that survives its driver."""

import math
import sqlite3
import warnings
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from embedding_core.config import TrainConfig
from embedding_core.seeding import stream
from sweeps.engine.design import Design, Levels, Settings, Value
from trainables.label import RunLabel, to_flat

STUDY_NAME = "search"
STARTUP_TRIALS = 10
"""Trials drawn at random before TPE has something to go by."""

INFEASIBLE = "ran to a finite result"
"""Name of the constraint that diverged and out-of-memory trials violate; FAIL would teach TPE nothing."""


class DesignSpace:
    """The factors of a design as an Optuna define-by-run space; a class so that OptunaSearch can pickle it."""

    def __init__(self, design: Design) -> None:
        self._factors = design.factors

    def __call__(self, trial: Any) -> None:
        """Draw each factor whose condition holds."""
        drawn: dict[str, Value] = {}
        for factor in self._factors:
            if factor.when is not None and drawn.get(factor.when[0]) not in factor.when[1]:
                continue
            domain = factor.domain
            if isinstance(domain, Levels):
                drawn[factor.name] = trial.suggest_categorical(factor.name, list(domain.values))
            else:
                drawn[factor.name] = trial.suggest_float(factor.name, domain.low, domain.high, log=domain.log)


def open_study(file: Path, *, seed: int, first_trials: tuple[Settings, ...]) -> optuna.Study:
    """Create or reopen the study in the SQLite file that optuna-dashboard browses live.

    Args:
        file: on a disk of this machine, not a network share.
        seed: of the TPE sampler; together with the number of trials it already has.
        first_trials: factor values to try first in a new study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group` and `multivariate`, pinned
    # `creator` opens the file; a folder name with a question mark would not survive in a URL.
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{file.name}", engine_kwargs={"creator": partial(_connect, str(file))}
    )
    study = optuna.create_study(storage=storage, study_name=STUDY_NAME, direction="maximize", load_if_exists=True)
    known = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(
        seed=stream(seed, "sampler", known) % 2**32,
        n_startup_trials=STARTUP_TRIALS,
        multivariate=True,
        group=True,
        constant_liar=True,
    )
    if known == 0:
        for settings in first_trials:
            study.enqueue_trial(dict(settings))
    return study


def reconcile(study: optuna.Study, trials: pa.Table) -> None:
    """Tell the study what the trials table knows and it does not: after a power cut the database may lag.

    What the study knows and the table does not, `StudySearch` hands out again.
    """
    running = {trial_name(t.number): t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING}
    for row in trials.to_pylist():
        if row["trial_id"] in running:
            trial = Trial(study, running[row["trial_id"]]._trial_id)
            _tell(study, trial, row["end_reason"], row["images_seen"], row["final_val_auc"])


def _tell(
    study: optuna.Study, trial: Trial, end_reason: str | None, images_seen: int | None, val_auc: float | None
) -> None:
    """How a run ended and its last value; `end_reason` None: the scheduler stopped it."""
    if end_reason in ("diverged", "oom"):
        trial.set_constraint(INFEASIBLE, 1.0)
    else:
        _report(trial, images_seen, val_auc)
    if end_reason == "completed":
        study.tell(trial, val_auc)
    else:
        study.tell(trial, state=TrialState.FAIL if end_reason == "error" else TrialState.PRUNED)


def _report(trial: Trial, images_seen: int | None, val_auc: float | None) -> None:
    """A value at its `images_seen`, once; a resumed run sends some again."""
    if images_seen is None or val_auc is None or not math.isfinite(val_auc):
        return
    if int(images_seen) not in trial.storage.get_trial(trial._trial_id).intermediate_values:
        trial.report(float(val_auc), int(images_seen))


def _connect(file: str) -> sqlite3.Connection:
    """A write-ahead log halves the cost of a commit and lets the dashboard read meanwhile."""
    connection = sqlite3.connect(file, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


class StudySearch(OptunaSearch):
    """Suggests whole runs from an Optuna study, and tells it how each one ended.

    A completed run is COMPLETE with its last value; one that ASHA stopped or that collapsed is PRUNED with its values
    up to then; diverged and out-of-memory ones are PRUNED and infeasible; an error is FAIL. Trials without a row in
    the trials table are handed out again first, with their stored parameters and their own id: those an interrupted
    sweep left RUNNING, and those whose driver died between telling the study and writing the table.
    """

    def __init__(
        self,
        design: Design,
        study: optuna.Study,
        *,
        base: Settings,
        label: Mapping[str, Any],
        attempts: dict[str, int],
        finished: Collection[str],
    ) -> None:
        """Set up for the trials that are left.

        Args:
            design: what is varied.
            study: from `open_study`.
            base: fixed settings.
            label: RunLabel fields all trials share.
            attempts: highest so far by trial id.
            finished: trial ids that have a row in the trials table.
        """
        super().__init__(DesignSpace(design), metric="val_auc", mode="max", storage=optuna.storages.InMemoryStorage())
        self._ot_study = study  # type: ignore[assignment]
        self._study = study
        self._design, self._base, self._label, self._attempts = design, dict(base), dict(label), attempts
        started = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
        self._waiting = [t for t in started if trial_name(t.number) not in finished]
        self._told = {t.number for t in self._waiting if t.state.is_finished()}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ray's config of the next run."""
        if trial_id not in self._ot_trials and self._waiting:
            self._ot_trials[trial_id] = Trial(self._study, self._waiting.pop(0)._trial_id)
        drawn = super().suggest(trial_id) or {}
        ours = trial_name(self._ot_trials[trial_id].number)
        config = TrainConfig.from_flat({**self._base, **drawn})
        label = RunLabel(
            **self._label,
            cell_id=self._design.arm_of(config.to_flat()).cell_id,
            trial_id=ours,
            origin="sampled",
            attempt=self._attempts.get(ours, 0) + 1,
        )
        return to_flat(config, label)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the value at its `images_seen`."""
        trial = self._ot_trials[trial_id]
        if trial.number not in self._told:
            _report(trial, result["images_seen"], result["val_auc"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the run ended; an interrupted one stays RUNNING for the resume."""
        trial = self._ot_trials[trial_id]
        if trial.number in self._told:
            return
        if error:
            _tell(self._study, trial, "error", None, None)
        elif result is not None:  # Tune hands the last row to this method alone
            reason, images_seen = result.get("end_reason"), result.get("images_seen")
            _tell(self._study, trial, reason, images_seen, result.get("val_auc"))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study's own storage is what a resumed sweep reads."""


class PlannedSearch(Searcher):
    """Hands out a list of runs in its order."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        """Args: runs: Ray's config of each."""
        super().__init__()
        self._runs = list(runs)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Ray's config of the next run; as many are asked for as there are."""
        return self._runs.pop(0) if self._runs else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A plan learns nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is planned minus what is finished is run again."""


def trial_name(number: int) -> str:
    """Our stable id of a trial: `t00012`."""
    return f"t{number:05d}"
