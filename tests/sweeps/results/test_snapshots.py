"""Compaction while a sweep is written: whatever is half done, every row is there once, in both layouts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeps.results import files, scan, snapshots
from sweeps.results import store as results_store
from sweeps.results.buffer import Buffer
from sweeps.results.scan import compact, compact_new
from sweeps.results.schema import KEYS
from sweeps.results.store import Store, attempts, finished, read


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "s")


def as_older_code_wrote(folder: Path, stage: str, trial_id: str, attempt: int) -> None:
    """One file per table, trial and attempt of the rows that now share files."""
    for table in KEYS:
        place = files.stage_dir(folder, table, stage)
        own = []
        for path in sorted(place.glob("rows-*.parquet")):
            rows = pq.read_table(path, partitioning=None)
            mine = [(row["trial_id"], row["attempt"]) == (trial_id, attempt) for row in rows.to_pylist()]
            own.append(rows.filter(pa.array(mine)))
        if own and (content := pa.concat_tables(own)).num_rows:
            pq.write_table(content, place / files.Part(0, trial_id, attempt).file_name)


def everything(folder: Path) -> list[pa.Table]:
    return [read(folder, table, attempts=kind) for table in ("curves", "trials") for kind in ("latest", "all")]


def write(store: Store, number: int, *, attempt: int = 1) -> None:
    """A flush of two trials that send an epoch each, the first of which ends."""
    buffer = Buffer(store)
    for trial in (number, number + 1):
        row = {"epoch": number, "val_auc": number / 100 + attempt, "lr": 0.1}
        buffer.add("curves", "tune", f"t{trial:05d}", attempt, row)
    buffer.add("trials", "tune", f"t{number:05d}", attempt, {"end_reason": "completed", "best_epoch": number})
    buffer.flush()


class Killed(BaseException):
    """Nothing after it runs, as after SIGKILL."""


STEPS = ("write the staged file", "sync it", "put it in its place", "sync the folder", "delete what it replaces")


@contextmanager
def killed_before(step: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The compaction ends at this step; what it has staged stays."""

    def kill(*arguments: Any, **named: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "write the staged file":
            patch.setattr(files, "_stage", kill)
        elif step == "sync it":
            patch.setattr(os, "fsync", kill)
        elif step == "put it in its place":
            patch.setattr(Path, "replace", kill)
        elif step == "sync the folder":
            patch.setattr(files, "_sync_folder", kill)
        else:
            patch.setattr(Path, "unlink", kill)
        yield


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_compaction_killed_at_any_step_neither_loses_nor_doubles_a_row(
    store: Store, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write(store, number)
        if number in (1, 3):
            compact_new(store.results_dir, "curves", "tune")
    oracle = everything(store.results_dir)
    ids = attempts(store.results_dir), finished(store.results_dir, "tune")
    for act in (lambda: compact_new(store.results_dir, "curves", "tune"), lambda: compact(store.results_dir)):
        with killed_before(step, monkeypatch), suppress(Killed):
            act()
        assert everything(store.results_dir) == oracle
        assert (attempts(store.results_dir), finished(store.results_dir, "tune")) == ids
    write(store, 6)  # the next driver goes on
    grown = everything(store.results_dir)
    assert [new.num_rows - old.num_rows for new, old in zip(grown, oracle, strict=True)] == [2, 2, 1, 1]
    compact(store.results_dir)
    assert everything(store.results_dir) == grown
    assert snapshots.added(store.results_dir, "curves", "tune") == []
    shutil.rmtree(store.results_dir / "compact")
    assert everything(store.results_dir) == grown


def test_snapshots_added_while_it_runs_are_read_in_place_of_the_files(store: Store) -> None:
    for number in range(4):
        write(store, number)
    oracle = everything(store.results_dir)
    compact_new(store.results_dir, "curves", "tune")
    for path in files.stage_dir(store.results_dir, "curves", "tune").iterdir():
        path.write_bytes(b"no longer read")
    assert everything(store.results_dir) == oracle


def test_a_running_driver_adds_them_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_store, "COMPACT_AFTER", 4)
    buffer = Buffer(store, max_age_s=0)
    for number in range(10):
        buffer.add("curves", "tune", "t00000", 1, {"epoch": number})
        buffer.flush_due()
    assert len(snapshots.added(store.results_dir, "curves", "tune")) == 2
    assert len(files.parts(store.results_dir, "curves", "tune")) == 10, "what is published stays"
    assert read(store.results_dir, "curves")["epoch"].to_pylist() == list(range(10))


def test_a_compaction_that_fails_costs_no_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_store, "COMPACT_AFTER", 1)
    (store.results_dir / "compact").write_text("in the way")
    buffer = Buffer(store, max_age_s=0)
    buffer.add("curves", "tune", "t00000", 1, {"epoch": 1})
    buffer.flush_due()
    assert len(buffer) == 0
    (store.results_dir / "compact").unlink()
    assert read(store.results_dir, "curves", attempts="all").num_rows == 1


@pytest.mark.slow
def test_a_sweep_of_older_code_is_read_and_gone_on_with(store: Store, tmp_path: Path) -> None:
    """Its files are named after trial and attempt; what is run again has a higher attempt, in shared files."""
    for number in range(3):
        write(store, number)
    oracle, ids = everything(store.results_dir), attempts(store.results_dir)
    for trial in range(4):
        as_older_code_wrote(store.results_dir, "tune", f"t{trial:05d}", 1)
    for path in store.results_dir.glob("v1/*/*/rows-*.parquet"):
        path.unlink()
    assert everything(store.results_dir) == oracle
    assert attempts(store.results_dir) == ids
    assert finished(store.results_dir, "tune") == {"t00000", "t00001", "t00002"}
    again = Store.open(store.results_dir)
    write(again, 2, attempt=attempts(store.results_dir)["t00002"] + 1)
    last = read(store.results_dir, "trials").to_pylist()[-1]
    assert (last["trial_id"], last["attempt"]) == ("t00002", 2)
    assert read(store.results_dir, "curves", attempts="all").num_rows == oracle[1].num_rows + 2
    mixed = everything(store.results_dir)
    compact_new(store.results_dir, "curves", "tune")
    assert everything(store.results_dir) == mixed
    compact(store.results_dir)
    assert everything(store.results_dir) == mixed


def test_a_long_uncompacted_past_is_copied_bit_by_bit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "AT_ONCE", 4)
    for number in range(7):
        store.write("rungs", "tune", "t00000", 1, [{"rung": number}])
    oracle = read(store.results_dir, "rungs")
    for left in (3, 0):
        scan.compact_new(store.results_dir, "rungs", "tune")
        _, covered = snapshots.read(store.results_dir, "rungs", "tune", ())
        assert len(covered) == 7 - left
        assert read(store.results_dir, "rungs") == oracle
