import re
from typing import Any

import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.gap import GAP, draw_gap, gap_data
from tests.sweeps.analysis.svg_texts import texts


def test_gap_is_told_per_arm_and_mode_where_it_was_measured(staged: Any) -> None:
    data = gap_data(staged.tables.trials, staged.tables.curves, dataset="digits")
    assert data is not None
    assert data.ks == (4,)
    cosines = data.values["micro_full_grad_cos"]
    assert set(cosines) == {"koleo=on", "koleo=on,accum_mode=cached"}
    assert sorted(cosines["koleo=on"]) == [(4, pytest.approx(0.6 + 0.01 * block)) for block in range(1, 8)]
    svg = svg_of(draw_gap(data))
    assert "full-batch gradient" in svg
    told = re.findall(r"<title>(t\d{5}): ([^<]+)</title>", svg)
    ends = {row["trial_id"]: row for row in staged.tables.curve_rows if row["stage"] == "confirm"}  # the last epoch's
    expected = [(t, row[m]) for m in GAP for t, row in ends.items() if row.get(m) is not None]
    assert sorted(told) == sorted((t, f"{value:.4f}".lstrip("0")) for t, value in expected)
    assert "KoLeo, cached" in " ".join(texts(svg).split())


def test_nothing_measured_nothing_shown(make_search: Any) -> None:
    tables = make_search()
    assert gap_data(tables.trials, tables.curves, dataset="digits") is None
