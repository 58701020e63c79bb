import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.curves import MOST_TOGETHER, Curve, CurveData, curve_data, draw_curves
from sweeps.analysis.figures.drawing.style import arm_style, svg_of

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


def test_each_line_tells_its_trial_and_last_value_where_one_points_at_it(make_search: Make) -> None:
    tables = make_search()
    data = curve_data(tables.trials, tables.curves, stage="search", dataset="digits")
    assert data is not None
    told = re.findall(r"<title>(t\d{5}): (\S+)</title>", svg_of(draw_curves(data)))
    assert set(told) == {(c.trial, f"{c.values[-1]:.4f}".lstrip("0")) for c in data.curves}


def test_a_trial_of_one_epoch_is_a_mark_that_tells_it() -> None:
    curves = (Curve("t00000", "a", "completed", (1,), (0.5,)), Curve("t00001", "a", "asha_stopped", (1, 2), (0.4, 0.6)))
    data = CurveData("val_auc", "tune", curves, (), arm_style(["a"]), "", "caption")
    told = re.findall(r"<use [^>]*><title>(t\d{5}): (\S+)</title>", svg_of(draw_curves(data)))
    one = re.findall(r"<g><title>(t\d{5}): (\S+)</title>", svg_of(draw_curves(data)))
    assert sorted(told + one) == [("t00000", ".5000"), ("t00001", ".6000")]


@pytest.mark.parametrize("weights", [2, 5])
def test_many_arms_have_a_panel_for_all_steps_of_accumulation(weights: int) -> None:
    arms = [f"koleo=on,koleo_weight={w},accum_steps={k}" for w in range(weights) for k in (1, 4)]
    curves = tuple(Curve(f"t{i:05d}", arm, "completed", (1, 2), (0.5, 0.01 * i)) for i, arm in enumerate(arms))
    data = CurveData("val_auc", "confirm", curves, curves, arm_style(arms), "", "caption")
    panels = [axes for axes in draw_curves(data).axes if axes.get_visible()]
    assert len(panels) == (weights if len(arms) > MOST_TOGETHER else 1)
    shown = [[line.get_linestyle() for line in axes.lines if len(line.get_xdata()) == 2] for axes in panels]
    assert shown == ([["-", "--"]] * weights if len(panels) > 1 else [["-", "--"] * weights])
    assert len({axes.get_ylim() for axes in panels}) == 1
