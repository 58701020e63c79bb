"""Plans are read in both forms, and refused where they say something impossible or were changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps.analysis.report.scope import extensions
from sweeps.analysis.stats.stored_plan import Contrast, StoredPlan, read_plan
from sweeps.results.frozen import sha256_of

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
TWIN = "koleo=off,accum_steps=4"

NEW: dict[str, Any] = {
    "study_id": "koleo_accum",
    "question": "Does KoLeo help?",
    "cells": [
        {"cell_id": OFF, "levels": {"koleo": False}, "origin": "best of tune", "role": "factorial", "blocks": 12},
        {"cell_id": K1, "blocks": 12},
        {"cell_id": K4, "blocks": 12},
        {"cell_id": TWIN, "role": "control", "blocks": 4, "settings_of": OFF},
    ],
    "nuisance": {OFF: {"lr": 0.001}},
    "tuned": {OFF: {"trial_id": "t00005", "final_val_auc": 0.7, "edges": {"lr": "low"}}},
    "contrasts": [
        {
            "code": "E1",
            "estimand": "koleo",
            "label": "KoLeo",
            "weights": {OFF: -1.0, K1: 0.5, K4: 0.5},
            "outcome": "test_auc",
            "outcome_label": "AUC",
            "sesoi": 0.002,
            "family": "primary",
            "note": "",
        },
        {"code": "A/A", "label": "off at K=4", "weights": {OFF: -1, TWIN: 1}, "family": "control"},
    ],
}


def plan_of(make_confirm: Make, folder: Path, plan: dict[str, Any]) -> StoredPlan:
    tables = make_confirm(blocks=2)
    (folder / "plan.json").write_text(json.dumps(plan))
    return read_plan(folder, tables.trials)


def test_a_plan_of_weighted_contrasts(make_confirm: Make, tmp_path: Path) -> None:
    plan = plan_of(make_confirm, tmp_path, NEW)
    first, control = plan.contrasts
    assert (first.code, first.weights, first.sesoi, first.family) == (
        "E1",
        {OFF: -1, K1: 0.5, K4: 0.5},
        0.002,
        "primary",
    )
    assert (first.control, first.treatment) == (OFF, f"{K1} + {K4}")
    assert first.blocks == tuple(range(1, 13))
    assert control.blocks == (1, 2, 3, 4)
    assert [(cell.cell_id, cell.role) for cell in plan.cells][::3] == [(OFF, "factorial"), (TWIN, "control")]
    assert plan.nuisance == {OFF: {"lr": 0.001}}
    assert plan.tuned is not None
    assert plan.tuned[OFF]["edges"] == {"lr": "low"}
    assert (plan.sha256, first.plans) == (None, ())


def test_an_old_plan_is_a_pair(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    (contrast,) = plan_of(make_confirm, tmp_path, plan).contrasts
    assert contrast == Contrast.pair("koleo=off", "koleo=on", label="KoLeo (weight .1)")


def test_a_frozen_plan_gives_its_hash_and_a_changed_one_is_refused(make_confirm: Make, tmp_path: Path) -> None:
    frozen = NEW | {"sha256": sha256_of(NEW)}
    assert plan_of(make_confirm, tmp_path, frozen).contrasts[0].plans == (frozen["sha256"],)
    with pytest.raises(Faults, match="changed after it was frozen"):
        plan_of(make_confirm, tmp_path, frozen | {"question": "Does something else help?"})


def test_without_a_plan_off_and_on_are_compared_if_both_were_confirmed(make_confirm: Make, tmp_path: Path) -> None:
    tables = make_confirm(blocks=2)
    assert read_plan(tmp_path, tables.trials).contrasts == (Contrast.pair("koleo=off", "koleo=on", label="KoLeo"),)
    assert read_plan(tmp_path, tables.trials.slice(0, 1)).contrasts == ()


def test_every_fault_of_every_contrast_is_told_at_once(make_confirm: Make, tmp_path: Path) -> None:
    contrasts = [
        {"label": "uneven", "weights": {OFF: -1.0, K1: 0.5}},
        {"label": "misspelt", "weights": {OFF: -1.0, "koleo=on,accum_steps=3": 1.0}, "sesoi": 0},
        {"label": "zero", "weights": {OFF: 0.0, K1: 1.0}},
        {"label": "odd", "weights": {OFF: -1.0, K1: 1.0}, "family": "primry"},
        {"control": OFF, "treatment": OFF},
    ]
    with pytest.raises(Faults) as error:
        plan_of(make_confirm, tmp_path, NEW | {"contrasts": contrasts})
    for said in (
        "must add up to 0",
        "Unknown cell in `weights` `koleo=on,accum_steps=3`. Did you mean `koleo=on,accum_steps=",
        "must be positive and finite; got 0",
        "a finite number other than 0",
        "Did you mean `primary`?",
        "both are `koleo=off`",
    ):
        assert said in str(error.value)
    assert len(error.value.faults) == 6
    with pytest.raises(Faults, match="needs `cell_id`, a text, and `blocks`"):
        plan_of(make_confirm, tmp_path, NEW | {"cells": [{"cell_id": OFF}]})


def test_an_extended_plan_names_the_plans_before_it(make_confirm: Make, tmp_path: Path) -> None:
    before = {"sha256": "b" * 64, "samples": 8, "blocks": 7}
    longer = NEW | {"samples": 12, "blocks": 9, "extended": [before]}
    longer |= {"sha256": sha256_of(longer)}
    plan = plan_of(make_confirm, tmp_path, longer)
    assert plan.contrasts[0].plans == ("b" * 64, longer["sha256"])
    assert plan.extended == (before,)
    blocks, trials = extensions(plan)
    assert blocks.startswith("Blocks 8 to 9 were added after the first 7 could be looked at.")
    assert trials.startswith("4 search trials were added after the confirmation had begun;")
    assert extensions(plan_of(make_confirm, tmp_path, NEW)) == []
