"""What is written is what is read: attempts, duplicates, snapshots, and what is refused."""

import errno
import math
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding_core.errors import Faults
from sweeps.results.scan import compact
from sweeps.results.schema import KEYS, STAGES, TABLES
from sweeps.results.store import Store, attempts, check_rows, finished, read


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "koleo")


def curve(epoch: int, val_auc: float | None = None) -> dict[str, object]:
    return {"epoch": epoch, "val_auc": val_auc}


def raw_files(store: Store, table: str) -> list[Path]:
    return sorted((store.results_dir / "v1" / table).rglob("*.parquet"))


def published_in(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


# Writing and reading


@pytest.mark.parametrize("table", TABLES)
def test_a_sweep_without_rows_reads_as_empty_tables_of_the_right_schema(store: Store, table: str) -> None:
    rows = read(store.results_dir, table)
    expected = TABLES[table].append(pa.field("stage", pa.string())) if table in KEYS else TABLES[table]
    assert rows.num_rows == 0
    assert rows.schema.equals(expected, check_metadata=False)
    assert rows.schema.field(0).metadata[b"description"]


def test_a_file_lies_where_globs_look_and_carries_the_schema_version(store: Store) -> None:
    path = store.write("curves", "tune", "t00012", 3, [curve(1)])
    assert path == store.results_dir / "v1/curves/stage=tune/rows-00000000.parquet"
    assert pq.read_schema(path).metadata[b"schema_version"] == b"1"
    assert list((store.results_dir / "_staging").iterdir()) == []


def test_rows_come_in_the_order_of_stage_trial_and_key_however_written(store: Store) -> None:
    store.write("curves", "confirm", "t00000", 1, [curve(1)])
    store.write("curves", "tune", "t00001", 1, [curve(2), curve(1)])
    store.write("curves", "tune", "t00000", 1, [curve(2)])
    store.write("curves", "search", "t00002", 1, [curve(1)])
    rows = read(store.results_dir, "curves").select(["stage", "trial_id", "epoch"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("search", "t00002", 1),
        ("tune", "t00000", 2),
        ("tune", "t00001", 1),
        ("tune", "t00001", 2),
        ("confirm", "t00000", 1),
    ]
    assert set(read(store.results_dir, "curves", stage="tune")["stage"].to_pylist()) == {"tune"}


def test_of_several_attempts_the_latest_row_counts(store: Store) -> None:
    store.write("trials", "tune", "t00000", 2, [{"final_val_auc": 0.7}])
    store.write("trials", "tune", "t00000", 10, [{"final_val_auc": 0.8}])
    store.write("trials", "tune", "t00000", 1, [{"final_val_auc": 0.6}])
    assert read(store.results_dir, "trials")["final_val_auc"].to_pylist() == [0.8]
    assert read(store.results_dir, "trials", attempts="all")["attempt"].to_pylist() == [1, 2, 10]


def test_curves_take_the_latest_attempt_epoch_by_epoch(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.1), curve(2, 0.2), curve(3, 0.3)])
    store.write("curves", "tune", "t00000", 2, [curve(1, 0.5), curve(2, 0.6)])
    rows = read(store.results_dir, "curves")
    assert rows["attempt"].to_pylist() == [2, 2, 1]
    assert rows["val_auc"].to_pylist() == [0.5, 0.6, 0.3]
    assert read(store.results_dir, "curves", attempts="all").num_rows == 5


def test_of_equal_attempts_the_row_written_last_counts(store: Store) -> None:
    for value in range(12):
        store.write("curves", "tune", "t00000", 1, [curve(1, value / 100), curve(1, value / 10)])
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [1.1]


def test_a_driver_that_starts_again_writes_after_what_is_there(store: Store) -> None:
    for _ in range(3):
        store.write("curves", "tune", "t00000", 1, [curve(1, 0.1)])
    again = Store.open(store.results_dir)
    assert again.write("curves", "tune", "t00000", 1, [curve(1, 0.2)]).name == "rows-00000003.parquet"
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.2]


