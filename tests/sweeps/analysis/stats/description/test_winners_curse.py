"""What was chosen against what fresh seeds gave, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.stats.description.winners_curse import winners_curse
from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.analysis.stats.reading.stored_plan import StoredPlan

Make = Callable[..., Any]
ON4 = "koleo=on,accum_steps=4"


def test_the_gap_is_chosen_less_fresh_over_replicates(make_factorial: Make) -> None:
    made = make_factorial(replicates=5, blocks=2, outcome="recall_at_1")
    found = {one.cell_id: one for one in winners_curse(made.trials, made.stored)}
    chosen = np.array([own[ON4]["value"] for own in made.plan["tuned"]])
    gaps = chosen - made.values(ON4, "final_val_recall_at_1").mean(axis=1)
    one = found[ON4]
    assert (one.n, one.gap, one.at_tuning) == pytest.approx((5, gaps.mean(), chosen.mean()))
    assert one.interval == t_interval(gaps)
    assert one.fresh == pytest.approx(one.at_tuning - one.gap)


def test_a_failed_seed_counts_with_the_worst_there_is(make_factorial: Make) -> None:
    made = make_factorial(replicates=3, blocks=2)
    made.lose(ON4, 2, 1)
    found = next(one for one in winners_curse(made.trials, made.stored) if one.cell_id == ON4)
    fresh = made.values(ON4, "final_val_auc")
    fresh[1, 0] = 0.5
    assert found.fresh == pytest.approx(fresh.mean())


def test_one_tuning_has_a_gap_without_an_interval_and_nothing_tuned_has_none(make_factorial: Make) -> None:
    made = make_factorial(replicates=1, blocks=4)
    found = winners_curse(made.trials, made.stored)
    assert [(one.n, one.interval) for one in found] == [(1, None)] * 4
    assert winners_curse(made.trials, StoredPlan()) == []
