from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures import search
from sweeps.analysis.figures.style import svg_of


def searched(sweep: Any) -> list[dict[str, Any]]:
    return [row for row in sweep.tables.trial_rows if row["stage"] == "search"]


def test_audit_counts_who_reached_each_rung(sweep: Any) -> None:
    data = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    assert data is not None
    assert data.marks == ("start", "3k", "9k", "end")
    for arm in ("koleo=off", "koleo=on"):
        own = [row for row in searched(sweep) if row["cell_id"] == arm]
        epochs = [row["last_epoch"] for row in own]
        completed = sum(row["end_reason"] == "completed" for row in own)
        third = {r["trial_id"] for r in sweep.rung_rows if r["rung"] == 9000}
        assert data.alive[arm] == (
            len(own),
            sum(e >= 1 for e in epochs),
            sum(r["trial_id"] in third for r in own),
            completed,
        )
    assert (data.stamp, data.caption) == ("descriptive: adaptive sample", "n = 59 trials; digits; stage search")


def test_rank_correlation_of_a_rung_with_the_end(sweep: Any) -> None:
    completed = [row for row in searched(sweep) if row["end_reason"] == "completed"][:5]
    rungs = [row for row in sweep.rung_rows if row["trial_id"] in {r["trial_id"] for r in completed}]
    for value, final, row in zip((1, 2, 3, 4, 5), (2, 1, 3, 5, 4), completed, strict=True):
        row["final_val_auc"] = final / 10
        for rung in rungs:
            if rung["trial_id"] == row["trial_id"] and rung["rung"] == 3000:
                rung["value"] = value / 10
    sweep.rung_rows[:] = [rung for rung in rungs if rung["rung"] == 3000]
    data = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    assert data is not None
    (rank,) = data.ranks
    assert (rank.n, rank.spearman) == (5, pytest.approx(1 - 6 * 4 / (5 * 24)))  # 1 - 6 sum d^2 / (n (n^2 - 1))


def test_too_few_or_tied_trials_have_no_rank_correlation(sweep: Any) -> None:
    for row in sweep.rung_rows:
        if row["rung"] == 9000:
            row["value"] = 0.9
    keep = {r["trial_id"] for r in searched(sweep) if r["end_reason"] == "completed"}
    three = sorted(keep)[:3]
    sweep.rung_rows[:] = [r for r in sweep.rung_rows if r["rung"] == 9000 or r["trial_id"] in three]
    data = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    assert data is not None
    assert [rank.spearman for rank in data.ranks] == [None, None]
    assert data.ranks[0].n == 3


def test_an_exempt_trial_counts_as_stopped_where_it_would_have_been(sweep: Any) -> None:
    before = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    row = next(r for r in searched(sweep) if r["end_reason"] == "completed" and r["cell_id"] == "koleo=on")
    row |= {"stop_exempt": True, "exempt_prob": 0.2, "would_stop_rung": 3000}
    sweep.rung_rows[:] = [r for r in sweep.rung_rows if (r["trial_id"], r["rung"]) != (row["trial_id"], 9000)]
    after = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    assert before is not None
    assert after is not None
    assert np.subtract(before.alive["koleo=on"], after.alive["koleo=on"]).tolist() == [0, 0, 1, 1]
    assert after.caption.endswith("exempt trials count as stopped where ASHA would have stopped them (1)")


def test_no_rungs_no_audit(sweep: Any) -> None:
    sweep.rung_rows.clear()
    assert search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits") is None


def test_drift_follows_the_sampler(sweep: Any, make_confirm: Any) -> None:
    data = search.drift_data(sweep.tables.trials, dataset="digits")
    assert data is not None
    rows = searched(sweep)
    assert data.lrs == tuple(enumerate(row["lr"] for row in rows))
    assert np.sum(list(data.shares.values()), axis=0) == pytest.approx(np.ones(59))
    last = rows[-data.window :]
    assert data.medians[-1] == np.median([row["lr"] for row in last])
    assert data.shares["koleo=on"][-1] == np.mean([row["cell_id"] == "koleo=on" for row in last])
    assert search.drift_data(make_confirm().trials, dataset="digits") is None


def test_drawings_are_stamped(sweep: Any) -> None:
    audit = search.audit_data(sweep.tables.trials, sweep.rungs, dataset="digits")
    drift = search.drift_data(sweep.tables.trials, dataset="digits")
    assert audit is not None
    assert drift is not None
    for svg in (svg_of(search.draw_audit(audit)), svg_of(search.draw_drift(drift))):
        assert "descriptive: adaptive sample" in svg
        assert "koleo=on" in svg
        assert "mathdefault" not in svg
