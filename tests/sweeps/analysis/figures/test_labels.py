from collections.abc import Callable
from typing import Any

import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.labels import draw_labels, label_data
from sweeps.analysis.stats.intervals.effects import t_interval
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
CURRICULUM, ARCFACE = "loss=mined,mining=curriculum,margin=.5", "loss=arcface"


def test_probes_have_their_interval_over_blocks(make_arms: Make) -> None:
    sweep = make_arms(blocks=5)
    data = label_data(sweep.evaluations, sweep.trials, [ARCFACE, CURRICULUM], split="unseen", dataset="digits")
    assert data is not None
    assert data.budgets == (30, 100, 1000, 3000)
    point = data.means["probe_linear"][ARCFACE][1000]
    assert point.interval == t_interval(sweep.values(ARCFACE, split="unseen", metric="probe_linear", k=1000))
    assert data.caption == "n = 5 seeds, 2 cells; digits, unseen classes; stage confirm"


def test_a_cell_that_lacks_a_block_shows_in_the_caption(make_arms: Make) -> None:
    sweep = make_arms(blocks=3)
    lost = sweep.tables.row(ARCFACE, 2)["trial_id"]
    sweep.evaluation_rows = [row for row in sweep.evaluation_rows if row["trial_id"] != lost]
    data = label_data(sweep.evaluations, sweep.trials, [ARCFACE, CURRICULUM], split="test", dataset="digits")
    assert data is not None
    assert data.caption.startswith("n = 2 to 3 seeds, 2 cells; ")


@pytest.mark.slow
def test_the_drawing_names_probes_cells_and_budgets(make_arms: Make) -> None:
    sweep = make_arms(blocks=2)
    data = label_data(sweep.evaluations, sweep.trials, [ARCFACE, CURRICULUM], split="unseen", dataset="digits")
    assert data is not None
    words = texts(svg_of(draw_labels(data)))
    for text in ("SVC (RBF)", "linear SVM", "kNN", "loss arcface", "1,000", "few labels: unseen"):
        assert text in words
