from typing import Any

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.isolation import draw_isolation, isolation_data, reading
from tests.sweeps.analysis.svg_texts import texts

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_isolation_has_a_panel_for_each_setting_that_was_tuned(staged: Any) -> None:
    data = isolation_data(staged.tables.trials, dataset="digits")
    assert data is not None
    assert [(panel.setting, panel.log) for panel in data.panels] == [
        ("lr", True),
        ("koleo_weight", True),
        ("margin", False),
    ]
    lr, weight, _ = data.panels
    assert set(lr.points[OFF]) == {(row["lr"], row["final_val_auc"]) for row in staged.rows("tune", OFF)}
    assert OFF not in weight.points
    best = max(staged.rows("tune", ON1), key=lambda row: row["final_val_auc"])
    assert lr.chosen[ON1] == ((best["lr"], best["final_val_auc"]),)
    (lost,) = (row for row in staged.rows("tune", ON4) if row["final_val_auc"] is None)
    assert (lr.lost, len(lr.points[ON4])) == ((lost["lr"],), 7)
    assert data.caption == "n = 8 trials per cell; digits; stage tune; 1 without an outcome"


def test_every_replicate_has_its_best_and_stopped_trials_are_none(make_factorial: Any) -> None:
    made = make_factorial(replicates=3, points=6, tuner="optuna", outcome="recall_at_1")
    data = isolation_data(made.trials, dataset="digits")
    assert data is not None
    assert {panel.setting for panel in data.panels} == {"lr", "margin", "koleo_weight"}
    cell = "koleo=on,accum_steps=4"
    chosen = {value for _, value in data.panels[0].chosen[cell]}
    assert chosen == {own[cell]["value"] for own in made.plan["tuned"]}
    assert (
        data.caption
        == "n = 6 trials per cell in each of 3 replicates; digits; stage tune; 24 stopped early, at their last value"
    )
    assert "proposed where it had done well" in reading(data)
    assert "Validation recall at 1 against each" in texts(svg_of(draw_isolation(data)))


def test_no_tune_stage_no_figure(make_confirm: Any) -> None:
    assert isolation_data(make_confirm().trials, dataset="digits") is None


def test_the_drawing_names_cells_and_settings(staged: Any) -> None:
    data = isolation_data(staged.tables.trials, dataset="digits")
    assert data is not None
    svg = svg_of(draw_isolation(data))
    for text in ("koleo weight", "margin", "best of its cell", "no outcome", "KoLeo, K=4"):
        assert text in svg
