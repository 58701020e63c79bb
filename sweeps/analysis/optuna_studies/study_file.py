"""An Optuna study from a file, SQLite or journal, whoever made it: a copy is opened, the file itself never."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from embedding_core.errors import Faults, unknown

PREFIX: Final = "optuna:"
SQLITE: Final = b"SQLite format 3\0"
LOCKED_S = 60.0
"""Seconds to wait for whoever writes in the database."""


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """One study as it stood when it was read."""

    name: str
    path: Path
    sha256: str
    """Hash of the file."""

    maximize: bool
    trials: tuple[FrozenTrial, ...]
    """In the order of their numbers."""


def read_study(target: str) -> StoredStudy:
    """The study named by `PATH` or `PATH#NAME`; databases of older versions of Optuna are upgraded in a copy.

    Raises:
        Faults: no such file, no Optuna storage, no study of that name or several without a name, no trials, or several
            objectives.
    """
    path, name = _located(target)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with TemporaryDirectory() as folder:
        storage = _opened(path, Path(folder) / "copy")
        try:
            study = _chosen(storage, path, name)
            if len(study.directions) > 1:
                raise Faults([
                    f"Study `{study.study_name}` has {len(study.directions)} objectives; a report needs exactly one."
                ])  # fmt: skip
            trials = tuple(sorted(study.get_trials(), key=lambda trial: trial.number))
            maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        finally:
            if isinstance(storage, RDBStorage):
                storage.engine.dispose()
    if not trials:
        raise Faults([f"Study `{study.study_name}` in {path} has no trials: there is nothing to report."])
    return StoredStudy(study.study_name, path, sha256, maximize, trials)


def _located(target: str) -> tuple[Path, str | None]:
    """File and name of the study; a `#` may belong to the file's own name."""
    if Path(target).exists():
        path, name = Path(target), None
    else:
        file, _, chosen = target.rpartition("#")
        path, name = (Path(file), chosen) if file else (Path(target), None)
    if path.is_dir():
        raise Faults([f"{path} is a folder; `{PREFIX}PATH` takes the file of an Optuna study."])
    if not path.is_file():
        raise Faults([f"There is no file {path}; `{PREFIX}PATH` takes the file of an Optuna study."])
    return path, name


def _opened(path: Path, copy: Path) -> BaseStorage:
    """Storage over a copy of the file."""
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    if not first:
        raise Faults([f"{path} is empty: it holds no study."])
    try:
        if first.startswith(SQLITE):
            return _sqlite(path, copy)
        if _is_journal(first):
            shutil.copyfile(path, copy)
            return JournalStorage(JournalFileBackend(str(copy)))
    except (sqlite3.Error, SQLAlchemyError, RuntimeError, ValueError, KeyError) as error:
        raise Faults([f"{path} cannot be read as an Optuna storage: {' '.join(str(error).split())}"]) from None
    raise Faults([f"{path} is neither a SQLite database nor a journal file of Optuna."])


def _sqlite(path: Path, copy: Path) -> RDBStorage:
    # In that mode nobody is writing where there is no log, and SQLite would leave one; in the other a reader locks.
    still = "&immutable=1" if _writes_ahead(path) and not path.with_name(f"{path.name}-wal").exists() else ""
    uri = f"{path.resolve().as_uri()}?mode=ro{still}"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=LOCKED_S)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute("begin")
        source.execute("select count(*) from sqlite_master").fetchone()  # waits for a writer; `backup` would for ever
        source.backup(target)
        tables = {row[0] for row in target.execute("select name from sqlite_master where type = 'table'")}
    if not {"studies", "trials"} <= tables:
        raise Faults([f"{path} is a SQLite database without the tables of Optuna; it has: {sorted(tables)}."])
    storage = RDBStorage(f"sqlite:///{copy}", skip_compatibility_check=True)
    if storage.get_current_version() != storage.get_head_version():
        storage.upgrade()
    return storage


def _writes_ahead(path: Path) -> bool:
    """Whether the database keeps a write-ahead log: byte 18 of SQLite's file header, 1 or 2."""
    with path.open("rb") as file:
        return file.read(19)[18:] == b"\x02"


def _is_journal(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry


def _chosen(storage: BaseStorage, path: Path, name: str | None) -> optuna.Study:
    names = sorted(optuna.get_all_study_names(storage))
    if not names:
        raise Faults([f"{path} holds no study."])
    if name is None and len(names) > 1:
        raise Faults([f"{path} holds {len(names)} studies; choose one with `{PREFIX}{path}#NAME`: {', '.join(names)}."])
    if name is not None and name not in names:
        raise Faults([unknown("study", name, names)])
    return optuna.load_study(study_name=name or names[0], storage=storage)
