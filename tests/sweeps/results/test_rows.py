"""Dicts meet the schema: what is cast, what is refused."""

import datetime
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from sweeps.results.rows import cast
from sweeps.results.schema import TABLES


def curve(**values: object) -> dict[str, object]:
    return {"trial_id": "t00000", "attempt": 1, "epoch": 1, **values}


def test_integers_in_a_float_column_are_stored_as_floats() -> None:
    table = cast("curves", [curve(lr=1), curve(lr=np.int64(2)), curve(lr=np.float32(0.5)), curve(lr=0.001)])
    assert table["lr"].to_pylist() == [1.0, 2.0, 0.5, 0.001]
    assert table.schema.equals(TABLES["curves"], check_metadata=False)


def test_absent_columns_are_null() -> None:
    row = cast("curves", [curve()]).to_pylist()[0]
    assert {name for name, value in row.items() if value is not None} == {"trial_id", "attempt", "epoch", "is_finite"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_becomes_null_and_clears_the_flag(value: float) -> None:
    rows = [curve(val_auc=value), curve(val_auc=value, is_finite=True), curve(val_auc=0.5)]
    table = cast("curves", rows)
    assert table["val_auc"].to_pylist() == [None, None, 0.5]
    assert table["is_finite"].to_pylist() == [False, False, True]


def test_a_flag_given_as_false_stays_false() -> None:
    assert cast("curves", [curve(val_auc=0.5, is_finite=False)])["is_finite"].to_pylist() == [False]
    assert cast("curves", [curve(val_auc=math.nan, is_finite=False)])["is_finite"].to_pylist() == [False]


def test_tables_without_the_flag_store_null() -> None:
    trial = {"trial_id": "t00000", "attempt": 1, "final_val_auc": math.nan, "end_reason": "diverged"}
    assert cast("trials", [trial])["final_val_auc"].to_pylist() == [None]


def test_a_whole_configuration_fits_the_trials_table() -> None:
    config = TrainConfig(koleo=True, koleo_weight=0.01).to_flat()
    row = cast("trials", [{"trial_id": "t00000", "attempt": 1, **config}]).to_pylist()[0]
    assert {name: row[name] for name in config} == config


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(Faults) as caught:
        cast("curves", [curve(val_acu=0.5, lr="fast"), {"trial_id": "t00000", "attempt": 1, "update": 1.5}])
    text = str(caught.value)
    assert "Did you mean `val_auc`?" in text
    assert "`curves.lr` must be double, but got 'fast'." in text
    assert "`curves.update` must be int64, but got 1.5." in text
    assert "Each row of `curves` needs `epoch`." in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"started_at": 1.7e9},
        {"started_at": 1},
        {"started_at": datetime.datetime(2026, 1, 1)},  # which clock?
        {"wall_s": True},
        {"block": "1"},
        {"git_dirty": 1},
        {"images_seen": 10**30},
        {"argv": "\ud800"},
    ],
)
def test_a_value_of_another_kind_is_refused_not_converted(wrong: dict[str, object]) -> None:
    with pytest.raises(Faults, match=f"`trials.{next(iter(wrong))}` must be "):
        cast("trials", [{"trial_id": "t00000", "attempt": 1, **wrong}])


def test_times_keep_their_instant() -> None:
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert cast("trials", [{"trial_id": "t", "attempt": 1, "ended_at": noon}])["ended_at"].to_pylist() == [noon]


def test_an_unknown_ending_names_the_nearest() -> None:
    with pytest.raises(Faults, match="Did you mean `diverged`"):
        cast("trials", [{"trial_id": "t00000", "attempt": 1, "end_reason": "divergd"}])


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(Faults, match="Did you mean `curves`"):
        cast("curve", [])


@given(st.lists(st.floats() | st.none() | st.integers(-(2**53), 2**53), min_size=1))
def test_the_flag_is_false_exactly_where_a_value_was_not_finite(values: list[float | None]) -> None:
    table = cast("curves", [curve(val_auc=value) for value in values])
    finite = [value is None or math.isfinite(value) for value in values]
    assert table["is_finite"].to_pylist() == finite
    assert table["val_auc"].to_pylist() == [v if ok else None for v, ok in zip(values, finite, strict=True)]
