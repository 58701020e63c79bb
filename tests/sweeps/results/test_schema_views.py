"""Rows of embeddings, pictures and per-class metrics through the store."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedding_core.data.image_sets import ImageSet, load
from embedding_core.errors import Faults
from embedding_core.views.sampling import shown_queries
from embedding_core.views.scatter import PROJECTIONS
from embedding_core.views.view_tables import ViewTables, compute_views
from sweeps.results.rows import cast
from sweeps.results.scan import compact
from sweeps.results.schema import KEYS, TABLES, VIEW_NAMES
from sweeps.results.store import Store, read

TABLES_OF_VIEWS = ("views", "eval_groups", "embeddings")


@pytest.fixture(scope="module")
def computed() -> ViewTables:
    digits = load("digits")
    few = ImageSet(digits.images[:90], digits.labels[:90], digits.class_names)
    z = few.images.flatten(1).float()
    grey_z = z[shown_queries(few.labels, seed=1)]
    return compute_views(z, few, split="test", seed=1, projections=("pca", "tsne"), grey_z=grey_z)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "sweep")


def stored(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row as `read` gives it back, absent columns left out."""
    vector = {"embedding": np.asarray(row["embedding"]).tolist()} if "embedding" in row else {}
    return {"trial_id": "t00003", "attempt": 1, "stage": "confirm", **row, **vector, **more}


@pytest.mark.parametrize("table", TABLES_OF_VIEWS)
def test_what_the_core_computes_comes_back_in_the_order_of_the_key(
    store: Store, computed: ViewTables, table: str
) -> None:
    given = getattr(computed, table)
    store.write(table, "confirm", "t00003", 1, given)
    found = read(store.results_dir, table).to_pylist()
    flag = {"is_finite": True} if "is_finite" in TABLES[table].names else {}

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple((row.get(name) is None, row.get(name)) for name in KEYS[table] if name != "trial_id")

    for row, back in zip(sorted(given, key=key), found, strict=True):
        assert {name: value for name, value in back.items() if value is not None} == {
            name: value for name, value in stored(row, **flag).items() if value is not None
        }


def test_the_views_are_the_documented_ones(computed: ViewTables) -> None:
    assert {row["view"] for row in computed.views} == set(VIEW_NAMES) - {"umap"}
    assert set(PROJECTIONS) < set(VIEW_NAMES)


@pytest.mark.parametrize("table", TABLES_OF_VIEWS)
def test_a_later_attempt_replaces_row_by_row(store: Store, computed: ViewTables, table: str) -> None:
    given = getattr(computed, table)
    for attempt in (1, 2):
        store.write(table, "confirm", "t00003", attempt, given)
    store.write(table, "confirm", "t00004", 1, given)
    compact(store.results_dir)
    store.write(table, "confirm", "t00004", 2, given[:3])
    latest = read(store.results_dir, table, stage="confirm")
    assert latest.num_rows == 2 * len(given)
    attempts = [(row["trial_id"], row["attempt"]) for row in latest.select(["trial_id", "attempt"]).to_pylist()]
    assert attempts.count(("t00003", 2)) == len(given)
    assert attempts.count(("t00004", 2)) == 3
    assert read(store.results_dir, table, attempts="all").num_rows == 3 * len(given) + 3


def test_embeddings_of_two_sizes_share_the_table(store: Store) -> None:
    for trial, size in (("t00000", 2), ("t00001", 3)):
        row = {"split": "test", "image_index": 0, "label": 1, "embedding": np.full(size, 0.1, dtype=np.float32)}
        path = store.write("embeddings", "confirm", trial, 1, [row])
        assert path is not None
        assert pq.read_schema(path).field("embedding").type == pa.list_(pa.float32())
    found = read(store.results_dir, "embeddings")["embedding"].to_pylist()
    assert found == [[float(np.float32(0.1))] * 2, [float(np.float32(0.1))] * 3]


def test_a_value_that_is_not_finite_is_flagged(computed: ViewTables) -> None:
    ids = {"trial_id": "t", "attempt": 1}
    row = {**ids, **computed.eval_groups[0], "value": float("nan")}
    assert cast("eval_groups", [row]).select(["value", "is_finite"]).to_pylist() == [
        {"value": None, "is_finite": False}
    ]


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("views", {"thumbnail": 3}),
        ("views", {"item": None}),
        ("views", {"colour": "red"}),
        ("embeddings", {"embedding": ["a"]}),
        ("embeddings", {"embedding": 0.5}),
        ("eval_groups", {"class_id": None}),
    ],
)
def test_rows_that_do_not_fit_are_refused(computed: ViewTables, table: str, wrong: dict[str, Any]) -> None:
    row = {"trial_id": "t", "attempt": 1, **getattr(computed, table)[0], **wrong}
    with pytest.raises(Faults, match=next(iter(wrong))):
        cast(table, [row])
