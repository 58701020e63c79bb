"""Designs whose cells are listed: what is compared, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from sweeps.cli.plan_checks import config_faults
from sweeps.design import Cell, Design, Estimand, Factor, Preset, Range, plan_file
from sweeps.design.design import AUC, RECALL_AT_1
from sweeps.design.plan import Plan
from sweeps.design.runs import confirm_runs, tune_runs

PLAIN = Cell(levels={"optimizer": "adam"})
SGD = Cell(levels={"optimizer": "sgd"}, fixed={"momentum": 0.0}, drop_in={"lr": 0.1})
SOFTMAX = Cell(levels={"loss": "softmax"})
EFFECT = Estimand(
    code="E1",
    name="sgd",
    label="SGD",
    control=("optimizer=adam",),
    treatment=("optimizer=sgd",),
)
DESIGN = Design(
    name="listed",
    question="Which?",
    cells=(PLAIN, SGD, SOFTMAX),
    factors=(
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True), when={"optimizer": ("adam",)}),
        Factor(name="lr", role="nuisance", domain=Range(1e-2, 1.0, log=True), when={"optimizer": ("sgd",)}),
    ),
    estimands=(
        EFFECT,
        replace(EFFECT, name="softmax", control=("optimizer=adam", "optimizer=sgd"), treatment=("loss=softmax",)),
    ),
    outcomes=(RECALL_AT_1, AUC),
    fixed={"loss": "arcface", "lr": 0.001, "optimizer": "adam"},
    published="study2",
    presets={
        "quick": Preset(purpose="a look", dataset="digits", epochs=1, replicates=3, confirm="drop-in"),
        "two": Preset(
            purpose="two cells, tuned",
            dataset="digits",
            epochs=1,
            replicates=3,
            points=4,
            confirm="best of tune",
            cells=("optimizer=adam", "optimizer=sgd"),
        ),
    },
)


def test_a_run_has_its_cells_levels_and_what_goes_with_them() -> None:
    untuned = {cell.cell_id: cell.drop_in for cell in DESIGN.cells}
    runs = confirm_runs(Plan.of(DESIGN, {}), [untuned] * 3)
    by_cell = {run.cell_id: run.config() for run in runs}
    assert len(runs) == 9
    sgd = by_cell["optimizer=sgd"]
    assert (sgd.optimizer, sgd.momentum, sgd.lr, sgd.loss) == ("sgd", 0.0, 0.1, "arcface")
    assert by_cell["loss=softmax"].loss == "softmax"
    assert by_cell["loss=softmax"].lr == by_cell["optimizer=adam"].lr == 0.001


def test_cells_of_one_factor_are_tuned_in_ranges_of_their_own() -> None:
    runs = tune_runs(Plan.of(DESIGN, {"preset": "two", "tuner": "sobol", "replicates": 1}))
    rates = {cell: [run.config().lr for run in runs if run.cell_id == cell] for cell in ids(DESIGN)}
    assert len(rates["optimizer=adam"]) == len(rates["optimizer=sgd"]) == 4
    assert not rates["loss=softmax"]
    assert 1e-4 <= min(rates["optimizer=adam"]) < max(rates["optimizer=adam"]) <= 1e-2
    assert 1e-2 <= min(rates["optimizer=sgd"]) < max(rates["optimizer=sgd"]) <= 1.0


def test_estimands_between_cells() -> None:
    """Weights are means of the sides; an estimand with a cell that the preset leaves out is not asked."""
    asked = {c.estimand: c for c in Plan.of(DESIGN, {}).contrasts()}
    assert asked["sgd"].weights == {"optimizer=adam": -1.0, "optimizer=sgd": 1.0}
    assert asked["softmax"].weights == {"optimizer=adam": -0.5, "optimizer=sgd": -0.5, "loss=softmax": 1.0}
    assert (asked["sgd"].outcome, asked["sgd"].sesoi) == ("test_recall_at_1", 0.01)
    two = Plan.of(DESIGN, {"preset": "two"})
    assert [c.estimand for c in two.contrasts()] == ["sgd"]


def test_the_outcome_that_is_declared_judges_and_tunes_and_the_others_are_read_beside_it() -> None:
    first, other = Plan.of(DESIGN, {}), Plan.of(DESIGN, {"outcome": "auc"})
    assert (first.outcome, other.outcome) == (RECALL_AT_1, AUC)
    assert {(c.outcome, c.outcome_label, c.sesoi) for c in other.contrasts()} == {("test_auc", "AUC", 0.003)}
    content = plan_file.content_of(other, "s")
    assert (content["outcome"]["validation"], content["beside"][0]["column"]) == ("val_auc", "test_recall_at_1")


def test_there_is_no_search() -> None:
    assert Plan.of(DESIGN, {}).stages == ("confirm",)
    assert Plan.of(DESIGN, {"preset": "two"}).stages == ("tune", "confirm")
    faults = config_faults(Plan.of(DESIGN, {"stages": "search,confirm", "samples": 4}))
    assert faults == ["listed lists its cells and has no search: `--stages` must be of tune, confirm."]


def test_the_plan_says_whose_figures_to_put_beside(tmp_path: Path) -> None:
    plan_file.write(tmp_path / "plan.json", plan_file.content_of(Plan.of(DESIGN, {}), "s"))
    assert json.loads((tmp_path / "plan.json").read_text())["published"] == "study2"


def test_what_the_cells_compare_cannot_be_fixed() -> None:
    assert config_faults(Plan.of(DESIGN, {"loss": "triplet"})) == [
        "`--set loss` would fix what the sweep compares; its cells set it."
    ]


def test_names_that_no_cell_has_are_told_with_the_nearest() -> None:
    with pytest.raises(Faults) as told:
        replace(
            DESIGN,
            estimands=(replace(EFFECT, treatment=("optimizer=sdg",)), replace(EFFECT, control=())),
            presets={"quick": replace(DESIGN.presets["quick"], cells=("loss=sofmax",))},
        )
    assert "optimizer=sgd" in told.value.faults[1]
    assert "loss=softmax" in told.value.faults[0]
    assert told.value.faults[2] == "Estimand sgd needs a factor, or cells on both sides, and not both."
    with pytest.raises(Faults, match="`lr` is tuned: what optimizer=sgd takes untuned belongs into `drop_in`"):
        replace(DESIGN, cells=(PLAIN, replace(SGD, fixed={"lr": 0.1}), SOFTMAX))
    with pytest.raises(Faults, match="needs arms or cells"):
        replace(DESIGN, arms=(PLAIN,))


def ids(design: Design) -> list[str]:
    return [cell.cell_id for cell in design.cells]


def test_every_cell_is_a_configuration() -> None:
    for cell in DESIGN.cells:
        TrainConfig.from_flat({**DESIGN.fixed, **cell.settings})
