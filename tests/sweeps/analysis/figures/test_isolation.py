from typing import Any

from sweeps.analysis.figures.isolation import draw_isolation, isolation_data
from sweeps.analysis.figures.style import svg_of

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
    assert lr.chosen[ON1] == (best["lr"], best["final_val_auc"])
    (lost,) = (row for row in staged.rows("tune", ON4) if row["final_val_auc"] is None)
    assert (lr.lost, len(lr.points[ON4])) == ((lost["lr"],), 7)
    assert data.caption == "n = 8 trials per cell; digits; stage tune; 1 without an outcome"


def test_no_tune_stage_no_figure(make_confirm: Any) -> None:
    assert isolation_data(make_confirm().trials, dataset="digits") is None


def test_the_drawing_names_cells_and_settings(staged: Any) -> None:
    data = isolation_data(staged.tables.trials, dataset="digits")
    assert data is not None
    svg = svg_of(draw_isolation(data))
    for text in ("koleo weight", "margin", "best of its cell", "no outcome", ON4):
        assert text in svg
