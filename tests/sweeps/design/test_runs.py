"""The runs of tune and confirm: replicates side by side, the same points for every cell, settings from the best."""

import math
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import qmc

from embedding_core.errors import Faults
from embedding_core.seeding import stream
from sweeps.design import Cell, Factor, Levels, Range
from sweeps.design.plan import Plan
from sweeps.design.runs import confirm_runs, drawn_at, tune_runs
from sweeps.design.selection import Tuned, best_of_search, best_of_tune, nuisance_of
from sweeps.koleo_accum import DESIGN

SOBOL: dict[str, Any] = {"preset": "minimal", "loss": "semihard", "tuner": "sobol", "replicates": 1}
PLAN = Plan.of(DESIGN, SOBOL)
RUNS = tune_runs(PLAN)
REPLICATED = Plan.of(DESIGN, {"preset": "minimal", "loss": "semihard", "seed": 3, "replicates": 4})


def untuned(plan: Plan) -> list[dict[str, Any]]:
    return [{cell.cell_id: cell.drop_in for cell in plan.cells}] * plan.replicates


def test_every_cell_is_tried_at_the_same_points() -> None:
    assert len(RUNS) == 8 * 4
    for point in range(8):
        configs = {run.cell_id: run.config() for run in RUNS if run.point == point}
        assert set(configs) == {cell.cell_id for cell in PLAN.factorial.distinct}
        assert len({(config.lr, config.margin) for config in configs.values()}) == 1
        on = [config for config in configs.values() if config.koleo]
        assert len({config.koleo_weight for config in on}) == 1
    assert len({run.config().lr for run in RUNS}) == 8


def test_the_points_are_the_scrambled_sobol_points_of_the_seed() -> None:
    sobol = qmc.Sobol(3, rng=stream(0, "tune points") % 2**32).random_base2(3)
    for run in RUNS:
        assert run.point is not None
        u, config = sobol[run.point], run.config()
        assert config.lr == pytest.approx(10 ** (-4 + 2 * u[1]))
        assert config.margin == pytest.approx(0.2 + 0.4 * u[2])
        assert config.koleo_weight == (pytest.approx(10 ** (-4 + 4 * u[0])) if config.koleo else None)
    other = tune_runs(Plan.of(DESIGN, {**SOBOL, "seed": 1}))
    assert {run.config().lr for run in RUNS}.isdisjoint(run.config().lr for run in other)


def test_one_point_lies_in_each_eighth_of_every_range() -> None:
    octants = {int(8 * (math.log10(run.config().lr) + 4) / 2) for run in RUNS}
    assert octants == set(range(8))


def test_points_are_tried_one_after_the_other_with_cells_in_changing_order() -> None:
    assert [run.point for run in RUNS] == [point for point in range(8) for _ in range(4)]
    assert len({tuple(run.cell_id for run in RUNS[i : i + 4]) for i in range(0, 32, 4)}) > 1
    assert tune_runs(PLAN) == RUNS


def test_half_of_the_points_are_common_and_the_tuner_of_each_cell_proposes_the_rest() -> None:
    runs = tune_runs(REPLICATED)
    assert len(runs) == 4 * 8 * 4
    for run in runs:
        assert run.point is not None
        assert (run.nuisance is not None, run.origin) == ((True, "designed") if run.point < 4 else (False, "sampled"))
    sobol = [run.nuisance for run in tune_runs(Plan.of(DESIGN, {**SOBOL, "seed": 3})) if run.point in range(4)]
    assert [run.nuisance for run in runs if run.replicate == 1 and run.point in range(4)] == sobol
    assert [Plan.of(DESIGN, {"preset": "minimal", "points": n}).common_points for n in (1, 2, 6, 12, 16)] == [
        1, 1, 2, 4, 8
    ]  # fmt: skip


