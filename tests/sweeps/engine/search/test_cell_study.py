"""The study of a cell: a function of the stored rows, and what it makes of each ending."""

from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweeps import image_leak, koleo_accum, mining_curriculum, semi_hard_phases, simclr
from sweeps.design import Range
from sweeps.design.plan import Plan
from sweeps.design.runs import tune_runs
from sweeps.engine.search.cell_study import TRIAL_ID, CellStudy, ShownStudies
from sweeps.koleo_accum import DESIGN

PLAN = Plan.of(DESIGN, {"preset": "minimal", "points": 16, "outcome": "recall_at_1"})
OFF, ON = PLAN.factorial.distinct[:2]


def row(number: int, lr: float, value: float | None, ending: str = "completed", **others: Any) -> dict[str, Any]:
    ids = {"trial_id": f"t{number:05d}", "end_reason": ending, "images_seen": 100 * (number + 1)}
    settings = {"lr": lr, "margin": 0.2 + 0.4 * (number % 7) / 7, "koleo_weight": None, "temperature": None}
    return {**ids, **settings, "final_val_recall_at_1": value, "final_val_auc": 0.5, **others}


def steep(n: int) -> list[dict[str, Any]]:
    """Values that fall with the distance of lr from .001."""
    rates = [10 ** (-4 + 2 * i / (n - 1)) for i in range(n)]
    return [row(i, lr, 1 - abs(lr - 0.001) * 50) for i, lr in enumerate(rates)]


def test_the_same_rows_give_the_same_proposal_and_other_streams_others() -> None:
    study, rows = CellStudy(PLAN, OFF, seed=3), steep(8)
    first = study.propose(rows, 8)
    assert CellStudy(PLAN, OFF, seed=3).propose(rows, 8) == first
    others = [CellStudy(PLAN, OFF, seed=4).propose(rows, 8), study.propose(rows, 9), study.propose(rows[:7], 8)]
    assert first not in others
    assert set(first) == {"lr", "margin"}


def test_a_cell_with_koleo_is_also_tuned_in_its_weight() -> None:
    rows = [{**one, "koleo_weight": 0.01} for one in steep(8)]
    proposal = CellStudy(PLAN, ON, seed=0).propose(rows, 8)
    assert set(proposal) == {"lr", "margin", "koleo_weight"}
    assert isinstance(proposal["koleo_weight"], float)
    assert 1e-4 <= proposal["koleo_weight"] <= 1


def test_proposals_lie_nearer_to_what_was_good() -> None:
    rates = [CellStudy(PLAN, OFF, seed=seed).propose(steep(12), 12)["lr"] for seed in range(20)]
    near = [lr for lr in rates if isinstance(lr, float) and 0.0003 < lr < 0.003]
    assert len(near) > 14, "half of the range in its logarithm"


@pytest.mark.parametrize(
    ("ending", "value", "state", "told"),
    [
        ("completed", 0.8, TrialState.COMPLETE, {100: 0.8}),
        ("asha_stopped", 0.3, TrialState.PRUNED, {100: 0.3}),
        ("collapsed", 0.1, TrialState.PRUNED, {100: 0.1}),
        ("diverged", float("nan"), TrialState.PRUNED, {}),
        ("diverged", None, TrialState.PRUNED, {}),
    ],
)
def test_each_ending_is_told_with_what_it_says(ending: str, value: float, state: TrialState, told: object) -> None:
    trial = CellStudy(PLAN, OFF, seed=0).told(row(0, 0.001, value, ending))
    assert (trial.state, trial.intermediate_values, trial.user_attrs) == (state, told, {TRIAL_ID: "t00000"})
    assert trial.value == (value if ending == "completed" else None)


def test_random_draws_go_by_no_row_and_repeat_themselves() -> None:
    study = CellStudy(Plan.of(DESIGN, {**PLAN.what, "searcher": "random"}), OFF, seed=3)
    assert study.propose(steep(8), 8) == study.propose([], 8) != study.propose([], 9)
    assert study.propose(steep(8), 8) != CellStudy(PLAN, OFF, seed=3).propose(steep(8), 8)


@pytest.mark.parametrize("ending", ["error", "oom", "preempted"])
def test_what_infrastructure_ended_says_nothing_of_the_settings(ending: str) -> None:
    study = CellStudy(PLAN, OFF, seed=0)
    assert study.propose([*steep(8), row(8, 0.005, 0.9, ending)], 9) == study.propose(steep(8), 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "design", [koleo_accum, image_leak, mining_curriculum, semi_hard_phases, simclr], ids=lambda m: m.__name__
)
def test_each_cell_of_each_tuned_preset_is_proposed_settings_in_its_own_range(design: ModuleType) -> None:
    """One field may have a range for each of several levels."""
    presets = [name for name, preset in design.DESIGN.presets.items() if preset.confirm == "best of tune"]
    for name in presets:
        plan = Plan.of(design.DESIGN, {"preset": name, "points": 4})
        for cell in plan.factorial.distinct:
            runs = [run for run in tune_runs(plan) if run.study == (1, cell.cell_id) and run.nuisance is not None]
            rows = [
                {**run.config().to_flat(), "trial_id": f"t{i:05d}", "end_reason": "completed", "images_seen": 100}
                | {plan.outcome.final: 0.5 + 0.1 * i}
                for i, run in enumerate(runs)
            ]
            proposed = CellStudy(plan, cell, seed=0).propose(rows, 3)
            drawn = [factor for factor in plan.nuisances if factor.is_drawn({**plan.base, **cell.settings})]
            assert set(proposed) == {factor.name for factor in drawn}
            for factor in drawn:
                assert isinstance(factor.domain, Range)
                assert factor.domain.low <= proposed[factor.name] <= factor.domain.high  # type: ignore[operator]


def test_the_file_for_the_dashboard_shows_every_run_once_whatever_was_restarted(tmp_path: Path) -> None:
    study = CellStudy(PLAN, OFF, seed=0)
    for rows in (steep(4)[:3], steep(4)):  # two starts of a driver
        shown = ShownStudies(tmp_path / "optuna.db")
        for one in rows:
            shown.add("tune, replicate 1, koleo=off", study.told(one))
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    loaded = optuna.load_study(study_name="tune, replicate 1, koleo=off", storage=storage)
    assert [trial.user_attrs[TRIAL_ID] for trial in loaded.trials] == [f"t{i:05d}" for i in range(4)]
    assert [trial.value for trial in loaded.trials] == [one["final_val_recall_at_1"] for one in steep(4)]
