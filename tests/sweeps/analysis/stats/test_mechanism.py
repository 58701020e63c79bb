"""What the embeddings look like at the end: contrasts and means, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.stats.contrasts import cell_blocks
from sweeps.analysis.stats.effects import t_interval
from sweeps.analysis.stats.mechanism import final_means, mechanism_effects
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
E1 = Contrast(code="E1", estimand="koleo", label="KoLeo", weights={OFF: -1.0, K1: 0.5, K4: 0.5})


def test_mechanism_is_the_contrast_at_the_last_epoch_and_names_what_is_missing(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.92, K4: 0.91})
    rng = np.random.default_rng(0)
    for row in tables.curve_rows:
        row["val_effective_rank"] = float(rng.normal(20, 1)) if row["epoch"] == 5 else 0.0
    blocks = cell_blocks(tables.trials, E1)
    last = {r["trial_id"]: r["val_effective_rank"] for r in tables.curve_rows if r["epoch"] == 5}
    off, one, four = (np.array([last[tables.row(c, b)["trial_id"]] for b in range(1, 8)]) for c in (OFF, K1, K4))
    found = {effect.metric: effect for effect in mechanism_effects(tables.curves, blocks)}
    rank = found["val_effective_rank"].effect
    assert rank is not None
    expected = t_interval((one + four) / 2 - off)
    assert (rank.estimate, rank.ci_low, rank.n) == pytest.approx((expected.estimate, expected.ci_low, 7))
    assert found["koleo_nn_same_class_frac"].reason == f"not measured in {OFF}"
    assert found["nn_agreement"].reason == "not measured"
    lost = tables.row(K4, 3)["trial_id"]
    for row in tables.curve_rows:
        if row["trial_id"] == lost:
            row["val_effective_rank"] = None
    fewer = mechanism_effects(tables.curves, blocks)[0].effect
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