def test_a_replicate_is_the_sweep_of_a_seed_of_its_own() -> None:
    for number in (1, 2, 3, 4):
        alone = Plan.of(DESIGN, {"preset": "minimal", "loss": "semihard", "seed": 3 + number - 1, "replicates": 1})
        for ours, theirs in (
            (tune_runs(REPLICATED), tune_runs(alone)),
            (confirm_runs(REPLICATED, untuned(REPLICATED)), confirm_runs(alone, untuned(alone))),
        ):
            own = [replace(run, replicate=1) for run in ours if run.replicate == number]
            assert own == theirs
            assert len(own) == len(ours) / 4


def test_seeds_are_fresh_in_every_point_and_block_and_the_draw_of_images_is_the_replicates() -> None:
    runs = [*tune_runs(REPLICATED), *confirm_runs(REPLICATED, untuned(REPLICATED))]
    seeds = {(run.replicate, run.block): run.seed for run in runs}
    assert len(set(seeds.values())) == len(seeds) == 4 * (8 + 2)
    for run in runs:
        assert run.seed == (3 + run.replicate - 1) * 1000 + run.block == seeds[run.replicate, run.block]
        assert run.block == (run.block if run.point is None else 500 + run.point)
        assert run.fixed["split_seed"] == (3 + run.replicate - 1) * 1000


def test_tuning_neither_reads_the_test_split_nor_a_block_of_the_confirmation() -> None:
    confirmed = {run.seed for run in confirm_runs(PLAN, untuned(PLAN))}
    for run in RUNS:
        assert not run.config().eval_test
        assert run.seed not in confirmed
        assert run.origin == "designed"


def test_more_points_begin_with_the_fewer() -> None:
    more = tune_runs(Plan.of(DESIGN, {**SOBOL, "points": 16}))
    first = {run.config().lr for run in more if run.point is not None and run.point < 8}
    assert first == {run.config().lr for run in RUNS}


def test_levels_are_drawn_evenly() -> None:
    heads = Factor(name="head", role="nuisance", domain=Levels(("linear", "mlp")))
    plan = Plan.of(replace(DESIGN, factors=(heads,)), {})
    drawn = [drawn_at(plan, [u], Cell(levels={}))["head"] for u in (0.0, 0.49, 0.5, 1.0)]
    assert drawn == ["linear", "linear", "mlp", "mlp"]


LR = Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True))
WEIGHT = Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when={"koleo": (True,)})
OFF, ON = Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})
MEASURE = "final_val_recall_at_1"


def row(trial: int, cell: Cell, value: float | None, lr: float, reason: str = "completed") -> dict[str, Any]:
    weight = 0.01 if cell is ON else None
    ids = {"trial_id": f"t{trial:05d}", "cell_id": cell.cell_id, "end_reason": reason, **cell.levels}
    return {**ids, MEASURE: value, "final_val_auc": 0.5, "lr": lr, "koleo_weight": weight}


def test_the_best_completed_point_by_the_declared_measure_is_taken_and_an_edge_of_the_range_is_told() -> None:
    rows = [row(0, OFF, 0.7, 1e-3), row(1, OFF, 0.9, 5e-4), row(2, OFF, 0.8, 2e-4)]
    rows += [row(3, ON, 0.7, 1e-3), row(4, ON, None, 9e-3, "diverged"), row(5, ON, 0.95, 8e-3, "collapsed")]
    rows += [row(6, ON, 0.9, 1.1e-4), row(7, ON, 0.9, 3e-4), row(8, ON, 0.99, 2e-3, "asha_stopped")]
    tuned = best_of_tune(rows, [OFF, ON], [WEIGHT, LR], measure=MEASURE)
    assert tuned["koleo=off"] == Tuned("t00001", 0.9, {"lr": 5e-4}, {}), "the outermost of three is no edge"
    assert (tuned["koleo=on"].trial_id, tuned["koleo=on"].edges) == ("t00006", {"lr": "low"})
    assert tuned["koleo=on"].settings == {"koleo_weight": 0.01, "lr": 1.1e-4}


