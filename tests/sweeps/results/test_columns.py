"""The registry of measured columns against the schema."""

import pytest

from embedding_core.config.train_config import MEASURES
from sweeps.results.columns import MEASURED, TUNED_BY, WHILE_TRAINING, Column, named
from sweeps.results.schema import TABLES


@pytest.mark.parametrize("column", MEASURED.values(), ids=MEASURED)
def test_every_measured_column_is_a_number_in_the_table_it_names(column: Column) -> None:
    assert str(TABLES[column.table].field(column.name).type) in ("double", "int64")
    first = next(table for table, schema in TABLES.items() if column.name in schema.names)
    assert column.table == first
    assert column.unit == TABLES[first].field(column.name).metadata[b"unit"].decode()


def test_units_are_those_of_the_schema() -> None:
    assert [MEASURED[name].unit for name in ("test_auc", "wall_s", "images_seen", "val_uniformity")] == [
        "AUC",
        "s",
        "image",
        "1",
    ]


def test_what_is_measured_while_training_is_a_column_of_the_curves_with_the_same_direction() -> None:
    assert WHILE_TRAINING["test_recall_at_1"] == "val_recall_at_1"
    for outcome, column in WHILE_TRAINING.items():
        assert MEASURED[column].table == "curves"
        assert MEASURED[column].better == MEASURED[outcome].better == "higher"


def test_a_column_is_called_by_its_label_or_its_name() -> None:
    assert named("unseen_auc") == "AUC on unseen classes"
    assert named("would_stop_rung") == "would stop rung"
    assert (MEASURED["test_recall_at_1"].header, MEASURED["val_auc"].header) == ("R@1", "validation AUC")
    labels = [column.label for column in MEASURED.values() if not column.name.startswith("final_")]
    assert len(set(labels)) == len(labels)


def test_settings_are_chosen_by_a_measure_of_the_validation_split_that_is_the_outcomes_own_or_the_nearest_to_it() -> (
    None
):
    assert set(TUNED_BY.values()) == set(MEASURES)
    for outcome, measure in TUNED_BY.items():
        assert f"final_{measure}" in TABLES["trials"].names
        assert measure in TABLES["curves"].names
        # Of unseen classes nothing is measured while training.
        assert (WHILE_TRAINING.get(outcome) == measure) != bool(MEASURED[outcome].tuned_by)
    assert TUNED_BY["unseen_map_at_r"] == TUNED_BY["test_map_at_r"] == "val_map_at_r"
    assert "test_accuracy" not in TUNED_BY
    assert {outcome for outcome in WHILE_TRAINING if outcome.startswith("unseen")} == set()


def test_a_final_value_is_called_as_the_measure_it_is_of() -> None:
    for measure in MEASURES:
        assert MEASURED[f"final_{measure}"].label == MEASURED[measure].label
