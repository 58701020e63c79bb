from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures import design
from sweeps.analysis.figures.style import svg_of
from sweeps.analysis.stats.effects import paired_effect

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
CONTROLS = ("koleo=off,accum_steps=4", "koleo=on,accum_steps=4,accum_mode=cached")


def outcomes(sweep: Any, cell: str) -> dict[int, float]:
    rows = [row for row in sweep.tables.trial_rows if (row["stage"], row["cell_id"]) == ("confirm", cell)]
    return {row["block"]: row["test_auc"] for row in rows}


def test_interaction_holds_every_run_and_the_cell_means(sweep: Any) -> None:
    data = design.interaction_data(sweep.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    off, on = data.series
    assert (off.name, off.ks, off.for_all) == ("koleo=off", (1,), True)
    assert (on.name, on.ks, on.for_all) == ("koleo=on", (1, 4), False)
    assert data.ks == (1, 4)
    for values, mean, cell in zip(on.values, on.means, (ON1, ON4), strict=True):
        assert dict(values) == outcomes(sweep, cell)
        assert mean == pytest.approx(np.mean(list(outcomes(sweep, cell).values())))
    assert data.caption == "n = 7 blocks, 21 runs; digits; stage confirm"


def test_a_failed_run_counts_as_in_the_contrasts(sweep: Any) -> None:
    lost = next(r for r in sweep.tables.trial_rows if (r["stage"], r["cell_id"]) == ("confirm", ON4))
    lost |= {"test_auc": None, "end_reason": "diverged"}
    data = design.interaction_data(sweep.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    assert 0.5 in [value for _, value in data.series[1].values[1]]
    assert data.caption.endswith("1 failed, counted as .5")


def test_an_arm_at_one_k_that_names_it_does_not_stand_for_all(sweep: Any) -> None:
    data = design.interaction_data(sweep.tables.trials, dataset="digits", without=(OFF, *CONTROLS[1:]))
    assert data is not None
    assert [(one.name, one.ks, one.for_all) for one in data.series] == [
        ("koleo=off", (4,), False),
        ("koleo=on", (1, 4), False),
    ]


def test_without_two_values_of_k_there_is_no_interaction_to_show(make_confirm: Any) -> None:
    assert design.interaction_data(make_confirm().trials, dataset="digits") is None


def test_forest_keeps_order_and_family_and_says_how_many_blocks() -> None:
    rng = np.random.default_rng(0)
    effects = [paired_effect(rng.normal(0.9, 0.01, n), rng.normal(0.9, 0.01, n)) for n in (7, 4)]
    items = [("KoLeo, a label that is too long for one line", effects[0], "primary"), ("A/A", effects[1], "control")]
    data = design.forest_data(items, dataset="digits")
    assert [(row.label, row.effect, row.family) for row in data.rows] == items
    assert data.caption == "n = 4 to 7 blocks; digits; stage confirm; 95 % intervals"
    svg = svg_of(design.draw_forest(data))
    for text in ("A/A", "too long for one line", "primary", "control", "±SESOI"):
        assert text in svg
    assert "exploratory" not in svg
    with pytest.raises(ValueError, match="at least one"):
        design.forest_data([], dataset="digits")


def test_interaction_is_drawn_with_its_arms_and_steps(sweep: Any) -> None:
    data = design.interaction_data(sweep.tables.trials, dataset="digits", without=CONTROLS)
    assert data is not None
    svg = svg_of(design.draw_interaction(data))
    for text in ("koleo=off, the same at every K", ">koleo=on<", "accumulation steps K", "test AUC"):
        assert text in svg
