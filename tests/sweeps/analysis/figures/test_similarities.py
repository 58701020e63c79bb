import math
from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.figures import similarities

Make = Callable[..., Any]
CURRICULUM = "loss=mined,mining=curriculum,margin=.5"


def test_similarities_have_a_band_of_one_deviation(make_arms: Make) -> None:
    sweep = make_arms()
    data = similarities.similarity_data(sweep.trials, sweep.curves, [CURRICULUM], dataset="digits")
    assert data is not None
    (panel,) = data.panels
    assert panel.mean[0] == (1, pytest.approx(0.9 * math.exp(-0.25) + 0.1))
    assert panel.deviation[2] == (3, pytest.approx(math.sqrt(0.04 * (1 - 0.9**3))))
    assert len(panel.runs) == 3


def test_without_their_columns_there_is_no_figure(make_confirm: Make) -> None:
    tables = make_confirm()
    assert (
        similarities.similarity_data(tables.trials, tables.curves, ["koleo=off", "koleo=on"], dataset="digits") is None
    )
