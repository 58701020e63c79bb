"""What a sweep will run: settled before the first trial, kept by a resume."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps.cli.options import parse
from sweeps.cli.plan_checks import config_faults
from sweeps.design import plan_file
from sweeps.design.design import Design, Factor, Levels, Settings
from sweeps.design.plan import Plan
from sweeps.design.runs import Run, confirm_runs, tune_runs
from sweeps.koleo_accum import DESIGN
from sweeps.results import frozen
from sweeps.results.store import Store


def plan_of(line: str = "", design: Design = DESIGN) -> Plan:
    return Plan.of(design, parse(design, line.split()).what)


def runs_of(plan: Plan) -> list[Run]:
    nuisance: dict[str, Settings] = {cell.cell_id: cell.drop_in for cell in plan.cells}
    return confirm_runs(plan, [nuisance] * plan.replicates)


def test_flags_come_before_preset_before_data_set_before_design() -> None:
    quick, study1 = plan_of(), plan_of("--preset study1")
    assert (quick.samples, quick.replicates, quick.blocks, quick.base["epochs"]) == (8, 7, 1, 20)
    assert (quick.base["val_share"], quick.base["loss"], plan_of("--loss arcface").base["loss"]) == (
        0.2, "semihard", "arcface"
    )  # fmt: skip
    assert (study1.samples, study1.base["dataset"], study1.base["val_share"]) == (100, "cifar10", 0.05)
    assert (quick.base["lr"], study1.base["backbone"]) == (5e-4, "vgg11")
    flags = plan_of("--preset study1 --samples 3 --epochs 2 --dataset digits --set triplets=disjoint")
    assert (flags.samples, flags.base["epochs"], flags.base["dataset"]) == (3, 2, "digits")
    assert (flags.base["val_share"], flags.base["triplets"], flags.base["backbone"]) == (0.2, "disjoint", "vgg11")
    assert plan_of("--set val_share=.1").base["val_share"] == 0.1
    assert plan_of("--confirm best").confirm == "best of search"
    assert (plan_of("--preset minimal").tuner, plan_of().tuner) == ("optuna", "")
    assert plan_of("--stages confirm").stages == ("confirm",)


def test_the_presets_of_koleo_accum_are_possible() -> None:
    for preset in DESIGN.presets:
        assert config_faults(plan_of(f"--preset {preset}")) == []


def test_batch_size_and_accum_steps_that_do_not_go_together_are_told_with_their_values() -> None:
    faults = config_faults(plan_of("--set accum_steps=3"))
    assert [fault for fault in faults if "multiple" in fault] == [
        f"`batch_size` must be a multiple of `accum_steps`, but got batch_size={b}, accum_steps=3." for b in (64, 128)
    ]


def test_all_impossible_settings_at_once_each_once() -> None:
    faults = config_faults(
        plan_of("--set batch_size=63 --set val_share=.9 --set koleo=true --blocks 500 --preset minimal --points 501")
    )
    assert len(faults) == len(set(faults))
    for sentence in (
        "but got batch_size=63, accum_steps=4.",
        "`val_share` must be in (0, 0.5], but got 0.9.",
        "`--set koleo` would fix what the sweep compares",
        "`--blocks` must be at most 499, but got 500.",
        "`--points` must be at most 500, but got 501.",
    ):
        assert sum(sentence in fault for fault in faults) == 1, sentence


def test_the_best_of_a_search_needs_a_search() -> None:
    (fault,) = config_faults(plan_of("--stages confirm --confirm best --replicates 1 --blocks 2"))
    assert "needs the stage search" in fault


def test_set_takes_a_factor_out_of_the_search() -> None:
    plan = plan_of("--preset study1 --set lr=0.002 --set accum_steps=2")
    assert {"lr", "accum_steps"}.isdisjoint(factor.name for factor in plan.design.factors)
    assert (plan.search_base["lr"], plan.search_base["accum_steps"]) == (0.002, 2)
    assert config_faults(plan) == []


def test_the_search_never_reads_the_test_split_and_the_confirmation_does() -> None:
    plan = plan_of("--set eval_test=true")
    assert plan.search_base["eval_test"] is False
    assert all(run.config().eval_test for run in runs_of(plan))


def test_confirmation_is_complete_blocks_one_after_the_other_replicate_after_replicate() -> None:
    plan = plan_of("--replicates 3 --blocks 4")
    runs = runs_of(plan)
    order = [(r, block) for r in (1, 2, 3) for block in range(1, 5) for _ in plan.cells]
    assert [(run.replicate, run.block) for run in runs] == order
    cells = {cell.cell_id for cell in plan.cells}
    for start in range(0, len(runs), len(cells)):
        block = runs[start : start + len(cells)]
        assert {run.cell_id for run in block} == cells
        assert len({run.seed for run in block}) == 1
    assert len({run.seed for run in runs}) == 12
    assert {run.origin for run in runs} == {"drop-in"}


def test_runs_of_a_block_differ_by_their_cell_alone() -> None:
    configs = [run.config().to_flat() for run in runs_of(plan_of())[:4]]
    differing = {name for name in configs[0] if len({str(config[name]) for config in configs}) > 1}
    assert differing == {"koleo", "koleo_weight", "accum_steps"}


def test_cells_are_shuffled_within_blocks_and_stay_so_when_rebuilt() -> None:
    line = "--loss triplet --preset study1 --confirm drop-in --blocks"
    runs = runs_of(plan_of(f"{line} 20"))
    orders = {tuple(run.cell_id for run in runs[i : i + 2]) for i in range(0, 40, 2)}
    assert len(orders) == 2
    assert runs == runs_of(plan_of(f"{line} 20"))
    other = runs_of(plan_of(f"{line} 20 --seed 1"))
    assert [run.cell_id for run in runs] != [run.cell_id for run in other]


def test_a_run_is_named_by_what_it_does() -> None:
    for run in runs_of(plan_of()):
        flat = run.config().to_flat()
        assert run.cell_id == f"{DESIGN.arm_of(flat).cell_id},accum_steps={flat['accum_steps']}"


def test_seeds_of_master_seeds_are_disjoint_and_block_0_is_the_searchs() -> None:
    def seeds(master: int) -> set[int]:
        plan = plan_of(f"--seed {master} --replicates 1 --blocks 499")
        drawn = {run.seed for run in runs_of(plan)}
        assert plan.search_base["seed"] not in drawn
        return drawn | {plan.search_base["seed"]}

    sets = [seeds(master) for master in range(3)]
    assert all(len(one) == 500 for one in sets)
    assert len(set.union(*sets)) == 1500


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """`written(line)` -> `plan.json` of a sweep started so."""

    def write(line: str = "") -> Path:
        plan_file.write(tmp_path / "plan.json", plan_file.content_of(plan_of(line), "s"))
        return tmp_path / "plan.json"

    return write


def resume(file: Path, line: str = "", design: Design = DESIGN) -> Plan:
    return plan_file.resumed(design, file, parse(design, line.split()).what)


def test_a_resume_keeps_the_plan(written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = "--samples 3 --epochs 2 --seed 5 --set margin=.3 --train-triplets 200 --stages search"
    kept, file = plan_of(line), written(line)
    monkeypatch.chdir(tmp_path)  # the default data root follows the folder; a resume must not
    assert resume(file) == kept
    assert resume(file, line) == kept
    assert resume(file, "--samples 3").what == kept.what


def test_a_flag_that_spells_out_the_preset_is_no_change(written: Callable[..., Path]) -> None:
    assert resume(written(), "--preset quick --samples 8 --confirm drop-in") == plan_of()


def test_a_resume_refuses_changed_flags_and_names_only_those(written: Callable[..., Path]) -> None:
    file = written("--samples 3")
    with pytest.raises(Faults) as caught:
        resume(file, "--samples 4 --preset quick --epochs 20 --set lr=0.1")
    assert str(caught.value) == (
        "A resumed sweep keeps its plan, but `samples` is 3 there, 4 here, `lr` is 0.0005 there, 0.1 here. "
        "Leave these flags out."
    )


def test_a_resume_refuses_another_design(written: Callable[..., Path]) -> None:
    changed = replace(
        DESIGN, factors=(*DESIGN.factors, Factor(name="val_share", role="nuisance", domain=Levels((0.1,))))
    )
    with pytest.raises(Faults, match=r"belongs to another design \(koleo_accum\), or koleo_accum has changed since"):
        resume(written(), design=changed)


@pytest.mark.parametrize(
    "broken", ["", '{"what": ', "{}", "[]", "null", '{"what": 3, "design": "x", "design_sha256": "y"}', "\udcff"]
)
def test_a_resume_refuses_a_broken_plan(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(broken, errors="surrogateescape")
    with pytest.raises(Faults, match=r"plan\.json"):
        resume(file)
    file.unlink()
    with pytest.raises(Faults, match="cannot be read"):
        resume(file)


def test_plan_json_states_the_estimands_with_the_values_they_are_made_at(tiny: Design) -> None:
    content = json.loads(json.dumps(plan_file.content_of(plan_of(design=tiny), "mine")))
    (contrast,) = content["contrasts"]
    nuisance = {"koleo=off": {}, "koleo=on": {"koleo_weight": 0.1}}
    assert (content["study_id"], content["replicates"], content["nuisance"]) == ("mine", 2, [nuisance, nuisance])
    assert (contrast["weights"], contrast["outcome"]) == ({"koleo=off": -1.0, "koleo=on": 1.0}, "test_auc")
    assert (contrast["label"], contrast["sesoi"], contrast["family"]) == ("KoLeo .1", 0.003, "primary")


def test_a_plan_is_frozen_once_and_keeps_what_it_was_frozen_with(written: Callable[..., Path]) -> None:
    file, plan = written(), plan_of()
    nuisance, sha256 = plan_file.settle(plan, file.parent)
    content = json.loads(file.read_text())
    assert (content["sha256"], content["nuisance"]) == (sha256, nuisance)
    assert frozen.fault_of(content) is None
    other = plan_of("--set lr=0.1")
    assert plan_file.settle(other, file.parent) == (nuisance, sha256)
    assert json.loads(file.read_text()) == content


@pytest.mark.parametrize("change", [{"blocks": 8}, {"contrasts": []}, {"nuisance": [{"koleo=off": {"lr": 1}}]}])
def test_a_frozen_plan_that_was_edited_is_refused(written: Callable[..., Path], change: dict[str, Any]) -> None:
    file = written()
    plan_file.settle(plan_of(), file.parent)
    edited = json.loads(file.read_text()) | change
    file.write_text(json.dumps(edited))
    assert frozen.fault_of(edited) is not None
    with pytest.raises(Faults, match=r"changed after it was frozen.*restore the file"):
        plan_file.settle(plan_of(), file.parent)


TUNED = "--preset minimal --loss triplet --epochs 1 --points 2 --replicates"


def tuned_rows(plan: Plan, *, best: int) -> list[dict[str, Any]]:
    """Final rows of every tuning run, of which the point `best` has the highest value; proposals are invented."""
    rows = []
    for number, run in enumerate(tune_runs(plan)):
        weight = {"koleo_weight": 0.1} if run.fixed["koleo"] else {}
        config = run.config({"lr": 0.001 * run.replicate, "margin": 0.3, **weight}).to_flat()
        ids = {"trial_id": f"t{number:05d}", "attempt": 1, "cell_id": run.cell_id, "replicate": run.replicate}
        value = 0.9 if run.point == best else 0.8
        rows.append(
            {**config, **ids, "end_reason": "completed", "final_val_auc": value, "final_val_recall_at_1": value}
        )
    return rows


def write(results: Store, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        results.write("trials", "tune", row["trial_id"], 1, [row])


def test_each_replicate_is_confirmed_at_its_own_best_and_a_longer_one_keeps_those_before(tmp_path: Path) -> None:
    results = Store.create(tmp_path / "s")
    plan = plan_of(f"{TUNED} 2")
    plan_file.write(tmp_path / "s" / "plan.json", plan_file.content_of(plan, "s"))
    write(results, tuned_rows(plan, best=1))
    nuisance, sha256 = plan_file.settle(plan, tmp_path / "s")
    assert [own["koleo=off"]["lr"] for own in nuisance] == [0.001, 0.002]
    longer = plan_file.extended(DESIGN, plan, "replicates", 1)
    plan_file.amend(longer, tmp_path / "s")
    write(results, tuned_rows(longer, best=0)[12:])
    more, other = plan_file.settle(longer, tmp_path / "s")
    assert (more[:2], len(more)) == (nuisance, 3)
    content = json.loads((tmp_path / "s" / "plan.json").read_text())
    assert content["extended"] == [{"sha256": sha256, "samples": 0, "replicates": 2, "blocks": 2}]
    assert content["tuned"][2]["koleo=off"]["trial_id"] in {f"t{i:05d}" for i in range(12, 18)}
    assert (content["sha256"], frozen.fault_of(content)) == (other, None)


@pytest.mark.parametrize(
    ("line", "what", "sentence"),
    [
        (
            "--replicates 2",
            "confirm",
            "no confirm to extend (search, confirm; 2 replicates); it could have `--extend s",
        ),
        ("--confirm best --replicates 1 --blocks 3", "replicates", "no replicates to extend"),
        ("--stages search", "replicates", "no replicates to extend (search; 7 replicates); it could have `--extend s"),
    ],
)
def test_what_cannot_be_extended_is_told_with_what_can(line: str, what: str, sentence: str) -> None:
    with pytest.raises(Faults) as told:
        plan_file.extended(DESIGN, plan_of(line), what, 2)
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--stages tune,confirm", "The stage tune needs `--points`; this preset tunes nothing."),
        (
            "--preset minimal --tuner sobol --points 6",
            "`--points` must be a power of two, which Sobol points are balanced at, but got 6.",
        ),
        (
            "--preset minimal --stages confirm",
            "`--confirm tuned` needs the stage tune: add it to `--stages`, or take `--confirm drop-in`.",
        ),
        (
            "--preset minimal --set accum_steps=2",
            "`--set accum_steps` would fix what the sweep compares; its cells set it.",
        ),
    ],
)
def test_stages_that_lack_what_they_need_are_told(line: str, sentence: str) -> None:
    assert sentence in config_faults(plan_of(line))


def test_points_given_to_a_preset_that_tunes_nothing_are_run() -> None:
    assert plan_of().stages == ("search", "confirm")
    plan = plan_of("--points 4 --confirm tuned --tuner optuna")
    assert (plan.stages, plan.points, config_faults(plan)) == (("search", "tune", "confirm"), 4, [])


def test_values_to_be_tuned_are_not_in_the_plan_before_they_are_settled() -> None:
    assert plan_file.content_of(plan_of("--confirm best --replicates 1"), "s")["nuisance"] is None
    assert plan_file.content_of(plan_of("--preset minimal"), "s")["nuisance"] is None


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--confirm best", "`--replicates` must be 1, got 7."),
        ("--replicates 1", "An interval needs two runs of each cell, but `--replicates 1 --blocks 1` has one."),
        ("--tuner sobol", "`--tuner` is for the stage tune, which is not run: add `--confirm tuned`."),
    ],
)
def test_numbers_of_replicates_that_cannot_be_are_told(line: str, sentence: str) -> None:
    assert any(sentence in fault for fault in config_faults(plan_of(line)))


def test_ranges_and_levels_hold_where_all_of_their_conditions_do() -> None:
    factor = Factor(name="x", role="nuisance", domain=Levels((1,)), when={"koleo": (True,), "loss": ("nt_xent",)})
    both = [{"koleo": koleo, "loss": loss} for koleo in (True, False) for loss in ("nt_xent", "triplet")]
    assert [factor.is_drawn(settings) for settings in both] == [True, False, False, False]
