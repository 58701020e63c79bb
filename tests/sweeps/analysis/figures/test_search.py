import re
from collections.abc import Callable
from typing import Any

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.search import draw_search, search_data

Make = Callable[..., Any]


def test_search_data_counts_trials_without_a_value(make_search: Make, make_confirm: Make) -> None:
    data = search_data(make_search().trials, dataset="digits")
    assert data is not None
    assert len(data.values) == 58
    assert "n = 59 trials; 1 without a value; digits; stage search" in data.caption
    assert sum(data.completed) < len(data.completed)
    told = re.findall(r"<title>(t\d{5}): (\S+)</title>", svg_of(draw_search(data)))
    assert sorted(told) == sorted(zip(data.trials, [f"{y:.4f}".lstrip("0") for y in data.values], strict=True))
    assert search_data(make_confirm().trials, dataset="digits") is None
