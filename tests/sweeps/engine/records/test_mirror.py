"""The copy of a sweep's folder: in a folder and in a bucket, while it grows, and after an outage."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import fs

from embedding_core.errors import Faults
from sweeps.engine.records import mirror as module
from sweeps.engine.records.mirror import Mirror, mirrored
from sweeps.results.store import Store, read

ROW = {"cell_id": "c", "end_reason": "completed"}


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "m") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"


def fetched(where: str, tmp_path: Path) -> Path:
    """The copy, brought to a new machine."""
    target = tmp_path / f"fetched{time.monotonic_ns()}"
    filesystem, root = fs.FileSystem.from_uri(where)
    fs.copy_files(root, str(target), source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem())
    return target


def trials_in(folder: Path) -> list[str]:
    return sorted(row["trial_id"] for row in read(folder, "trials").to_pylist())


def test_a_copy_holds_all_rows_and_nothing_of_the_driver(where: str, tmp_path: Path) -> None:
    folder = tmp_path / "name"
    store, mirror = Store.create(folder), Mirror(folder, where)
    mirror.check(new=True)
    store.write("trials", "search", "t00000", 1, [ROW])
    for unwanted in ("checkpoints/search/t00000.pt", ".lock", "optuna.db-wal"):
        (folder / unwanted).parent.mkdir(parents=True, exist_ok=True)
        (folder / unwanted).write_bytes(b"")
    mirror.copy()
    store.write("trials", "search", "t00001", 1, [ROW])
    with closing(sqlite3.connect(folder / "optuna.db")) as database:  # while a driver writes to it
        database.execute("pragma journal_mode=wal")
        database.execute("create table trials (number)")
        database.execute("insert into trials values (1)")
        database.commit()
        mirror.copy()
        database.execute("insert into trials values (2)")
        database.commit()  # beside the file, which does not change
        database.execute("insert into trials values (3)")
        mirror.copy()
        database.rollback()
    copy = fetched(where, tmp_path) / "name"
    assert trials_in(copy) == trials_in(folder) == ["t00000", "t00001"]
    assert not [path for path in copy.rglob("*") if path.name in ("checkpoints", ".lock", "optuna.db-wal")]
    with closing(sqlite3.connect(copy / "optuna.db")) as database:
        assert database.execute("select number from trials").fetchall() == [(1,), (2,)]


def test_a_place_with_another_sweep_is_refused_and_ones_own_is_gone_on_with(tmp_path: Path) -> None:
    for results, new in (("a", True), ("b", True), ("a", False)):
        folder = tmp_path / results / "name"
        if not folder.exists():
            Store.create(folder)
        mirror = Mirror(folder, str(tmp_path / "m"))
        if results == "b":
            with pytest.raises(Faults, match=r"holds another sweep in .*: give this one another `--name`"):
                mirror.check(new=new)
        else:
            mirror.check(new=new)
            mirror.copy()
    (tmp_path / "file").write_text("")
    with pytest.raises(Faults, match="must be a place that can be written"):
        Mirror(folder, str(tmp_path / "file")).check(new=True)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_kept_after_each_stage_and_at_the_end_and_an_outage_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    folder, notes, copy = tmp_path / "name", list[str](), tmp_path / "m" / "name"
    store = Store.create(folder)
    with mirrored(folder, str(tmp_path / "m"), notes.append, new=True):
        store.write("trials", "search", "t00000", 1, [ROW])
        time.sleep(0.1)
        assert not (copy / "schema_version").exists()  # ten minutes are not over
        store.write("trials", "tune", "t00000", 1, [ROW])  # the search has ended
        eventually(lambda: any(copy.glob("v1/trials/stage=search/*.parquet")))
        (copy / "v1").rename(tmp_path / "away")
        (copy / "v1").write_text("in the way")
        store.write("trials", "confirm", "t00001", 1, [ROW])
        eventually(lambda: len(notes) == 1)
        (copy / "v1").unlink()
        (tmp_path / "away").rename(copy / "v1")
    assert len(notes) == 1
    assert notes[0].startswith("The mirror could not be brought up to date (")
    assert len(list((copy / "v1").rglob("*.parquet"))) == 3
