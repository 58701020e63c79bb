"""The Optuna study of a search: one file that survives its driver, and is told how each run ended."""

import math
import sqlite3
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from embedding_core.seeding import stream
from sweeps.design import Design, Factor, Levels
from sweeps.design.design import Settings, Value
from sweeps.design.tuning import SEARCHERS
from sweeps.engine.machines.filesystems import is_local
from sweeps.engine.private_api import SoleWriter, gone_on_with, reported
from sweeps.results.endings import INFEASIBLE, UNINFORMATIVE
from trainables.run_label import trial_name

STUDY_NAME = "search"
STARTUP_TRIALS = 10
"""Trials drawn at random before TPE has something to go by."""

RETRY_OF = "retry of"
"""User attribute of an Optuna trial that is another run of an earlier one: our id of it."""

LOST = "lost"
"""User attribute of an Optuna trial that stands for one of which nothing is left but its number."""

CONSTRAINT = "ran to a finite result"
"""Name of the constraint that diverged and out-of-memory trials violate; FAIL would teach TPE nothing."""


def open_study(
    file: Path, *, seed: int, first_trials: tuple[Settings, ...], searcher: str = SEARCHERS[0]
) -> optuna.Study:
    """Create or reopen the study in the SQLite file that optuna-dashboard browses live.

    Args:
        file: best on a disk of this machine; on a network share, which must lock files, commits are slower.
        seed: of the sampler; together with the number of trials it already has.
        first_trials: factor values to try first in a new study.
        searcher: one of `SEARCHERS`.
    """
    study = optuna.create_study(
        storage=storage_at(file), study_name=STUDY_NAME, direction="maximize", load_if_exists=True
    )
    known = len(study.get_trials(deepcopy=False))
    draw = stream(seed, "sampler", known) % 2**32
    if searcher == "random":
        study.sampler = optuna.samplers.RandomSampler(seed=draw)
    else:
        study.sampler = optuna.samplers.TPESampler(
            seed=draw, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
        )
    if known == 0:
        for settings in first_trials:
            study.enqueue_trial(dict(settings))
    return study


def storage_at(file: Path) -> SoleWriter:
    """The studies of a file that this process alone writes to, and Optuna's remarks kept to itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group` and `multivariate`, pinned
    # `creator` opens the file; a folder name with a question mark would not survive in a URL.
    backend = optuna.storages.RDBStorage(
        f"sqlite:///{file.name}", engine_kwargs={"creator": partial(_connect, str(file))}
    )
    return SoleWriter(backend)


def latest(study: optuna.Study) -> dict[str, FrozenTrial]:
    """Trials that have begun, by our id; of one that was run again, the last time."""
    begun = (t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING and LOST not in t.user_attrs)
    return {name_of(trial): trial for trial in begun}


def reconcile(
    study: optuna.Study,
    design: Design,
    trials: pa.Table,
    finished: Collection[str],
    *,
    measure: str,
    begun: Iterable[str] = (),
) -> None:
    """Tell the study what the trials table knows and it does not: its file may be older, or gone.

    What the study knows and the table does not, `StudySearch` hands out again.

    Args:
        study: from `open_study`.
        design: what is varied.
        trials: rows of the search.
        finished: trial ids whose row is final; the others are to be run again.
        measure: column of `trials` with the value that is told.
        begun: trial ids of which anything is left, a checkpoint say: no other settings get such a number.
    """
    _restore(study, design, {row["trial_id"]: row for row in trials.to_pylist()}, begun)
    running = {name: trial for name, trial in latest(study).items() if trial.state == TrialState.RUNNING}
    for row in trials.to_pylist():
        if row["trial_id"] in running and row["trial_id"] in finished:
            trial = gone_on_with(study, running[row["trial_id"]])
            tell(study, trial, row["end_reason"], row["images_seen"], row[measure])


def _restore(study: optuna.Study, design: Design, rows: Mapping[str, Mapping[str, Any]], begun: Iterable[str]) -> None:
    """Begin, with their parameters, the trials whose numbers the study has not reached.

    Numbers without a row, of trials that had not ended, are passed over: nothing tells their parameters.
    """
    known = len(study.get_trials(deepcopy=False))
    for number in range(known, max((int(name[1:]) + 1 for name in (*rows, *begun)), default=0)):
        row = rows.get(trial_name(number))
        if row is None:
            lost = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={LOST: True})
            study.add_trial(lost)
            continue
        given = [factor for factor in design.factors if factor.is_drawn(row)]
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params={factor.name: row[factor.name] for factor in given},
                distributions={factor.name: distribution(factor) for factor in given},
            )
        )


def distribution(factor: Factor) -> BaseDistribution:
    """What Optuna draws it from."""
    domain = factor.domain
    if isinstance(domain, Levels):
        return CategoricalDistribution(domain.values)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def drawn(factors: Sequence[Factor], trial: Trial, settled: Settings) -> dict[str, Value]:
    """A value of each factor whose condition holds beside `settled`, as the trial suggests it."""
    values: dict[str, Value] = {}
    for factor in factors:
        if not factor.is_drawn({**settled, **values}):
            continue
        domain = factor.domain
        if isinstance(domain, Levels):
            values[factor.name] = trial.suggest_categorical(factor.name, list(domain.values))
        else:
            values[factor.name] = trial.suggest_float(factor.name, domain.low, domain.high, log=domain.log)
    return values


def tell(
    study: optuna.Study, trial: Trial, end_reason: str | None, images_seen: int | None, value: float | None
) -> None:
    """How a run ended and its last value; `end_reason` None: the scheduler stopped it."""
    if end_reason in INFEASIBLE:
        trial.set_constraint(CONSTRAINT, 1.0)
    else:
        report(trial, images_seen, value)
    if end_reason == "completed":
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.FAIL if end_reason in UNINFORMATIVE else TrialState.PRUNED)


def report(trial: Trial, images_seen: int | None, value: float | None) -> None:
    """A value at its `images_seen`, once; a resumed run sends some again."""
    if images_seen is None or value is None or not math.isfinite(value):
        return
    if int(images_seen) not in reported(trial):
        trial.report(float(value), int(images_seen))


def _connect(file: str) -> sqlite3.Connection:
    """A write-ahead log makes commits cheap and lets the dashboard read meanwhile; on a network share it breaks."""
    connection = sqlite3.connect(file, timeout=60, check_same_thread=False)
    connection.execute(f"PRAGMA journal_mode={'WAL' if is_local(Path(file).parent) else 'DELETE'}")
    connection.execute("PRAGMA synchronous=EXTRA")  # a power cut takes back no commit, in neither mode
    return connection


def retry(study: optuna.Study, ended: FrozenTrial) -> FrozenTrial:
    """A further trial with the parameters of one that has ended, or the one that there is."""
    again = latest(study)[name_of(ended)]
    if again.state == TrialState.RUNNING:  # added before the disk failed
        return again
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=ended.params,
            distributions=ended.distributions,
            user_attrs={RETRY_OF: name_of(ended)},
        )
    )
    return latest(study)[name_of(ended)]


def name_of(trial: FrozenTrial) -> str:
    """Our id of an Optuna trial."""
    return str(trial.user_attrs.get(RETRY_OF, trial_name(trial.number)))
