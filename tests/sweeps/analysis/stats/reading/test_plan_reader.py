"""Plans are read in both forms, and refused where they say something impossible or were changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps.analysis.report.extensions import extensions
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan, Tuned
from sweeps.results.frozen import sha256_of

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
TWIN = "koleo=off,accum_steps=4"

OLD: dict[str, Any] = {
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


def test_a_plan_of_weighted_contrasts_without_replicates_has_one(make_confirm: Make, tmp_path: Path) -> None:
    plan = plan_of(make_confirm, tmp_path, OLD)
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
    assert plan.nuisance == ({OFF: {"lr": 0.001}},)
    # The outermost of few points says nothing of the range.
    assert plan.tuned == ({OFF: Tuned(trial_id="t00005", value=0.7, edges=None)},)
    assert (plan.replicates, plan.outcome, plan.beside, plan.grown) == (1, None, (), False)
    assert (first.replicates, first.nuisances) == (None, ("lr",))
    assert (plan.sha256, first.plans) == (None, ())


def test_an_old_plan_is_a_pair(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    (contrast,) = plan_of(make_confirm, tmp_path, plan).contrasts
    assert contrast == Contrast.pair("koleo=off", "koleo=on", label="KoLeo (weight .1)")


def test_a_frozen_plan_gives_its_hash_and_a_changed_one_is_refused(make_confirm: Make, tmp_path: Path) -> None:
    frozen = OLD | {"sha256": sha256_of(OLD)}
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
        plan_of(make_confirm, tmp_path, OLD | {"contrasts": contrasts})
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
        plan_of(make_confirm, tmp_path, OLD | {"cells": [{"cell_id": OFF}]})


def test_a_plan_with_replicates(make_factorial: Make, make_confirm: Make, tmp_path: Path) -> None:
    made = make_factorial(replicates=3, blocks=2, points=4)
    plan = plan_of(make_confirm, tmp_path, made.plan)
    assert (plan.replicates, plan.points, plan.blocks, plan.tuner, plan.confirm) == (3, 4, 2, "sobol", "best of tune")
    assert plan.outcome is not None
    assert (plan.outcome.column, plan.outcome.validation, plan.outcome.sesoi) == ("test_auc", "val_auc", 0.003)
    assert [one.column for one in plan.beside] == ["test_recall_at_1"]
    assert len(plan.nuisance) == len(plan.tuned) == 3
    cell, given = next(iter(made.plan["tuned"][2].items()))
    assert plan.tuned[2][cell] == Tuned(trial_id=given["trial_id"], value=given["value"], edges=given["edges"])
    assert {one.replicates for one in plan.contrasts} == {(1, 2, 3)}
    assert {one.nuisances for one in plan.contrasts} == {("koleo_weight", "lr", "margin")}
    assert {one.blocks for one in plan.contrasts} == {(1, 2)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"replicates": 0}, "`replicates` must be a whole number of at least 1, but got 0"),
        ({"blocks": "two"}, "`blocks` must be a whole number of at least 0, but got 'two'"),
        ({"tuned": [3]}, "`tuned` must give each cell its settings"),
        ({"outcome": {"name": "auc"}}, "An outcome of the plan needs `column`, `label`, `sesoi`, `validation`"),
        ({"beside": [{"name": "auc"}]}, "An outcome of the plan needs `column`"),
    ],
)
def test_what_a_plan_cannot_say_is_told(
    make_factorial: Make, make_confirm: Make, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(Faults, match=said):
        plan_of(make_confirm, tmp_path, make_factorial(replicates=1, blocks=1, points=0).plan | change)


def test_an_extended_plan_names_the_plans_before_it(make_confirm: Make, tmp_path: Path) -> None:
    before = {"sha256": "b" * 64, "samples": 8, "blocks": 7}
    longer = OLD | {"samples": 12, "blocks": 9, "extended": [before]}
    longer |= {"sha256": sha256_of(longer)}
    plan = plan_of(make_confirm, tmp_path, longer)
    assert plan.contrasts[0].plans == ("b" * 64, longer["sha256"])
    assert plan.extended == (before,)
    blocks, trials = extensions(plan, 9)
    assert blocks.startswith("Blocks 8 to 9 were added after the first 7 could be looked at. Intervals are those of")
    assert trials.startswith("4 search trials were added after the confirmation had begun;")
    assert extensions(plan_of(make_confirm, tmp_path, OLD), 7) == []


def test_replicates_that_were_added_after_a_look_make_a_plan_grown(make_factorial: Make, tmp_path: Path) -> None:
    plan = make_factorial(replicates=8, blocks=2, points=0).plan
    before = {"plan_sha256": "b" * 64, "samples": 0, "blocks": 2, "replicates": 6}
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"extended": [before]}))
    trials = make_factorial(replicates=1, blocks=1, points=0).trials
    grown = read_plan(tmp_path, trials)
    assert grown.grown
    (line,) = extensions(grown, 8)
    assert line.startswith("Replicates 7 to 8 were added after the first 6 could be looked at.")
    assert "anytime-valid" in line
    one_more = replace(grown, replicates=5, extended=(before | {"replicates": 4},))
    assert extensions(one_more, 5) == ["Replicate 5 was added after the first 4 could be looked at."]
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"looked": True}))
    looked = read_plan(tmp_path, trials)
    assert looked.grown
    assert extensions(looked, 8)[0].startswith("Sweeps were joined whose reports could be read before.")
    same = before | {"replicates": 8}
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"extended": [same]}))
    assert not read_plan(tmp_path, trials).grown


def test_only_an_effect_on_an_effect_is_named_with_what_it_changes() -> None:
    pair = Contrast.pair(OFF, K1, label="ArcFace,", outcome_label="recall at 1 on unseen classes")
    assert pair.name == "ArcFace"
    crossed = Contrast.pair(OFF, K1, label="accumulation (K=4 against 1)", outcome_label="KoLeo's effect on AUC")
    assert crossed.name == "accumulation (K=4 against 1), on KoLeo's effect"
