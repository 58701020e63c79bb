from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.stopping import draw_stopping, stopping_data


def searched(staged: Any) -> list[dict[str, Any]]:
    return [row for row in staged.tables.trial_rows if row["stage"] == "search"]


def test_it_counts_who_reached_each_rung(staged: Any) -> None:
    data = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    assert data is not None
    assert data.marks == ("start", "3k", "9k", "end")
    for arm in ("koleo=off", "koleo=on"):
        own = [row for row in searched(staged) if row["cell_id"] == arm]
        epochs = [row["last_epoch"] for row in own]
        completed = sum(row["end_reason"] == "completed" for row in own)
        third = {r["trial_id"] for r in staged.rung_rows if r["rung"] == 9000}
        assert data.alive[arm] == (
            len(own),
            sum(e >= 1 for e in epochs),
            sum(r["trial_id"] in third for r in own),
            completed,
        )
    assert (data.stamp, data.caption) == ("descriptive: adaptive sample", "n = 59 trials; digits; stage search")


def test_rank_correlation_of_a_rung_with_the_end(staged: Any) -> None:
    completed = [row for row in searched(staged) if row["end_reason"] == "completed"][:5]
    rungs = [row for row in staged.rung_rows if row["trial_id"] in {r["trial_id"] for r in completed}]
    for value, final, row in zip((1, 2, 3, 4, 5), (2, 1, 3, 5, 4), completed, strict=True):
        row["final_val_auc"] = final / 10
        for rung in rungs:
            if rung["trial_id"] == row["trial_id"] and rung["rung"] == 3000:
                rung["value"] = value / 10
    staged.rung_rows[:] = [rung for rung in rungs if rung["rung"] == 3000]
    data = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    assert data is not None
    (rank,) = data.ranks
    assert (rank.n, rank.spearman) == (5, pytest.approx(1 - 6 * 4 / (5 * 24)))  # 1 - 6 sum d^2 / (n (n^2 - 1))


def test_too_few_or_tied_trials_have_no_rank_correlation(staged: Any) -> None:
    for row in staged.rung_rows:
        if row["rung"] == 9000:
            row["value"] = 0.9
    keep = {r["trial_id"] for r in searched(staged) if r["end_reason"] == "completed"}
    three = sorted(keep)[:3]
    staged.rung_rows[:] = [r for r in staged.rung_rows if r["rung"] == 9000 or r["trial_id"] in three]
    data = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    assert data is not None
    assert [rank.spearman for rank in data.ranks] == [None, None]
    assert data.ranks[0].n == 3


def test_an_exempt_trial_counts_as_stopped_where_it_would_have_been(staged: Any) -> None:
    before = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    row = next(r for r in searched(staged) if r["end_reason"] == "completed" and r["cell_id"] == "koleo=on")
    row |= {"stop_exempt": True, "exempt_prob": 0.2, "would_stop_rung": 3000}
    staged.rung_rows[:] = [r for r in staged.rung_rows if (r["trial_id"], r["rung"]) != (row["trial_id"], 9000)]
    after = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    assert before is not None
    assert after is not None
    assert np.subtract(before.alive["koleo=on"], after.alive["koleo=on"]).tolist() == [0, 0, 1, 1]
    assert after.caption.endswith("exempt trials count as stopped where ASHA would have stopped them (1)")


def test_no_rungs_no_figure(staged: Any) -> None:
    staged.rung_rows.clear()
    assert stopping_data(staged.tables.trials, staged.rungs, dataset="digits") is None


def test_the_drawing_is_stamped(staged: Any) -> None:
    data = stopping_data(staged.tables.trials, staged.rungs, dataset="digits")
    assert data is not None
    svg = svg_of(draw_stopping(data))
    assert "descriptive: adaptive sample" in svg
    assert ">KoLeo<" in svg
    assert "mathdefault" not in svg
