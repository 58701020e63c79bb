"""The one count of planned trials, against the runs that a plan comes to, and of a file as it was first written."""

import json

import pytest

from sweeps import image_leak, koleo_accum, koleo_dose, mining_curriculum, semi_hard_phases, simclr
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.design.plan_file import content_of
from sweeps.design.planned_counts import planned_trials
from sweeps.design.runs import confirm_runs, tune_runs

DESIGNS = [
    module.DESIGN for module in (koleo_accum, koleo_dose, image_leak, mining_curriculum, semi_hard_phases, simclr)
]
PRESETS = [(design, preset) for design in DESIGNS for preset in design.presets]


@pytest.mark.parametrize(("design", "preset"), PRESETS, ids=lambda value: getattr(value, "name", value))
def test_as_many_trials_are_planned_as_there_are_runs(design: Design, preset: str) -> None:
    plan = Plan.of(design, {"preset": preset})
    planned = planned_trials(json.loads(json.dumps(content_of(plan, "s"))))
    assert tuple(planned) == plan.stages
    assert planned.get("search", 0) == (plan.samples if "search" in plan.stages else 0)
    assert planned.get("tune", 0) == (len(tune_runs(plan)) if "tune" in plan.stages else 0)
    assert planned["confirm"] == len(
        confirm_runs(plan, [{cell.cell_id: cell.drop_in for cell in plan.cells}] * plan.replicates)
    )


def test_a_stage_that_is_not_run_is_not_counted() -> None:
    plan = Plan.of(koleo_accum.DESIGN, {"stages": "search", "samples": 5})
    assert planned_trials(content_of(plan, "s")) == {"search": 5}


def test_a_plan_that_was_written_before_reports_had_published_figures_is_counted() -> None:
    """What `plan.json` has held since there is a stage tune."""
    cells = [
        {"cell_id": "koleo=off", "role": "factorial", "blocks": 8},
        {"cell_id": "koleo=on", "role": "factorial", "blocks": 8},
        {"cell_id": "koleo=on,origin=drop-in", "role": "drop-in", "blocks": 8},
        {"cell_id": "koleo=off,accum_steps=4", "role": "control", "blocks": 4},
    ]
    old = {"stages": ["search", "tune", "confirm"], "samples": 16, "points": 8, "blocks": 8, "cells": cells}
    assert planned_trials(old) == {"search": 16, "tune": 16, "confirm": 28}
