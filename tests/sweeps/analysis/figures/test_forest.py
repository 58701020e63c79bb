from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.forest import HELD, draw_forest, forest_data, forest_items, reading
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import comparisons
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]


def test_the_forest_shows_primaries_and_koleo_against_accumulation(make_factorial: Make) -> None:
    made = make_factorial()
    found = findings(made.trials, made.curves, made.stored)
    compared = comparisons(made.trials, made.stored)
    items = forest_items(found, compared)
    auc, recall = ([one for one in items if one.panel == panel] for panel in ("test AUC", "test recall at 1"))
    assert [item.family for item in auc] == ["primary"] * 4 + ["exploratory"]
    assert {item.family for item in recall} == {"exploratory"}
    assert [item.label for item in recall] == [item.label for item in auc]
    assert auc[-1].label == "KoLeo, off to on at K=1"  # accumulation with KoLeo is a primary
    assert {item.sesoi for item in recall} == {0.01}
    data = forest_data(items, dataset="digits")
    assert data.caption == "n = 8 replicates; digits; stage confirm; 95 % intervals, those of the primaries all at once"
    assert HELD in reading(data)
    svg = svg_of(draw_forest(data))
    assert "difference in test AUC" in " ".join(texts(svg).split())
    for text in ("primary", "exploratory", "±SESOI", *(interval(one.found) for one in items)):
        assert text in svg
    with pytest.raises(ValueError, match="at least one"):
        forest_data([], dataset="digits")


def test_seeds_of_one_tuning_are_called_so(make_factorial: Make) -> None:
    made = make_factorial(replicates=1, blocks=8)
    shown = forest_items(findings(made.trials, made.curves, made.stored), [])
    assert forest_data(shown, dataset="digits").caption.startswith("n = 8 seeds at one tuning; digits")
