from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.interaction import draw_interaction, interaction_data
from tests.sweeps.analysis.svg_texts import texts

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
CONTROLS = ("koleo=off,accum_steps=4", "koleo=on,accum_steps=4,accum_mode=cached")


def outcomes(staged: Any, cell: str) -> dict[int, float]:
    return {row["block"]: row["test_auc"] for row in staged.rows("confirm", cell)}


def test_interaction_holds_every_run_and_the_cell_means(staged: Any) -> None:
    data = interaction_data(staged.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    off, on = data.series
    assert (off.name, off.ks, off.for_all) == ("koleo=off", (1,), True)
    assert (on.name, on.ks, on.for_all) == ("koleo=on", (1, 4), False)
    assert data.ks == (1, 4)
    for values, mean, cell in zip(on.values, on.means, (ON1, ON4), strict=True):
        assert dict(values) == outcomes(staged, cell)
        assert mean == pytest.approx(np.mean(list(outcomes(staged, cell).values())))
    assert data.caption == "n = 7 seeds, 21 runs; digits; stage confirm"


def test_a_failed_run_counts_as_in_the_contrasts(staged: Any) -> None:
    lost = next(r for r in staged.tables.trial_rows if (r["stage"], r["cell_id"]) == ("confirm", ON4))
    lost |= {"test_auc": None, "end_reason": "diverged"}
    data = interaction_data(staged.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    assert 0.5 in [value for _, value in data.series[1].values[1]]
    assert data.caption.endswith("1 failed, counted as .5")


def test_dots_are_means_of_replicates_on_the_outcome_asked_for(make_factorial: Any) -> None:
    made = make_factorial(replicates=5, blocks=2)
    data = interaction_data(made.trials, outcome="test_recall_at_1", dataset="digits")
    assert data is not None
    off, _ = data.series
    expected = made.values("koleo=off,accum_steps=4", "test_recall_at_1").mean(axis=1)
    assert [value for _, value in off.values[1]] == pytest.approx(expected)
    assert data.caption == "n = 5 replicates, 40 runs; digits; stage confirm"
    assert "test recall at 1" in svg_of(draw_interaction([data]))


def test_an_arm_at_one_k_that_names_it_does_not_stand_for_all(staged: Any) -> None:
    data = interaction_data(staged.tables.trials, dataset="digits", without=(OFF, *CONTROLS[1:]))
    assert data is not None
    assert [(one.name, one.ks, one.for_all) for one in data.series] == [
        ("koleo=off", (4,), False),
        ("koleo=on", (1, 4), False),
    ]


def test_without_two_values_of_k_there_is_no_interaction_to_show(make_confirm: Any) -> None:
    assert interaction_data(make_confirm().trials, dataset="digits") is None


def test_interaction_is_drawn_with_its_arms_and_steps(staged: Any) -> None:
    data = interaction_data(staged.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    svg = svg_of(draw_interaction([data]))
    assert f"<title>seed 1: {outcomes(staged, ON4)[1]:.4f}</title>".replace(" 0.", " .") in svg
    for text in ("KoLeo off, every K", "accumulation steps K", "test AUC"):
        assert text in " ".join(texts(svg).split())
    assert "KoLeo" in texts(svg).splitlines()


def test_an_arm_that_has_one_outcome_alone_is_named(staged: Any) -> None:
    data = interaction_data(staged.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    one, other = replace(data, series=data.series[:1]), replace(data, series=data.series[1:])
    for panels in ([data, one], [other, data], [one, other]):
        named = texts(svg_of(draw_interaction(panels)))
        assert "KoLeo off, every K" in " ".join(named.split())
        assert "KoLeo" in named.splitlines()