def test_the_same_trial_id_in_two_stages_is_two_trials(store: Store) -> None:
    store.write("trials", "search", "t00000", 1, [{}])
    store.write("trials", "tune", "t00000", 1, [{}])
    assert read(store.results_dir, "trials")["stage"].to_pylist() == ["search", "tune"]


def test_evaluations_without_k_are_told_apart_by_the_rest_of_their_key(store: Store) -> None:
    one = {"checkpoint": "final", "split": "test", "metric": "map_at_r", "value": 0.1}
    rows = [one, {**one, "value": 0.2}, {**one, "metric": "recall", "k": 1}, {**one, "metric": "recall", "k": 5}]
    store.write("evaluations", "confirm", "t00000", 1, rows)
    found = read(store.results_dir, "evaluations").select(["metric", "k", "value"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [("map_at_r", None, 0.2), ("recall", 1, 0.1), ("recall", 5, 0.1)]


def test_no_rows_make_no_file(store: Store) -> None:
    assert store.write("curves", "tune", "t00000", 1, []) is None
    assert raw_files(store, "curves") == []


def test_contrasts_are_replaced_as_a_whole_with_the_same_bytes(store: Store) -> None:
    rows = [{"estimand": "koleo", "estimate": 0.01, "n": 12}, {"estimand": "accum", "estimate": math.nan, "n": 12}]
    path = store.replace("contrasts", rows)
    first = path.read_bytes()
    store.replace("contrasts", rows[:1])
    assert read(store.results_dir, "contrasts").num_rows == 1
    assert store.replace("contrasts", rows).read_bytes() == first
    assert read(store.results_dir, "contrasts")["estimate"].to_pylist() == [0.01, None]
    assert path == store.results_dir / "v1/contrasts/contrasts.parquet"


def test_a_column_that_older_files_lack_is_null(store: Store) -> None:
    path = store.write("curves", "tune", "t00000", 1, [curve(1, 0.5)])
    store.write("curves", "tune", "t00001", 1, [curve(1, 0.5)])
    older = pq.read_table(path, partitioning=None).drop_columns(["val_auc"])
    pq.write_table(older, path)
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [None, 0.5]


_finite = st.floats(allow_nan=False, allow_infinity=False)
_rows = st.lists(
    st.fixed_dictionaries(
        {"epoch": st.integers(0, 3), "val_auc": st.none() | _finite, "update": st.none() | st.integers(0, 2**60)}
    ),
    max_size=4,
)
_writes = st.lists(st.tuples(st.sampled_from(STAGES), st.sampled_from(["t0", "t1"]), st.integers(1, 3), _rows))


@pytest.mark.slow
@given(_writes, st.integers(0, 8))
@settings(max_examples=25, deadline=None)
def test_reading_agrees_with_a_dict_keyed_by_stage_trial_and_epoch(
    writes: list[tuple[str, str, int, list[dict[str, object]]]], snapshot_at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "s")
        latest: dict[tuple[int, str, object], tuple[int, dict[str, object]]] = {}
        for index, (stage, trial_id, attempt, rows) in enumerate(writes):
            if index == snapshot_at:
                compact(store.results_dir)
            store.write("curves", stage, trial_id, attempt, rows)
            for row in rows:
                key = (STAGES.index(stage), trial_id, row["epoch"])
                if attempt >= latest.get(key, (0, {}))[0]:
                    latest[key] = (attempt, row)
        columns = ["stage", "trial_id", "attempt", "epoch", "val_auc", "update"]
        found = read(store.results_dir, "curves").select(columns).to_pylist()
        expected = [
            {"stage": STAGES[key[0]], "trial_id": key[1], "attempt": attempt, **row}
            for key, (attempt, row) in sorted(latest.items())
        ]
        assert found == expected
        assert read(store.results_dir, "curves", attempts="all").num_rows == sum(len(rows) for *_, rows in writes)


# Attempts and endings


def test_attempts_are_the_highest_in_any_table(store: Store) -> None:
    assert attempts(store.results_dir) == {}
    store.write("trials", "tune", "t00000", 1, [{}])
    store.write("curves", "tune", "t00000", 10, [curve(1)])
    store.write("rungs", "search", "t00001", 2, [{"rung": 100}])
    assert attempts(store.results_dir) == {"t00000": 10, "t00001": 2}
    assert attempts(store.results_dir, stage="search") == {"t00001": 2}


def test_finished_trials_are_those_whose_latest_ending_is_not_to_be_retried(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1)])
    store.write("trials", "tune", "t00001", 1, [{"end_reason": "oom"}])
    store.write("trials", "tune", "t00002", 1, [{"end_reason": "oom"}])
    store.write("trials", "tune", "t00002", 2, [{"end_reason": "completed"}])
    store.write("trials", "search", "t00003", 1, [{"end_reason": "completed"}])
    assert finished(store.results_dir, "tune") == {"t00001", "t00002"}
    assert finished(store.results_dir, "tune", retry={"oom"}) == {"t00002"}
    assert finished(store.results_dir, "confirm", retry={"oom"}) == set()


