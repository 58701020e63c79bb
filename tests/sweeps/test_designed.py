"""A sweep with the stage tune: what it tried, what it settled, and that it goes on where it was."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest

from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.engine.search.asha import Exemption
from sweeps.results import frozen, store

pytestmark = pytest.mark.ray

ARGV = "--preset designed --exempt 0.5 --controls --max-concurrent 1"


@pytest.fixture(scope="module")
def swept(
    tiny_design: Design, tmp_path_factory: pytest.TempPathFactory, start_ray: Callable[..., None]
) -> tuple[Design, Path]:
    start_ray(num_cpus=2)
    results = tmp_path_factory.mktemp("results")
    assert main(tiny_design, [*ARGV.split(), "--results", str(results), "--name", "designed"]) == 0
    return tiny_design, results / "designed"


def rows(folder: Path, stage: str) -> list[dict[str, Any]]:
    return store.read(folder, "trials", stage=stage).to_pylist()


def test_cells_are_tuned_alike_and_each_replicate_is_confirmed_at_its_own_best(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    tried, confirmed = rows(folder, "tune"), rows(folder, "confirm")
    plan = json.loads((folder / "plan.json").read_text())
    cells = ["koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=2"]
    asked = sorted((cell, replicate, i) for cell in cells for replicate in (1, 2) for i in range(4))
    assert sorted((row["cell_id"], row["replicate"], row["point"]) for row in tried) == asked
    how = {("ASHA(eta=2) in each study", "Sobol(2), then TPE", None)}
    assert {(row["scheduler"], row["sampler"], row["plan_sha256"]) for row in tried} == how
    for number, cell in product((1, 2), cells):
        own = [row for row in tried if (row["cell_id"], row["replicate"]) == (cell, number)]
        common = [row for row in tried if row["replicate"] == number and row["point"] < 2]
        assert {row["origin"] for row in common} == {"designed"}
        assert len({row["lr"] for row in common}) == 2, "the same two for all cells"
        best = max((row for row in own if row["end_reason"] == "completed"), key=lambda row: row["final_val_auc"])
        assert plan["tuned"][number - 1][cell]["trial_id"] == best["trial_id"]
        for row in confirmed:
            if (row["cell_id"], row["replicate"]) == (cell, number):
                assert (row["lr"], row["koleo_weight"]) == (best["lr"], best["koleo_weight"])
    assert {row["test_auc"] for row in tried} == {None}
    assert {row["tuned_by"] for row in tried + confirmed} == {"val_auc"}


def test_trials_of_a_tuning_are_stopped_by_those_of_their_own_study_alone(swept: tuple[Design, Path]) -> None:
    """Worked out again from the rows: one after the other, each against the median of those before it."""
    _, folder = swept
    values = {(row["trial_id"], row["rung"]): row for row in store.read(folder, "rungs", stage="tune").to_pylist()}
    for number, cell in product((1, 2), {row["cell_id"] for row in rows(folder, "tune")}):
        own = [row for row in rows(folder, "tune") if (row["replicate"], row["cell_id"]) == (number, cell)]
        for rung in {rung for _, rung in values}:
            before: list[float] = []
            for row in sorted(own, key=lambda row: row["point"]):
                decided = values.get((row["trial_id"], rung))
                if decided is not None:
                    cutoff = median(before) if before else None
                    assert decided["cutoff"] == (cutoff if cutoff is None else pytest.approx(cutoff))
                    assert (decided["decision"] == "stop") == (cutoff is not None and decided["value"] < cutoff)
                    before.append(decided["value"])


def test_each_study_is_shown_to_optuna_dashboard(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    storage = f"sqlite:///{folder / 'optuna.db'}"
    shown = {s.study_name: s.n_trials for s in optuna.get_all_study_summaries(storage=storage)}
    assert shown.pop("search") == 2
    assert shown == {f"tune, replicate {row['replicate']}, {row['cell_id']}": 4 for row in rows(folder, "tune")}


def test_the_confirmation_carries_the_hash_of_the_frozen_plan(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    plan = json.loads((folder / "plan.json").read_text())
    assert frozen.fault_of(plan) is None
    assert {row["plan_sha256"] for row in rows(folder, "confirm")} == {plan["sha256"]}
    planned = {cell["cell_id"]: 2 * cell["blocks"] for cell in plan["cells"]}
    counts = {cell: sum(row["cell_id"] == cell for row in rows(folder, "confirm")) for cell in planned}
    assert counts == planned


def test_the_cached_control_repeats_its_twin_up_to_rounding(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    first = [row for row in store.read(folder, "curves", stage="confirm").to_pylist() if row["epoch"] == 1]
    trials = {
        (row["cell_id"], row["block"]): row["trial_id"] for row in rows(folder, "confirm") if row["replicate"] == 1
    }
    loss = {row["trial_id"]: row["loss_total"] for row in first}
    for block in (1, 2):
        twin = loss[trials["koleo=on,accum_steps=1", block]]
        assert loss[trials["koleo=on,accum_steps=2,accum_mode=cached", block]] == pytest.approx(twin, rel=1e-5)
        assert loss[trials["koleo=on,accum_steps=2", block]] != pytest.approx(twin, rel=1e-5)  # naive


def test_the_best_of_each_tuned_cell_keeps_its_weights(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    plan = json.loads((folder / "plan.json").read_text())
    kept = {path.stem for path in (folder / "checkpoints" / "tune").glob("*.pt")}
    assert kept == {found["trial_id"] for replicate in plan["tuned"] for found in replicate.values()}


def test_exempt_trials_are_known_by_their_row(swept: tuple[Design, Path]) -> None:
    _, folder = swept
    for row in rows(folder, "search"):
        assert row["exempt_prob"] == 0.5
        assert row["stop_exempt"] == Exemption(0.5, seed=0).holds(row["trial_id"])
        assert not (row["stop_exempt"] and row["end_reason"] == "asha_stopped")
        assert (row["would_stop_rung"] is None) or row["stop_exempt"]


def test_a_finished_sweep_has_nothing_left_to_run(swept: tuple[Design, Path]) -> None:
    design, folder = swept
    before = store.read(folder, "trials", attempts="all")
    argv = [*ARGV.split(), "--results", str(folder.parent), "--name", folder.name, "--resume"]
    assert main(design, argv) == 0
    assert store.read(folder, "trials", attempts="all") == before


def test_an_edited_plan_ends_a_resume_before_it_runs_anything(
    swept: tuple[Design, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    design, folder = swept
    file = folder / "plan.json"
    text = file.read_text()
    try:
        file.write_text(text.replace('"sesoi": 0.003', '"sesoi": 0.03'))
        assert main(design, ["--results", str(folder.parent), "--name", folder.name, "--resume"]) == 2
        assert "changed after it was frozen" in capsys.readouterr().err
    finally:
        file.write_text(text)
