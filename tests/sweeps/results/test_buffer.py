"""The driver's buffer: when rows reach the disk, in which files, and what a failure leaves."""

import math
import resource
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from sweeps.results import store as results_store
from sweeps.results.buffer import Buffer
from sweeps.results.rows import cast
from sweeps.results.store import Store, finished, read


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "s")


@pytest.fixture
def buffer(store: Store, clock: Clock) -> Buffer:
    return Buffer(store, clock=clock)


def epochs(store: Store) -> list[tuple[str, int]]:
    rows = read(store.results_dir, "curves").select(["trial_id", "epoch"]).to_pylist()
    return [tuple(row.values()) for row in rows]  # type: ignore[misc]


def test_rows_wait_until_the_oldest_is_due(store: Store, buffer: Buffer, clock: Clock) -> None:
    buffer.add("curves", "tune", "t0", 1, {"epoch": 1})
    clock.now += 6
    buffer.add("curves", "tune", "t0", 1, {"epoch": 2})
    clock.now += 3.9
    buffer.flush_due()
    assert epochs(store) == []
    clock.now += 0.1
    buffer.add("curves", "tune", "t1", 1, {"epoch": 1})
    buffer.flush_due()
    assert epochs(store) == [("t0", 1), ("t0", 2), ("t1", 1)]
    assert len(buffer) == 0


def test_an_idle_driver_publishes_what_is_due(store: Store, buffer: Buffer, clock: Clock) -> None:
    buffer.flush_due()
    buffer.add("curves", "tune", "t0", 1, {"epoch": 1})
    clock.now += 10
    buffer.flush_due()
    assert epochs(store) == [("t0", 1)]
    buffer.add("curves", "tune", "t0", 1, {"epoch": 2})
    clock.now += 9
    buffer.flush_due()
    assert len(buffer) == 1, "the age is that of the oldest row still waiting"


def test_a_flush_writes_one_file_per_table_and_stage(store: Store, buffer: Buffer) -> None:
    for epoch in range(20):
        buffer.add("curves", "tune", "t0", 1, {"epoch": epoch})
        buffer.add("curves", "tune", "t0", 2, {"epoch": epoch})
        buffer.add("curves", "tune", "t1", 1, {"epoch": epoch})
        buffer.add("curves", "search", "t0", 1, {"epoch": epoch})
    buffer.add("trials", "tune", "t0", 2, {"end_reason": "completed"})
    buffer.flush()
    buffer.flush()
    files = sorted(str(p.relative_to(store.results_dir / "v1")) for p in store.results_dir.glob("v1/**/*.parquet"))
    assert files == [
        "curves/stage=search/rows-00000000.parquet",
        "curves/stage=tune/rows-00000000.parquet",
        "trials/stage=tune/rows-00000000.parquet",
    ]
    assert read(store.results_dir, "curves", attempts="all").num_rows == 80


def test_one_table_can_be_published_alone(store: Store, buffer: Buffer) -> None:
    buffer.add("curves", "tune", "t0", 1, {"epoch": 1})
    buffer.add("rungs", "tune", "t0", 1, {"rung": 100})
    buffer.flush("rungs")
    assert read(store.results_dir, "rungs")["rung"].to_pylist() == [100]
    assert epochs(store) == []
    assert len(buffer) == 1


def test_a_row_that_does_not_fit_is_refused_at_once_and_harms_no_other(store: Store, buffer: Buffer) -> None:
    buffer.add("curves", "tune", "t0", 1, {"epoch": 1})
    with pytest.raises(Faults, match="Did you mean `val_auc`"):
        buffer.add("curves", "tune", "t0", 1, {"epoch": 2, "val_acu": 0.5})
    buffer.flush()
    assert epochs(store) == [("t0", 1)]


def test_many_rows_are_taken_together_or_not_at_all(store: Store, buffer: Buffer) -> None:
    buffer.extend("curves", "tune", "t0", 1, [{"epoch": e} for e in (1, 2, 3)])
    with pytest.raises(Faults, match="epoch"):
        buffer.extend("curves", "tune", "t0", 1, [{"epoch": 4}, {"epoch": "five"}])
    buffer.extend("rungs", "tune", "t0", 1, [])
    assert len(buffer) == 3
    buffer.flush()
    assert epochs(store) == [("t0", 1), ("t0", 2), ("t0", 3)]
    assert len(list((store.results_dir / "v1").rglob("*.parquet"))) == 1


def test_rows_taken_one_by_one_make_the_file_of_rows_written_together(
    store: Store, buffer: Buffer, tmp_path: Path
) -> None:
    rows = [{"epoch": 1, "lr": 1, "val_auc": math.nan}, {"epoch": 2, "miner": "x"}, {"epoch": 3, "is_finite": False}]
    for row in rows:
        buffer.add("curves", "tune", "t0", 1, row)
    buffer.flush()
    (taken,) = store.results_dir.glob("v1/**/*.parquet")
    together = Store.create(tmp_path / "together").write("curves", "tune", "t0", 1, rows)
    assert together is not None
    assert taken.read_bytes() == together.read_bytes()


def test_a_row_is_cast_once(store: Store, buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(results_store, "cast", lambda table, rows: given.append(len(rows)) or cast(table, rows))
    for epoch in (1, 2):
        buffer.add("curves", "tune", "t0", 1, {"epoch": epoch})
    buffer.flush()
    assert given == [1, 1]
    assert epochs(store) == [("t0", 1), ("t0", 2)]


def test_the_caller_may_reuse_its_dict(store: Store, buffer: Buffer) -> None:
    row = {"epoch": 1}
    for epoch in (1, 2):
        row["epoch"] = epoch
        buffer.add("curves", "tune", "t0", 1, row)
    buffer.flush()
    assert epochs(store) == [("t0", 1), ("t0", 2)]


def test_rows_stay_in_the_buffer_while_the_disk_is_full(store: Store, buffer: Buffer, clock: Clock) -> None:
    buffer.add("trials", "tune", "t0", 1, {"end_reason": "completed"})
    clock.now += 10
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        buffer.add("curves", "tune", "t0", 1, {"epoch": 1})  # taking a row needs no disk
        with pytest.raises(OSError, match="rows-00000000"):
            buffer.flush_due()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert len(buffer) == 2
    buffer.flush_due()
    assert epochs(store) == [("t0", 1)]
    assert finished(store.results_dir, "tune") == {"t0"}


def test_a_trial_is_never_finished_before_its_other_rows_are_there(store: Store, buffer: Buffer) -> None:
    """A driver killed between two files must not leave a finished trial without its curve."""
    buffer.add("trials", "tune", "t0", 1, {"end_reason": "completed"})
    buffer.add("curves", "tune", "t0", 1, {"epoch": 1})
    (store.results_dir / "v1").mkdir()
    (store.results_dir / "v1" / "curves").write_text("in the way")
    with pytest.raises(OSError, match="curves"):
        buffer.flush()
    assert not (store.results_dir / "v1" / "trials").exists()
