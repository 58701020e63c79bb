"""An Optuna study from a file, SQLite or journal, whoever made it: a copy is opened, the file itself never."""

import hashlib
import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool

from embedding_core.errors import Faults, unknown
from sweeps.analysis.optuna_studies.counts import completed
from sweeps.analysis.stats.description.optuna_importances import quiet_optuna

PREFIX: Final = "optuna:"
SQLITE: Final = b"SQLite format 3\0"
LOCKED_S = 60.0
"""Seconds to wait for whoever writes in the database."""


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """One study as it stood when it was read."""

    path: Path
    sha256: str
    """Hash of the file."""

    cut_off: bool
    """Whether the last line of a journal was cut off, which Optuna passes over."""

    trials: tuple[FrozenTrial, ...]
    """In the order of their numbers; choices of categories, of whatever type, are texts that tell them apart."""

    study: optuna.Study
    """These trials in memory, for what Optuna says of them; there numbered from 0 without gaps."""

    best: tuple[FrozenTrial, ...]
    """Optuna's best of those that keep every constraint: the best value and its ties, or the Pareto front."""


def read_study(target: str) -> StoredStudy:
    """The study named by `PATH` or `PATH#NAME`; databases of older versions of Optuna are upgraded in a copy.

    Raises:
        Faults: no such file, no Optuna storage or a damaged one, no study of that name or several without a name, or no
            trials.
    """
    path, name = _located(target)
    content = path.read_bytes()
    try:
        with quiet_optuna(), TemporaryDirectory() as folder:
            study = _chosen(_opened(path, content, Path(folder) / "copy"), path, name)
            is_cut_off = not content.startswith(SQLITE) and not content.endswith(b"\n")
            return _read(study, path, hashlib.sha256(content).hexdigest(), is_cut_off)
    except (Faults, OSError):
        raise
    # Bytes that somebody else wrote, and that may be damaged: there is no end to what Optuna raises on them.
    except Exception as error:  # noqa: BLE001
        raise Faults([f"{path} cannot be read as an Optuna storage, it may be damaged: {_cause(error)}"]) from None


def _located(target: str) -> tuple[Path, str | None]:
    """File and name of the study; a `#` may belong to the file's own name."""
    file, mark, name = target.rpartition("#")
    path, chosen = (Path(target), None) if Path(target).exists() or not mark else (Path(file), name)
    if not path.is_file():
        raise Faults([f"There is no file {path}; `{PREFIX}PATH` takes the file of an Optuna study."])
    return path, chosen


def _opened(path: Path, content: bytes, copy: Path) -> BaseStorage:
    """Storage over a copy of the file."""
    if not content.startswith(SQLITE):
        copy.write_bytes(content)
        return JournalStorage(JournalFileBackend(str(copy)))
    _copy_database(path, content, copy)
    # Without a pool no connection outlives the copy.
    storage = RDBStorage(f"sqlite:///{copy}", {"poolclass": NullPool}, skip_compatibility_check=True)
    if storage.get_current_version() != storage.get_head_version():
        storage.upgrade()
    return storage


def _copy_database(path: Path, content: bytes, copy: Path) -> None:
    # Byte 18 says whether there is a write-ahead log. In that mode nobody is writing where the log is not there, and
    # SQLite would leave one; in the other a reader locks.
    still = "&immutable=1" if content[18:19] == b"\x02" and not path.with_name(f"{path.name}-wal").exists() else ""
    uri = f"{path.resolve().as_uri()}?mode=ro{still}"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=LOCKED_S)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute("begin")
        source.execute("select count(*) from sqlite_master").fetchone()  # waits for a writer; `backup` would for ever
        source.backup(target)
        # A lost page may hold an index that no query of Optuna asks, or trials that would then be missing in silence.
        (found,) = target.execute("pragma integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)


def _chosen(storage: BaseStorage, path: Path, name: str | None) -> optuna.Study:
    names = sorted(optuna.get_all_study_names(storage))
    if not names:
        raise Faults(
            [f"{path} holds no study; the SQLite database or the journal file of an Optuna study is asked for."]
        )
    if name is None and len(names) > 1:
        raise Faults([f"{path} holds {len(names)} studies; choose one with `{PREFIX}{path}#NAME`: {', '.join(names)}."])
    if name is not None and name not in names:
        raise Faults([unknown("study", name, names)])
    return optuna.load_study(study_name=name or names[0], storage=storage)


def _read(stored: optuna.Study, path: Path, sha256: str, cut_off: bool) -> StoredStudy:
    trials = sorted(map(_labelled, stored.get_trials()), key=lambda trial: trial.number)
    if not trials:
        raise Faults([f"Study `{stored.study_name}` in {path} has no trials: there is nothing to report."])
    for trial in completed(trials):
        if len(trial.values) != len(stored.directions) or any(map(math.isnan, trial.values)):
            raise ValueError(
                f"trial {trial.number} is completed with {trial.values}, of {len(stored.directions)} values"
            )
    # Not `copy_study`, which refuses trials that were enqueued with values outside of their ranges; Optuna runs those.
    memory = InMemoryStorage()
    study_id = memory.create_new_study(stored.directions, stored.study_name)
    for trial in trials:
        memory.create_new_trial(study_id, template_trial=trial)
    study = optuna.load_study(study_name=stored.study_name, storage=memory)
    if stored.metric_names:
        study.set_metric_names(stored.metric_names)
    best = tuple(trials[trial.number] for trial in study.best_trials)
    return StoredStudy(path, sha256, cut_off, tuple(trials), study, best)


def _labelled(trial: FrozenTrial) -> FrozenTrial:
    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, distribution in trial.distributions.items():
        if isinstance(distribution, CategoricalDistribution):
            exact = [repr(choice) for choice in distribution.choices]  # 1, 1.0, True and "1" are four of them
            texts = [str(choice) for choice in distribution.choices]
            labels = texts if len(set(texts)) == len(set(exact)) else exact
            params[name] = labels[exact.index(repr(trial.params[name]))]
            distributions[name] = CategoricalDistribution(labels)
    trial.params, trial.distributions = params, distributions
    return trial


def _cause(error: BaseException) -> str:
    """What the first of a chain of exceptions says, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{' '.join(str(error).split())[:200] or type(error).__name__}."