# Snapshots


@pytest.mark.slow
def test_a_snapshot_changes_nothing_but_the_files_read(store: Store) -> None:
    for trial in range(4):
        for attempt in (1, 2):
            store.write("curves", "tune", f"t{trial}", attempt, [curve(e, trial + e / 10) for e in (1, 2, attempt)])
            store.write("trials", STAGES[trial % 3], f"t{trial}", attempt, [{"end_reason": "completed"}])

    def everything() -> list[pa.Table]:
        return [read(store.results_dir, table, attempts=kind) for table in KEYS for kind in ("latest", "all")]

    before = everything()
    files = raw_files(store, "curves")
    assert len(compact(store.results_dir)) == 4
    assert everything() == before
    assert raw_files(store, "curves") == files
    assert compact(store.results_dir) == [], "nothing is new"

    store.write("curves", "tune", "t1", 1, [curve(9, 0.9)])
    store.write("curves", "tune", "t1", 3, [curve(1, 0.7)])
    newer = everything()
    assert newer != before
    assert [path.name for path in compact(store.results_dir)] == ["stage=tune.parquet"]
    assert everything() == newer
    shutil.rmtree(store.results_dir / "compact")
    assert everything() == newer


def test_a_row_written_after_the_snapshot_counts_before_one_inside(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.1)])
    compact(store.results_dir)
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.2)])
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.2]
    assert read(store.results_dir, "curves", attempts="all")["val_auc"].to_pylist() == [0.1, 0.2]


def test_a_snapshot_serves_without_the_files_it_covers(store: Store) -> None:
    path = store.write("curves", "tune", "t00000", 1, [curve(1, 0.5)])
    compact(store.results_dir)
    path.write_bytes(b"no longer read")
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.5]


def test_a_snapshot_of_older_code_is_passed_over(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.5)])
    (snapshot,) = compact(store.results_dir)
    pq.write_table(pq.read_table(snapshot, partitioning=None).drop_columns(["val_auc"]), snapshot)
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.5]
    assert compact(store.results_dir) == [snapshot]


def test_a_damaged_snapshot_says_that_it_may_be_deleted(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1)])
    (snapshot,) = compact(store.results_dir)
    snapshot.write_bytes(snapshot.read_bytes()[:100])
    with pytest.raises(Faults, match=r"stage=tune\.parquet` is damaged: delete it"):
        read(store.results_dir, "curves")


# Refusals


def test_a_second_sweep_in_the_same_folder_is_refused(store: Store) -> None:
    with pytest.raises(Faults, match=r"koleo` already holds a sweep: continue it with `--resume`.*`--name`"):
        Store.create(store.results_dir)


