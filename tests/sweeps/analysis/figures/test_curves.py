from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.curves import curve_data

Make = Callable[..., Any]


def test_curves_have_means_outside_search_only(make_confirm: Make, make_search: Make) -> None:
    tables = make_confirm(tables=make_search())
    search = curve_data(tables.trials, tables.curves, stage="search", dataset="digits")
    confirm = curve_data(tables.trials, tables.curves, stage="confirm", dataset="digits")
    assert search is not None
    assert confirm is not None
    assert (len(search.curves), search.means, search.stamp) == (60, (), "descriptive: adaptive sample")
    assert [curve.end_reason for curve in search.curves].count("unfinished") == 1
    assert (len(confirm.curves), [m.arm for m in confirm.means], confirm.stamp) == (14, ["koleo=off", "koleo=on"], "")
    on = [c.values[-1] for c in confirm.curves if c.arm == "koleo=on"]
    assert confirm.means[1].values[-1] == pytest.approx(np.mean(on))
    assert curve_data(tables.trials, tables.curves.slice(0, 0), stage="confirm", dataset="digits") is None
