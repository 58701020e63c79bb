"""The DuckDB views give what `store.read` gives."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sweeps.results.scan import compact, compact_new
from sweeps.results.schema import KEYS
from sweeps.results.snapshots import added
from sweeps.results.store import Store, read

ROOT = Path(__file__).parents[3]
SQL = (ROOT / "sweeps" / "results" / "views.sql").read_text(encoding="utf-8")


@pytest.fixture
def session() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(SQL)
    return connection


def queried(session: duckdb.DuckDBPyConnection, folder: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = session.sql(f"select * from {table}('{folder}')").to_arrow_table().to_pylist()
    return rows


def by_key(rows: list[dict[str, Any]], table: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: [str(row[name]) for name in ("stage", *KEYS[table])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stages, a retried trial, a row sent twice within an attempt, and nulls in a key."""
    folder = tmp_path_factory.mktemp("sweeps") / "s"
    store = Store.create(folder)
    for stage in ("search", "confirm"):
        for attempt in (1, 2):
            for trial in ("t00000", "t00001")[: 3 - attempt]:
                ids = (stage, trial, attempt)
                store.write("trials", *ids, [{"cell_id": "koleo=on", "block": attempt, "lr": 0.001}])
                store.write("curves", *ids, [{"epoch": e, "val_auc": 0.5 + 0.1 * attempt} for e in (1, 2)])
                store.write("curves", *ids, [{"epoch": 2, "val_auc": 0.9}, {"epoch": 2, "val_auc": 0.91}])
                store.write("rungs", *ids, [{"rung": 100, "value": 0.5, "decision": "continue"}])
                of = {"checkpoint": "final", "split": "test"}
                metrics = [{"metric": "auc", "k": None, "value": 0.7}, {"metric": "recall", "k": 1, "value": 0.4}]
                store.write("evaluations", *ids, [{**of, **metric} for metric in metrics])
                group = {"split": "test", "metric": "auc", "class_id": 3, "class_name": "cat", "value": 0.6, "n": 9}
                store.write("eval_groups", *ids, [group])
                view = {"split": "test", "view": "pca", "item": 0, "rank": 0, "x": 1.0, "thumbnail": b"png"}
                store.write("views", *ids, [view])
                vector = {"split": "test", "image_index": 0, "label": 3, "embedding": [0.5, 0.25]}
                store.write("embeddings", *ids, [vector])
    store.replace("contrasts", [{"estimand": "koleo", "metric": "test_auc", "estimate": 0.01, "n": 7}])
    return folder


@pytest.mark.parametrize("table", KEYS)
def test_each_table_is_that_of_the_store(table: str, session: duckdb.DuckDBPyConnection, folder: Path) -> None:
    expected = by_key(read(folder, table).to_pylist(), table)
    assert len(expected) >= 4
    assert by_key(queried(session, folder, table), table) == expected


@pytest.mark.parametrize("table", KEYS)
def test_a_sweep_that_runs_is_that_of_the_store(
    table: str, session: duckdb.DuckDBPyConnection, folder: Path, tmp_path: Path
) -> None:
    """Some files in a snapshot of all, some in ones that were added since, the latest in none; rows that came again."""
    running = tmp_path / "running"
    shutil.copytree(folder, running)
    compact(running)
    store = Store.open(running)
    row = read(folder, table, stage="confirm").to_pylist()[0]
    again = {name: value for name, value in row.items() if name not in ("stage", "attempt") and value is not None}
    for attempt, trial in enumerate(("t00000", "t00001", "t00000", "t00002"), 3):
        store.write(table, "confirm", trial, attempt, [{**again, "trial_id": trial}])
        if attempt in (3, 5):
            compact_new(running, table, "confirm")
    expected = by_key(read(running, table).to_pylist(), table)
    assert {row["attempt"] for row in expected} >= {4, 5, 6}
    assert by_key(queried(session, running, table), table) == expected
    assert len(added(running, table, "confirm")) == 2


def test_contrasts_and_every_row_published(session: duckdb.DuckDBPyConnection, folder: Path) -> None:
    assert queried(session, folder, "contrasts") == read(folder, "contrasts").to_pylist()
    (rows,) = session.execute("select count(*) from published($1, 'curves')", [str(folder)]).fetchall()
    assert rows == (read(folder, "curves", attempts="all").num_rows,)


def test_the_keys_are_those_of_the_schema() -> None:
    for table, key in KEYS.items():
        (found,) = re.findall(rf"macro {table}\(results\).*?partition by (.*?) order by", SQL, re.DOTALL)
        assert tuple(name.strip('" ') for name in found.split(",")) == ("stage", *key)


@pytest.mark.slow
def test_the_example_prints_every_result(folder: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "queries" / "query.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for column in ("end_reason", "difference", "nn_distance"):
        assert column in done.stdout
