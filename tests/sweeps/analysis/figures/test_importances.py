import pytest

from sweeps.analysis.figures.importances import importance_data
from sweeps.analysis.stats.description.importances import Importances


def test_bars_are_sorted_and_need_an_evaluator() -> None:
    given = [
        Importances("PED-ANOVA", 30, {"lr": 0.2, "margin": 0.8}, {}, ""),
        Importances("fANOVA", 30, {}, {}, "because"),
    ]
    data = importance_data(given, dataset="digits")
    assert (data.settings, data.shares) == (("margin", "lr"), {"PED-ANOVA": (0.8, 0.2)})
    with pytest.raises(ValueError, match="because"):
        importance_data(given[1:], dataset="digits")
