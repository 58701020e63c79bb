from collections.abc import Callable
from typing import Any

from sweeps.analysis.figures.search import search_data

Make = Callable[..., Any]


def test_search_data_counts_trials_without_a_value(make_search: Make, make_confirm: Make) -> None:
    data = search_data(make_search().trials, dataset="digits")
    assert data is not None
    assert len(data.values) == 58
    assert "n = 59 trials; 1 without a value; digits; stage search" in data.caption
    assert sum(data.completed) < len(data.completed)
    assert search_data(make_confirm().trials, dataset="digits") is None