def test_a_cell_in_which_no_run_completed_is_confirmed_at_what_lasted_longest() -> None:
    """Divergence is what such a cell comes to; it must not cost the sweep the tunings of all others."""
    diverged = [row(1, ON, None, 1e-3, "diverged"), row(2, ON, None, 2e-3, "diverged")]
    tuned = best_of_tune([row(0, OFF, 0.7, 1e-3), *diverged], [OFF, ON], [LR], measure=MEASURE)
    assert tuned["koleo=on"] == Tuned("t00001", None, {"lr": 1e-3}, {})
    stopped = [*diverged, row(3, ON, 0.2, 3e-3, "collapsed"), row(4, ON, 0.1, 4e-3, "collapsed")]
    tuned = best_of_tune([row(0, OFF, 0.7, 1e-3), *stopped], [OFF, ON], [LR], measure=MEASURE)
    assert tuned["koleo=on"] == Tuned("t00003", 0.2, {"lr": 3e-3}, {})
    with pytest.raises(Faults, match="No tuning run of koleo=on has ended"):
        best_of_tune([row(0, OFF, 0.7, 1e-3)], [OFF, ON], [LR], measure=MEASURE)


def test_a_range_that_the_cell_was_not_tuned_in_tells_no_edge() -> None:
    """Two ranges of one field, each for cells of its own."""
    factors = (
        Factor(name="lr", role="nuisance", domain=Range(0.2, 12.8, log=True), when={"koleo": (False,)}),
        Factor(name="lr", role="nuisance", domain=Range(0.01, 0.64, log=True), when={"koleo": (True,)}),
    )
    rows = [row(0, OFF, 0.7, 2.9), row(1, ON, 0.7, 0.072)]
    assert {cell: found.edges for cell, found in best_of_tune(rows, [OFF, ON], factors, measure=MEASURE).items()} == {
        "koleo=off": {},
        "koleo=on": {},
    }


def test_a_search_without_a_completed_trial_of_an_arm_confirms_nothing() -> None:
    with pytest.raises(Faults, match="No search trial of koleo=on completed"):
        best_of_search([row(0, OFF, 0.7, 1e-3)], [OFF, ON], [LR], measure=MEASURE)


def test_cells_that_an_error_left_unequally_tried_are_not_confirmed() -> None:
    rows = [row(0, OFF, 0.7, 1e-3), row(1, ON, 0.8, 1e-3), row(2, ON, None, 2e-3, "error")]
    with pytest.raises(Faults, match=r"were cut off \(t00002 error\).*`--resume` runs them again"):
        best_of_tune(rows, [OFF, ON], [LR], measure=MEASURE)


def test_controls_run_where_they_are_asked_for_at_the_settings_of_their_twins() -> None:
    assert {cell.role for cell in REPLICATED.cells} == {"factorial"}
    plan = Plan.of(DESIGN, {"preset": "minimal", "controls": True, "blocks": 6, "replicates": 1})
    tuned = {
        "koleo=off": Tuned("t00000", 0.9, {"lr": 1e-3, "margin": 0.3}, {}),
        "koleo=on,accum_steps=1": Tuned("t00001", 0.9, {"lr": 2e-3, "margin": 0.4, "koleo_weight": 0.01}, {}),
        "koleo=on,accum_steps=4": Tuned("t00002", 0.9, {"lr": 3e-3, "margin": 0.5, "koleo_weight": 0.02}, {}),
    }
    nuisance = nuisance_of(plan.cells, tuned)
    assert nuisance["koleo=off,accum_steps=4"] == tuned["koleo=off"].settings
    assert nuisance["koleo=on,accum_steps=4,accum_mode=cached"] == tuned["koleo=on,accum_steps=1"].settings
    runs = confirm_runs(plan, [nuisance])
    for run in runs:
        levels = next(cell.levels for cell in plan.cells if cell.cell_id == run.cell_id)
        flat = run.config().to_flat()
        assert {name: flat[name] for name in levels} == dict(levels)
        assert {name: flat[name] for name in nuisance[run.cell_id]} == dict(nuisance[run.cell_id])
    blocks = {cell.cell_id: [run.block for run in runs if run.cell_id == cell.cell_id] for cell in plan.cells}
    for cell in plan.cells:
        assert blocks[cell.cell_id] == list(range(1, 5 if cell.role == "control" else 7))
