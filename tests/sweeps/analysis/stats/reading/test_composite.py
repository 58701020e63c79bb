"""What stands in for the outcome of a run that failed."""

import pytest

from sweeps.analysis.stats.reading.composite import composite_of, counted_as, measured_or_composite


@pytest.mark.parametrize(
    ("outcome", "value"),
    [
        ("test_auc", 0.5),
        ("final_val_auc", 0.5),
        ("test_recall_at_1", 0.0),
        ("unseen_map_at_r", 0.0),
        ("test_fitted_knn_accuracy", 0.0),
        ("wall_s", None),
    ],
)
def test_a_failed_run_counts_with_the_worst_there_is(outcome: str, value: float | None) -> None:
    assert composite_of(outcome) == value


def test_a_measured_value_is_kept_and_a_missing_one_replaced() -> None:
    assert measured_or_composite(0.3, "test_auc") == 0.3
    assert measured_or_composite(None, "test_auc") == 0.5
    assert measured_or_composite(float("nan"), "test_recall_at_1") == 0.0
    with pytest.raises(ValueError, match="no worst value"):
        measured_or_composite(None, "wall_s")
    assert counted_as("test_auc") == "counted as .5"
    assert counted_as("test_recall_at_1") == "counted as 0, the worst there is"
