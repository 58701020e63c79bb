"""Losses by cell."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures import losses
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.figures.losses import LossPanel, Phase
from sweeps.analysis.stats.description.curves import cells_of
from sweeps.analysis.stats.reading.stored_plan import StoredPlan

Make = Callable[..., Any]
CURRICULUM, ALL = "loss=mined,mining=curriculum,margin=.5", "loss=mined,mining=all/all,margin=.5"


def panels(sweep: Any) -> dict[str, LossPanel]:
    cells = cells_of(sweep.trials, StoredPlan())
    data = losses.loss_data(sweep.trials, sweep.curves, cells, dataset="digits")
    assert data is not None
    return {panel.cell: panel for panel in data.panels}


def test_losses_are_those_of_the_runs_and_their_mean(make_arms: Make) -> None:
    sweep = make_arms()
    panel = panels(sweep)["loss=arcface"]
    trials = [row["trial_id"] for row in sweep.tables.trial_rows if row["cell_id"] == "loss=arcface"]
    runs = [[row for row in sweep.tables.curve_rows if row["trial_id"] == trial] for trial in trials]
    assert panel.training == tuple(tuple((row["epoch"], row["loss_base"]) for row in run) for run in runs)
    assert panel.validation == tuple(tuple((row["epoch"], row["val_loss"]) for row in run) for run in runs)
    assert panel.validation_mean[4] == (5, pytest.approx(np.mean([run[4]["val_loss"] for run in runs])))
    assert (panel.levels, panel.phases, panel.runs, panel.collapsed) == ({}, (), 3, 0)


def test_a_run_that_diverged_is_drawn_and_not_averaged(make_arms: Make) -> None:
    sweep = make_arms()
    lost = sweep.tables.row(CURRICULUM, 2)
    lost["end_reason"] = "diverged"
    sweep.tables.curve_rows = [
        r for r in sweep.tables.curve_rows if r["trial_id"] != lost["trial_id"] or r["epoch"] < 4
    ]
    next(r for r in sweep.tables.curve_rows if (r["trial_id"], r["epoch"]) == (lost["trial_id"], 3))["loss_base"] = (
        math.nan
    )
    panel = panels(sweep)[CURRICULUM]
    assert sorted(len(line) for line in panel.training) == [2, 12, 12]
    assert len(panel.training_mean) == 12


def test_phases_are_those_of_the_miner_and_of_the_backbone(make_arms: Make) -> None:
    found = panels(make_arms())
    assert found[CURRICULUM].phases == (
        Phase(1, 4, "easy/semihard"),
        Phase(5, 8, "easy/hard"),
        Phase(9, 12, "hard/hard"),
    )
    assert found[ALL].phases == ()
    frozen = panels(make_arms({"loss=semihard": {"loss": "semihard", "freeze_epochs": 3}}))
    assert frozen["loss=semihard"].phases == (Phase(1, 3, "frozen"), Phase(4, 12, "unfrozen"))
    whole = panels(make_arms({"loss=semihard": {"loss": "semihard", "freeze_epochs": 12}}))
    assert whole["loss=semihard"].phases == ()


def test_levels_are_those_that_the_loss_has(make_arms: Make) -> None:
    sweep = make_arms({CURRICULUM: {"loss": "mined", "margin": 0.5}, "loss=nt_xent": {"loss": "nt_xent"}})
    found = panels(sweep)
    assert found[CURRICULUM].levels == {"margin": 0.5}
    low, high = math.log(1 + 126 * math.exp(-2)), math.log(127)
    assert found["loss=nt_xent"].levels == {"floor": pytest.approx(low), "chance": pytest.approx(high)}


def test_a_validation_loss_of_larger_neighbourhoods_has_levels_of_its_own(make_arms: Make) -> None:
    sweep = make_arms({"loss=nt_xent": {"loss": "nt_xent"}})
    alike = losses.loss_data(sweep.trials, sweep.curves, ["loss=nt_xent"], dataset="digits")
    for row in sweep.tables.curve_rows:
        row.update(loss_floor=row["loss_floor"] - 1, loss_chance=row["loss_chance"] - 1)
    naive = losses.loss_data(sweep.trials, sweep.curves, ["loss=nt_xent"], dataset="digits")
    assert alike is not None
    assert naive is not None
    assert alike.panels[0].validation_levels == {}
    assert naive.panels[0].validation_levels == alike.panels[0].levels
    assert naive.panels[0].levels["chance"] == pytest.approx(math.log(127) - 1)
    assert losses.OTHER_SIZE_READING in losses.reading(naive)
    assert losses.OTHER_SIZE_READING not in losses.reading(alike)


def test_collapsed_runs_are_counted_marked_and_explained(make_arms: Make) -> None:
    sweep = make_arms(collapsed=[ALL])
    sweep.tables.row(ALL, 1).update(collapsed=None, end_reason="collapsed")
    sweep.tables.row(ALL, 2)["collapsed"] = False
    data = losses.loss_data(sweep.trials, sweep.curves, [ALL, CURRICULUM], dataset="digits")
    assert data is not None
    assert [(panel.runs, panel.collapsed) for panel in data.panels] == [(3, 2), (3, 0)]
    assert {value for _, value in data.panels[0].training_mean} == {0.5}
    assert "stays at its margin" in losses.reading(data)
    assert "Upright lines" in losses.reading(data)
    assert svg_of(losses.draw_losses(data)).count("collapsed: 2 of 3 runs") == 1


def test_at_most_twelve_cells_and_the_caption_says_so(make_arms: Make) -> None:
    sweep = make_arms({f"margin={m / 10}": {"margin": m / 10} for m in range(1, 15)}, blocks=1)
    data = losses.loss_data(sweep.trials, sweep.curves, cells_of(sweep.trials, StoredPlan()), dataset="digits")
    assert data is not None
    assert len(data.panels) == 12
    assert data.caption.startswith("n = 12 runs, 12 of 14 cells; digits")


def test_without_their_columns_there_is_no_figure(make_confirm: Make) -> None:
    tables = make_confirm()
    assert losses.loss_data(tables.trials, tables.curves, ["koleo=off", "koleo=on"], dataset="digits") is None
