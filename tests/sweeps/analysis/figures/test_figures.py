import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest

from sweeps.analysis.figures import figure_data, figures
from sweeps.analysis.figures.style import inline_svg, svg_of
from sweeps.analysis.stats.contrasts import contrast_effect, effect_by_epoch
from sweeps.analysis.stats.importances import Importances
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
CONTRAST = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def texts(svg: str) -> str:
    return "\n".join("".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


def paired(make_confirm: Make, dataset: str = "digits") -> figure_data.PairedData:
    effect, blocks = contrast_effect(make_confirm().trials, CONTRAST)
    return figure_data.paired_data(blocks, effect, CONTRAST, dataset=dataset, note="drop-in")


def test_paired_data(make_confirm: Make) -> None:
    data = paired(make_confirm)
    assert np.mean(data.differences) == pytest.approx(data.effect.estimate)
    assert np.subtract(data.treatment, data.control).tolist() == list(data.differences)
    assert data.caption == "n = 7 blocks; digits; stage confirm; drop-in"


def test_curves_have_means_outside_search_only(make_confirm: Make, make_search: Make) -> None:
    tables = make_confirm(tables=make_search())
    search = figure_data.curve_data(tables.trials, tables.curves, stage="search", dataset="digits")
    confirm = figure_data.curve_data(tables.trials, tables.curves, stage="confirm", dataset="digits")
    assert (len(search.curves), search.means, search.stamp) == (60, (), "descriptive: adaptive sample")
    assert [curve.end_reason for curve in search.curves].count("unfinished") == 1
    assert (len(confirm.curves), [m.arm for m in confirm.means], confirm.stamp) == (14, ["koleo=off", "koleo=on"], "")
    on = [c.values[-1] for c in confirm.curves if c.arm == "koleo=on"]
    assert confirm.means[1].values[-1] == pytest.approx(np.mean(on))


def test_search_data_counts_trials_without_a_value(make_search: Make) -> None:
    data = figure_data.search_data(make_search().trials, dataset="digits")
    assert len(data.values) == 58
    assert "n = 59 trials; 1 without a value; digits; stage search" in data.caption
    assert sum(data.completed) < len(data.completed)


def test_bars_are_sorted_and_need_an_evaluator() -> None:
    given = [
        Importances("PED-ANOVA", 30, {"lr": 0.2, "margin": 0.8}, {}, ""),
        Importances("fANOVA", 30, {}, {}, "because"),
    ]
    data = figure_data.bar_data(given, dataset="digits")
    assert (data.settings, data.shares) == (("margin", "lr"), {"PED-ANOVA": (0.8, 0.2)})
    with pytest.raises(ValueError, match="because"):
        figure_data.bar_data(given[1:], dataset="digits")
    with pytest.raises(ValueError, match="No epoch"):
        figure_data.epoch_data([], outcome="val_auc", dataset="digits")


@pytest.mark.slow
def test_drawings_are_stamped_text_and_the_same_bytes_each_time(make_confirm: Make, make_search: Make) -> None:
    tables = make_confirm(tables=make_search())
    confirm = make_confirm()
    curves = figure_data.curve_data(tables.trials, tables.curves, stage="search", dataset="digits")
    search = figure_data.search_data(tables.trials, dataset="digits")
    bars = figure_data.bar_data([Importances("fANOVA", 30, {"lr": 1.0}, {}, "")], dataset="digits")
    marks = effect_by_epoch(confirm.curves, contrast_effect(confirm.trials, CONTRAST)[1])
    before = dict(matplotlib.rcParams)
    for draw in (
        lambda: figures.draw_paired(paired(make_confirm)),
        lambda: figures.draw_epochs(figure_data.epoch_data(marks, outcome="val_auc", dataset="digits")),
        lambda: figures.draw_curves(curves),
        lambda: figures.draw_search(search),
        lambda: figures.draw_importances(bars),
    ):
        svg = svg_of(draw())
        assert svg == svg_of(draw())
        assert "dc:date" not in svg
        words = texts(svg)
        assert "digits; stage" in words
        assert ("descriptive: adaptive sample" in words) == ("stage search" in words)
    assert dict(matplotlib.rcParams) == before


def test_names_are_escaped_and_ids_are_told_apart(make_confirm: Make) -> None:
    svg = svg_of(figures.draw_paired(paired(make_confirm, dataset="<b>$x_{$ &")))
    assert "<b>$x_{$ &" in texts(svg)
    one = inline_svg(svg, name="one", label='a "b" <c> & d')
    ids = {node.get("id") for node in ET.fromstring(one).iter() if node.get("id")}
    assert ids
    assert all(name.startswith("one-") for name in ids)
    used = {node.get("href", "#one-")[1:] for node in ET.fromstring(one).iter()}
    assert all(name.startswith("one-") for name in used)
    assert "http" not in one
