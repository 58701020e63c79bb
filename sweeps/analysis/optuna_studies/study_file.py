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
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from embedding_core.errors import Faults, unknown
from sweeps.analysis.stats.description.optuna_importances import quiet_optuna
from sweeps.analysis.wording import STUDY

SQLITE: Final = b"SQLite format 3\0"
LOCKED_S = 60.0
"""Seconds to wait for whoever writes in the database."""


@dataclass(frozen=True, slots=True)
class StudyFile:
    """The file that a study was read from."""

    name: str
    """Without its folder."""

    sha256: str
    is_cut_off: bool
    """Whether it is a journal whose last line is cut off: Optuna passes over that line."""


def read_study(target: str) -> tuple[optuna.Study, StudyFile]:
    """The study named by `PATH` or `PATH#NAME` in memory; databases of older versions of Optuna are upgraded in a copy.

    Choices of categories, of whatever type, are texts that tell them apart.

    Raises:
        Faults: no such file, no Optuna storage or a damaged one, no study of that name or several without a name, or no
            trials.
    """
    file, mark, name = (target, "", "") if Path(target).exists() else target.rpartition("#")  # a file may have a `#`
    path = Path(file if mark else target)
    if not path.is_file():
        raise Faults([f"There is no file {path}; `{STUDY}PATH` takes the file of an Optuna study."])
    content = path.read_bytes()
    try:
        with quiet_optuna(), TemporaryDirectory() as folder:
            study = _in_memory(_chosen(_opened(path, content, Path(folder) / "copy"), path, name if mark else None))
    except (Faults, OSError):
        raise
    # Bytes that somebody else wrote, and that may be damaged: there is no end to what Optuna raises on them.
    except Exception as error:  # noqa: BLE001
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        cause = " ".join(str(first).split())[:200] or type(first).__name__
        raise Faults([f"{path} cannot be read as an Optuna storage, it may be damaged: {cause}."]) from None
    if not study.get_trials(deepcopy=False):
        raise Faults([f"Study `{study.study_name}` in {path} has no trials: there is nothing to report."])
    is_cut_off = not content.startswith(SQLITE) and not content.endswith(b"\n")
    return study, StudyFile(path.name, hashlib.sha256(content).hexdigest(), is_cut_off)


def _opened(path: Path, content: bytes, copy: Path) -> BaseStorage:
    """Storage over a copy of the file."""
    if not content.startswith(SQLITE):
        copy.write_bytes(content)
        return JournalStorage(JournalFileBackend(str(copy)))
    # Byte 18 says whether there is a write-ahead log. In that mode nobody is writing where the log is not there, and
    # SQLite would leave one; in the other a reader locks.
    still = "&immutable=1" if content[18:19] == b"\x02" and not path.with_name(f"{path.name}-wal").exists() else ""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{still}", timeout=LOCKED_S, uri=True)) as database:
        # A lost page may hold an index that no query of Optuna asks, or trials that would then be missing in silence.
        (found,) = database.execute("pragma integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        database.execute("vacuum into ?", [str(copy)])
    # Without a pool no connection outlives the copy.
    storage = RDBStorage(f"sqlite:///{copy}", {"poolclass": NullPool}, skip_compatibility_check=True)
    if storage.get_current_version() != storage.get_head_version():
        storage.upgrade()
    return storage


def _chosen(storage: BaseStorage, path: Path, name: str | None) -> optuna.Study:
    names = sorted(optuna.get_all_study_names(storage))
    fault = ""
    if not names:
        fault = f"{path} holds no study; the SQLite database or the journal file of an Optuna study is asked for."
    elif name is None and len(names) > 1:
        fault = f"{path} holds {len(names)} studies; choose one with `{STUDY}{path}#NAME`: {', '.join(names)}."
    elif name is not None and name not in names:
        fault = unknown("study", name, names)
    if fault:
        raise Faults([fault])
    return optuna.load_study(study_name=name or names[0], storage=storage)


def _in_memory(stored: optuna.Study) -> optuna.Study:
    """As `copy_study`, which refuses trials enqueued with values outside of their ranges, though Optuna ran them."""
    memory, trials, n = InMemoryStorage(), stored.get_trials(), len(stored.directions)
    study_id = memory.create_new_study(stored.directions, stored.study_name)
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == TrialState.COMPLETE and (len(trial.values) != n or any(map(math.isnan, trial.values))):
            raise ValueError(f"trial {trial.number} is completed with {trial.values}, of {n} values")
        memory.create_new_trial(study_id, template_trial=_labelled(trial))
        memory.get_all_trials(study_id, deepcopy=False)[-1].number = trial.number  # a file may have gaps
    study = optuna.load_study(study_name=stored.study_name, storage=memory)
    if stored.metric_names:
        study.set_metric_names(stored.metric_names)
    return study


def _labelled(trial: FrozenTrial) -> FrozenTrial:
    """`trial` with the choices of its categories as texts: 1, 1.0, True and "1" are four of them."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, distribution in trial.distributions.items():
        if isinstance(distribution, CategoricalDistribution):
            exact, texts = list(map(repr, distribution.choices)), list(map(str, distribution.choices))
            labels = texts if len(set(texts)) == len(set(exact)) else exact
            params[name] = labels[exact.index(repr(trial.params[name]))]
            distributions[name] = CategoricalDistribution(labels)
    trial.params, trial.distributions = params, distributions
    return trial
