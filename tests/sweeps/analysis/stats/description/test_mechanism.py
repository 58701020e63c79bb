"""What the embeddings look like at the end: contrasts and means, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from sweeps.analysis.stats.description.mechanism import final_means, mechanism_effects
from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.analysis.stats.reading.contrasts import cell_runs

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
TRUTH = {OFF: 0.9, K1: 0.92, K4: 0.91}


def test_mechanism_is_the_contrast_at_the_last_epoch_and_names_what_is_missing(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=7, blocks=2)
    tables, rng = made.tables, np.random.default_rng(0)
    for row in tables.curve_rows:
        row["val_effective_rank"] = float(rng.normal(20, 1)) if row["epoch"] == 5 else 0.0
    confirm = made.trials.filter(pc.equal(made.trials["stage"], "confirm"))
    runs = cell_runs(confirm, made.stored.contrasts[0])
    own = [row for row in tables.curve_rows if row["stage"] == "confirm" and row["epoch"] == 5]
    last = {row["trial_id"]: row["val_effective_rank"] for row in own}
    off, one, four = (
        np.array([np.mean([last[made.row(cell, r, b)["trial_id"]] for b in (1, 2)]) for r in range(1, 8)])
        for cell in TRUTH
    )
    found = {effect.metric: effect for effect in mechanism_effects(tables.curves, runs)}
    rank = found["val_effective_rank"].effect
    assert rank is not None
    expected = t_interval((one + four) / 2 - off)
    assert (rank.estimate, rank.ci_low, rank.n) == pytest.approx((expected.estimate, expected.ci_low, 7))
    assert found["koleo_nn_same_class_frac"].reason == f"not measured in {OFF}"
    assert found["nn_agreement"].reason == f"not measured in {OFF}, {K1}"
    lost = made.row(K4, 3)["trial_id"]
    for row in tables.curve_rows:
        if (row["stage"], row["trial_id"]) == ("confirm", lost):
            row["val_effective_rank"] = None
    fewer = mechanism_effects(tables.curves, runs)[0].effect
    assert fewer is not None
    assert fewer.n == 6


def test_means_take_the_last_epoch_and_leave_koleo_out_where_it_is_off(make_confirm: Make) -> None:
    tables = make_confirm()
    for row in tables.curve_rows:
        if row["epoch"] < 5:
            row["val_effective_rank"] = -1.0
    off, on = final_means(tables.trials, tables.curves, stage="confirm")
    assert (off["n"], off["val_effective_rank"], off["koleo_nn_same_class_frac"]) == (7, 20.0, None)
    assert (on["val_effective_rank"], on["koleo_nn_same_class_frac"]) == (28.0, pytest.approx(0.71))
