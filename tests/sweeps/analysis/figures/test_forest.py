import numpy as np
import pytest

from sweeps.analysis.figures.forest import ForestItem, draw_forest, forest_data
from sweeps.analysis.figures.style import svg_of
from sweeps.analysis.stats.effects import paired_effect


def test_forest_keeps_order_and_family_and_says_how_many_blocks() -> None:
    rng = np.random.default_rng(0)
    effects = [paired_effect(rng.normal(0.9, 0.01, n), rng.normal(0.9, 0.01, n)) for n in (7, 4)]
    items = [
        ForestItem("KoLeo, a label that is too long for one line", effects[0], "primary", "test_auc"),
        ForestItem("A/A", effects[1], "control", "test_auc"),
    ]
    data = forest_data(items, dataset="digits")
    assert list(data.rows) == items
    assert data.caption == "n = 4 to 7 blocks; digits; stage confirm; 95 % intervals"
    svg = svg_of(draw_forest(data))
    for text in ("A/A", "too long for one line", "primary", "control", "±SESOI", "difference in test AUC"):
        assert text in svg
    assert "exploratory" not in svg
    with pytest.raises(ValueError, match="at least one"):
        forest_data([], dataset="digits")
