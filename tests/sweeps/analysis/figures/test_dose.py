import re
from typing import Any

import pytest

from sweeps.analysis.figures.dose import dose_data, draw_dose
from sweeps.analysis.figures.drawing.style import svg_of
from tests.sweeps.analysis.svg_texts import texts

OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def test_dose_is_the_change_at_the_same_point(staged: Any) -> None:
    data = dose_data(staged.tables.trials, dataset="digits")
    assert data is not None
    off = {row["point"]: row["final_val_auc"] for row in staged.rows("tune", OFF)}
    for cell in (ON1, ON4):
        expected = [
            (row["koleo_weight"], row["final_val_auc"] - off[row["point"]])
            for row in staged.rows("tune", cell)
            if row["final_val_auc"] is not None
        ]
        assert data.points[cell] == tuple(sorted(expected))
    assert data.caption == "n = 7 to 8 pairs per cell; digits; stage tune; exploratory"
    told = re.findall(r"<title>(t\d{5}): weight \S+, (\S+)</title>", svg_of(draw_dose(data)))
    changes = {row["trial_id"]: row["final_val_auc"] - off[row["point"]] for row in staged.rows("tune", ON1)
               if row["final_val_auc"] is not None}  # fmt: skip
    assert changes.items() <= {trial: pytest.approx(float(change), abs=1e-4) for trial, change in told}.items()


def test_dose_pairs_cells_at_the_same_k_where_both_arms_have_it(staged: Any) -> None:
    for row in [dict(row) for row in staged.rows("tune", OFF)]:
        extra = {"cell_id": "koleo=off,accum_steps=4", "final_val_auc": 0.5, "trial_id": f"x{row['point']}"}
        staged.tables.trial_rows.append(row | extra)
    data = dose_data(staged.tables.trials, dataset="digits")
    assert data is not None
    expected = {row["final_val_auc"] - 0.5 for row in staged.rows("tune", ON4) if row["final_val_auc"] is not None}
    assert {change for _, change in data.points[ON4]} == expected
    assert max(abs(change) for _, change in data.points[ON1]) < 0.1


def test_only_common_points_that_ran_to_their_end_are_paired_within_a_replicate(make_factorial: Any) -> None:
    made = make_factorial(replicates=3, points=6, tuner="optuna")
    data = dose_data(made.trials, dataset="digits")
    assert data is not None
    tune = [row for row in made.tables.trial_rows if row["stage"] == "tune" and row["origin"] == "designed"]
    value = {(row["cell_id"], row["replicate"], row["point"]): row["final_val_auc"] for row in tune}
    for k in (1, 4):
        cell = f"koleo=on,accum_steps={k}"
        changes = [value[key] - value["koleo=off" + cell[8:], *key[1:]] for key in value if key[0] == cell]
        assert sorted(change for _, change in data.points[cell]) == pytest.approx(sorted(changes))
    assert data.caption == "n = 9 pairs per cell; digits; stage tune; exploratory"


def test_no_tune_stage_no_figure(make_confirm: Any) -> None:
    assert dose_data(make_confirm().trials, dataset="digits") is None


def test_the_drawing_names_the_cells_with_koleo(staged: Any) -> None:
    data = dose_data(staged.tables.trials, dataset="digits")
    assert data is not None
    svg = svg_of(draw_dose(data))
    assert "change in validation AUC" in " ".join(texts(svg).split())
    assert ">KoLeo off<" not in svg
