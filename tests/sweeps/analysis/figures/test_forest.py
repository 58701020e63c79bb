from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.figures.forest import HELD, draw_forest, forest_data, forests, reading
from sweeps.analysis.figures.style import svg_of
from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import comparisons

Make = Callable[..., Any]


def test_the_forest_shows_primaries_and_koleo_against_accumulation(make_factorial: Make) -> None:
    made = make_factorial()
    found = findings(made.trials, made.curves, made.stored)
    compared = comparisons(made.trials, made.stored)
    shown = forests(found, compared)
    assert list(shown) == ["test_auc"]
    items = shown["test_auc"]
    assert [item.family for item in items] == ["primary"] * 4 + ["exploratory"]
    assert items[-1].label == "KoLeo, off to on at K=1"  # accumulation with KoLeo is a primary
    data = forest_data(items, dataset="digits")
    assert data.caption == "n = 8 replicates; digits; stage confirm; 95 % intervals, those of the primaries all at once"
    assert HELD in reading(data)
    svg = svg_of(draw_forest(data))
    for text in ("primary", "exploratory", "±SESOI", "difference in test AUC", *(interval(one.found) for one in items)):
        assert text in svg
    with pytest.raises(ValueError, match="at least one"):
        forest_data([], dataset="digits")


def test_seeds_of_one_tuning_are_called_so(make_factorial: Make) -> None:
    made = make_factorial(replicates=1, blocks=8)
    shown = forests(findings(made.trials, made.curves, made.stored), [])
    assert forest_data(shown["test_auc"], dataset="digits").caption.startswith("n = 8 seeds at one tuning; digits")
