"""Other engines, other writers, kill -9: a reader never fails and a published row is never lost."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest

from sweeps.results.files import STAGING
from sweeps.results.store import Store, read

Rows = list[tuple[str, int, float | None]]
"""trial_id, epoch, val_auc."""


def with_pyarrow(pattern: Path) -> Rows:
    folder = pattern.parent.parent
    table = ds.dataset(folder, format="parquet").to_table(columns=["trial_id", "epoch", "val_auc"])
    return [tuple(row.values()) for row in table.to_pylist()]


def with_duckdb(pattern: Path) -> Rows:
    query = "select trial_id, epoch, val_auc from read_parquet(?, union_by_name = true)"
    return duckdb.execute(query, [str(pattern)]).fetchall()


def with_polars(pattern: Path) -> Rows:
    return pl.read_parquet(pattern).select("trial_id", "epoch", "val_auc").rows()


def with_read(pattern: Path) -> Rows:
    table = read(pattern.parents[3], "curves").select(["trial_id", "epoch", "val_auc"])
    return [tuple(row.values()) for row in table.to_pylist()]


READERS: list[Callable[[Path], Rows]] = [with_pyarrow, with_duckdb, with_polars, with_read]


def pattern_of(store: Store) -> Path:
    return store.results_dir / "v1" / "curves" / "**" / "*.parquet"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "s")


@pytest.mark.parametrize("engine", READERS)
def test_every_engine_reads_the_same_values(store: Store, engine: Callable[[Path], Rows]) -> None:
    """The first file holds integers only where later ones hold fractions; a naive writer makes that column integer."""
    store.write("curves", "search", "t0", 1, [{"epoch": 1, "val_auc": 0}, {"epoch": 2, "val_auc": 1}])
    store.write("curves", "tune", "t1", 1, [{"epoch": 1, "val_auc": 0.001}, {"epoch": 2, "val_auc": float("nan")}])
    store.write("curves", "tune", "t2", 1, [{"epoch": 1, "val_auc": float("inf")}, {"epoch": 2}])
    assert sorted(engine(pattern_of(store)), key=lambda row: row[:2]) == [
        ("t0", 1, 0.0),
        ("t0", 2, 1.0),
        ("t1", 1, 0.001),
        ("t1", 2, None),
        ("t2", 1, None),
        ("t2", 2, None),
    ]


def test_duckdb_takes_the_stage_from_the_path_with_the_type_that_read_gives(store: Store) -> None:
    store.write("trials", "confirm", "t0", 1, [{"end_reason": "completed"}])
    pattern = str(store.results_dir / "v1" / "trials" / "**" / "*.parquet")
    assert duckdb.execute("select stage, typeof(stage) from read_parquet(?)", [pattern]).fetchall() == [
        ("confirm", "VARCHAR")
    ]
    assert read(store.results_dir, "trials")["stage"].to_pylist() == ["confirm"]


def _write_many(results_dir: Path, writer: int, files: int) -> None:
    store = Store.open(results_dir)
    for number in range(files):
        store.write("curves", "tune", "t0", 1, [{"epoch": 1000 * writer + number, "val_auc": number / 1000}])


@pytest.mark.slow
def test_writers_that_want_the_same_names_lose_nothing(store: Store) -> None:
    files = 50
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(_write_many, store.results_dir, writer, files) for writer in (0, 1)]:
            future.result()
    expected = [("t0", 1000 * writer + number, number / 1000) for writer in (0, 1) for number in range(files)]
    assert with_read(pattern_of(store)) == expected
    names = sorted(path.name for path in store.results_dir.glob("v1/curves/stage=tune/*"))
    assert names == [f"rows-{seq:08d}.parquet" for seq in range(2 * files)], "no number twice, none left out"


ROWS_PER_FILE = 20

WRITER = f"""
import sys
from pathlib import Path
from sweeps.results.store import Store

store, trial = Store.open(Path(sys.argv[1])), int(sys.argv[2])
while True:
    store.write(
        "curves", "tune", f"t{{trial:05d}}", 1,
        [{{"epoch": epoch, "val_auc": (trial * {ROWS_PER_FILE} + epoch) / 2**20}} for epoch in range({ROWS_PER_FILE})],
    )
    print(trial, flush=True)  # What is printed has been published.
    trial += 1
"""


# The kernel kills the process (SIGXFSZ) at the first kilobyte of the file, which no sleep could time.
DIES_HALFWAY = """
import resource, signal, sys
from pathlib import Path
from sweeps.results.store import Store

store = Store.open(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
store.write("curves", "tune", "t0", 1, [{"epoch": 2, "val_auc": 0.5}])
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", READERS)
def test_a_writer_killed_halfway_through_a_file_leaves_no_trace_in_the_table(
    store: Store, engine: Callable[[Path], Rows]
) -> None:
    store.write("curves", "tune", "t0", 1, [{"epoch": 1, "val_auc": 0.25}])
    died = subprocess.run([sys.executable, "-c", DIES_HALFWAY, str(store.results_dir)], check=False)
    assert died.returncode == -signal.SIGXFSZ
    (left,) = (store.results_dir / STAGING).iterdir()
    assert left.stat().st_size == 1000, "it died halfway"
    assert engine(pattern_of(store)) == [("t0", 1, 0.25)]
    Store.open(store.results_dir).write("curves", "tune", "t0", 1, [{"epoch": 2, "val_auc": 0.5}])
    assert sorted(engine(pattern_of(store))) == [("t0", 1, 0.25), ("t0", 2, 0.5)]


def check_whole(rows: Rows) -> set[int]:
    """Trials seen; every one of them must be complete and right to the last bit."""
    trials = {int(trial_id[1:]) for trial_id, _, _ in rows}
    expected = {
        (f"t{trial:05d}", epoch, (trial * ROWS_PER_FILE + epoch) / 2**20)
        for trial in trials
        for epoch in range(ROWS_PER_FILE)
    }
    assert len(rows) == len(expected)
    assert set(rows) == expected
    return trials


@pytest.mark.slow
def test_killed_writers_leave_every_published_row_and_nothing_else(store: Store) -> None:
    """SIGKILL at random moments, readers in four engines at work all the while."""
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")
    draw = random.Random(seed)
    published: set[int] = set()
    scans = 0
    for _ in range(4):
        first = max(published, default=-1) + 2  # one may have been published but not printed
        command = [sys.executable, "-c", WRITER, str(store.results_dir), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            published.add(int(writer.stdout.readline()))
            end = time.monotonic() + draw.uniform(0.2, 0.8)
            while time.monotonic() < end:
                check_whole(READERS[scans % len(READERS)](pattern_of(store)))
                scans += 1
            writer.send_signal(signal.SIGKILL)
            published |= {int(line) for line in writer.stdout.read().split()}
            assert writer.wait() == -signal.SIGKILL
    assert scans >= len(READERS)
    for engine in READERS:
        assert check_whole(engine(pattern_of(store))) >= published
    names = [path for path in (store.results_dir / "v1").rglob("*") if path.is_file()]
    assert all(path.suffix == ".parquet" for path in names)
    assert len(list((store.results_dir / STAGING).iterdir())) <= 4, "at most one unfinished file per kill"