def test_of_drivers_that_start_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    def start(_: int) -> bool:
        try:
            Store.create(tmp_path / "s")
        except Faults:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(8))) == 1


def test_a_results_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(Faults, match=r"cannot be written \(Not a directory\): give another `--results`"):
        Store.create(tmp_path / "results" / "s")
    assert list(tmp_path.iterdir()) == [tmp_path / "results"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_results_folder_of_somebody_else_is_one_clear_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(Faults, match=r"cannot be written \(Permission denied\)"):
                Store.create(Path(folder) / "s")
        finally:
            os.seteuid(0)
        assert os.listdir(folder) == []


def test_a_missing_sweep_names_the_nearest(store: Store) -> None:
    Store.create(store.results_dir.parent / "mining")
    (store.results_dir.parent / "kole_").mkdir()  # not a sweep
    for act in (Store.open, lambda path: read(path, "trials"), lambda path: finished(path, "tune")):
        with pytest.raises(Faults, match=r"kolo` does not exist.*Did you mean `koleo`\? Known: koleo, mining\."):
            act(store.results_dir.parent / "kolo")
    with pytest.raises(Faults, match="kole_` holds no sweep"):
        Store.open(store.results_dir.parent / "kole_")
    with pytest.raises(Faults, match="no sweep lies beside it"):
        Store.open(store.results_dir / "elsewhere" / "s")


def _marker(folder: Path) -> None:
    (folder / "schema_version").write_text("2\n")


def _folder(folder: Path) -> None:
    (folder / "v2").mkdir()


def _metadata(folder: Path) -> None:
    path = folder / "v1/curves/stage=tune/rows-00000000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"epoch": [1]}).replace_schema_metadata({"schema_version": "2"}), path)


@pytest.mark.parametrize("newer", [_marker, _folder, _metadata])
def test_another_schema_version_is_refused_wherever_it_shows(store: Store, newer: object) -> None:
    newer(store.results_dir)  # type: ignore[operator]
    for act in (Store.open, lambda path: read(path, "curves"), compact):
        with pytest.raises(Faults, match=r"has schema version 2 \(in .*\), but this code reads and writes version 1"):
            act(store.results_dir)


def test_a_marker_cut_short_is_named(store: Store) -> None:
    (store.results_dir / "schema_version").write_text("")
    with pytest.raises(Faults, match="schema_version` must hold a schema version, but holds ''"):
        Store.open(store.results_dir)
    with pytest.raises(Faults, match="already holds a sweep"):
        Store.create(store.results_dir)


def test_names_that_do_not_exist_are_refused_with_the_nearest(store: Store) -> None:
    folder = store.results_dir
    with pytest.raises(Faults, match="Did you mean `trials`"):
        store.write("trial", "tune", "t00000", 1, [{}])
    with pytest.raises(Faults, match="Did you mean `confirm`"):
        store.write("trials", "confrim", "t00000", 1, [{}])
    with pytest.raises(Faults, match="Did you mean `val_auc`"):
        store.write("curves", "tune", "t00000", 1, [{"epoch": 1, "val_acu": 0.5}])
    with pytest.raises(Faults, match="Did you mean `trials`"):
        read(folder, "trails")
    with pytest.raises(Faults, match="Did you mean `search`"):
        read(folder, "trials", stage="serch")
    with pytest.raises(Faults, match="Did you mean `latest`"):
        read(folder, "trials", attempts="last")  # type: ignore[arg-type]
    with pytest.raises(Faults, match="Did you mean `oom`"):
        finished(folder, "tune", retry={"ooms"})
    with pytest.raises(Faults, match="`contrasts` has no stages"):
        read(folder, "contrasts", stage="tune")
    with pytest.raises(Faults, match=r"write it with `Store\.replace`"):
        store.write("contrasts", "tune", "t00000", 1, [{}])
    with pytest.raises(Faults, match="never replaced"):
        store.replace("trials", [])  # type: ignore[arg-type]
    assert not (folder / "v1").exists(), "nothing is written on the way"


@pytest.mark.parametrize("trial_id", ["", "../t00000", "a/b", ".t", "t\n"])
def test_a_trial_id_that_is_no_file_name_is_refused(store: Store, trial_id: str) -> None:
    with pytest.raises(Faults, match="`trial_id` must be"):
        store.write("trials", "tune", trial_id, 1, [{}])


def test_rows_of_another_trial_or_attempt_are_refused(store: Store) -> None:
    with pytest.raises(Faults, match="was given under"):
        store.write("trials", "tune", "t00000", 1, [{"trial_id": "t00001"}])
    with pytest.raises(Faults, match="was given under"):
        store.write("trials", "tune", "t00000", 1, [{"attempt": 2}])
    with pytest.raises(Faults, match="`attempt` must be at least 1"):
        store.write("trials", "tune", "t00000", 0, [{}])


@pytest.mark.parametrize("keep", [0, 100, -1])
@pytest.mark.parametrize("table", ["trials", "curves"])
def test_a_damaged_file_is_refused_by_every_reader_and_costs_a_resume_what_was_in_it(
    store: Store, table: str, keep: int
) -> None:
    folder, both = store.results_dir, ("t00000", "t00001")
    for epoch, trial in enumerate(both, 1):  # as a driver writes: epochs of all trials in a file, each end in its own
        epochs = [check_rows("curves", "tune", one, 1, [curve(epoch)]) for one in both]
        store.publish("curves", "tune", pa.concat_tables(epochs))
        store.write("trials", "tune", trial, 1, [{"end_reason": "completed"}])
    path = folder / f"v1/{table}/stage=tune/rows-00000001.parquet"
    path.write_bytes(content := path.read_bytes()[:keep])
    readers: list[Callable[[], object]] = [lambda: read(folder, table), lambda: attempts(folder)]
    readers += [lambda: finished(folder, "tune"), lambda: finished(folder, "tune", retry={"oom"})] * (table == "trials")
    for act in readers:
        with pytest.raises(Faults, match=r"rows-00000001\.parquet` is damaged: move it away"):
            act()
    (told,) = Store.open(folder).tidy()
    assert ("the trial whose end it held runs again" if table == "trials" else "no outcome of a trial is lost") in told
    assert (folder / "damaged" / path.relative_to(folder)).read_bytes() == content
    assert finished(folder, "tune") == ({"t00000"} if table == "trials" else set(both))
    assert attempts(folder) == dict.fromkeys(both, 1), "the next attempt is another than the one that is lost"
    assert read(folder, "curves")["epoch"].to_pylist() == ([1, 1] if table == "curves" else [1, 2, 1, 2])
    assert Store.open(folder).tidy() == []


def test_a_damaged_file_of_one_trial_is_no_end(store: Store) -> None:
    """As older code wrote them: its name tells the trial, and an attempt that is not to be given again."""
    path = store.write("trials", "tune", "t00009", 1, [{"end_reason": "completed"}])
    path.unlink()
    path.with_name("t00009-a1-00000.parquet").write_bytes(b"junk")
    with pytest.raises(Faults, match=r"t00009-a1-00000\.parquet` is damaged: move it away"):
        finished(store.results_dir, "tune")
    assert attempts(store.results_dir) == {"t00009": 1}


def test_files_put_aside_under_one_name_are_all_kept(store: Store) -> None:
    """The number of a file that has gone is given again, where it was the highest."""
    for content in (b"first", b"second", b"third"):
        store.write("trials", "tune", "t00000", 1, [{"end_reason": "completed"}]).write_bytes(content)
        assert len(Store.open(store.results_dir).tidy()) == 1
        store = Store.open(store.results_dir)
    aside = store.results_dir / "damaged" / "v1" / "trials" / "stage=tune"
    assert {path.read_bytes() for path in aside.iterdir()} == {b"first", b"second", b"third"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_is_not_put_aside_for_a_moment_without_memory(
    store: Store, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A length that is damaged asks for more than there is as well, and does so each time."""
    file = store.write("trials", "tune", "t00000", 1, [{"end_reason": "completed"}])
    short, whole = [pa.ArrowMemoryError("malloc of size 64 failed")] * times, pq.ParquetFile

    def opened(path: Path) -> pq.ParquetFile:
        if path == file and short:
            raise short.pop()
        return whole(path)

    monkeypatch.setattr(pq, "ParquetFile", opened)
    assert len(Store.open(store.results_dir).tidy()) == times - 1
    assert finished(store.results_dir, "tune") == ({"t00000"} if times == 1 else set())


def test_a_column_whose_name_is_damaged_is_a_damaged_file(store: Store) -> None:
    """Arrow raises no error of its own for it."""
    path = store.write("trials", "tune", "t00000", 1, [{"end_reason": "completed"}])
    path.write_bytes(path.read_bytes().replace(b"val_auc", b"val_\xe5uc"))
    with pytest.raises(Faults, match=r"rows-00000000\.parquet` is damaged: move it away"):
        read(store.results_dir, "trials")
    assert len(Store.open(store.results_dir).tidy()) == 1
    assert finished(store.results_dir, "tune") == set()


def test_a_file_that_the_disk_does_not_give_is_not_taken_for_damaged(store: Store) -> None:
    path = store.write("trials", "tune", "t00000", 1, [{"end_reason": "completed"}])
    path.rename(away := store.results_dir / "away")
    path.symlink_to(store.results_dir / "nowhere")
    with pytest.raises(Faults, match="No such file"):
        Store.open(store.results_dir).tidy()
    away.rename(store.results_dir / "nowhere")
    assert Store.open(store.results_dir).tidy() == []
    assert finished(store.results_dir, "tune") == {"t00000"}


def test_a_damaged_file_that_a_snapshot_covers_costs_nothing(store: Store) -> None:
    path = store.write("trials", "tune", "t00000", 1, [{"end_reason": "completed"}])
    compact(store.results_dir)
    path.write_bytes(b"")
    assert Store.open(store.results_dir).tidy() == []
    assert finished(store.results_dir, "tune") == {"t00000"}


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a kilobyte: a real failing write (EFBIG), halfway through."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_write_that_fails_halfway_leaves_nothing_and_names_the_file(store: Store) -> None:
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.1)])
    contrasts = store.replace("contrasts", [{"estimand": "koleo"}])
    before = contrasts.read_bytes()
    with full_disk():
        with pytest.raises(OSError, match="rows-00000001") as caught:
            store.write("curves", "tune", "t00000", 1, [curve(1, 0.2)])
        with pytest.raises(OSError, match="contrasts"):
            store.replace("contrasts", [{"estimand": "accum"}])
        with pytest.raises(OSError, match="compact"):
            compact(store.results_dir)
    assert caught.value.errno == errno.EFBIG
    assert list((store.results_dir / "_staging").iterdir()) == []
    assert contrasts.read_bytes() == before
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.1]
    store.write("curves", "tune", "t00000", 1, [curve(1, 0.2)])
    assert read(store.results_dir, "curves")["val_auc"].to_pylist() == [0.2]
    assert [published_in(path) for path in raw_files(store, "curves")] == [0, 1]


def test_a_driver_that_starts_deletes_what_a_killed_one_left_half_written(store: Store) -> None:
    path = store.write("curves", "tune", "t00000", 1, [curve(1)])
    left, fresh = (store.results_dir / "_staging" / f"{name}.tmp" for name in ("left", "fresh"))
    for file in (left, fresh):
        file.write_bytes(b"half")
    os.utime(left, (0, 0))
    store.tidy()
    assert not left.exists()
    assert fresh.exists(), "a report that is rendered meanwhile stages its contrasts"
    assert path is not None
    assert path.exists()
