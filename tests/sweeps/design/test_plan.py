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
from sweeps.design.runs import Run, confirm_runs
from sweeps.koleo_accum import DESIGN
from sweeps.results import frozen


def plan_of(line: str = "", design: Design = DESIGN) -> Plan:
    return Plan.of(design, parse(design, line.split()).what)


def runs_of(plan: Plan) -> list[Run]:
    nuisance: dict[str, Settings] = {cell.cell_id: cell.drop_in for cell in plan.cells}
    return confirm_runs(plan, nuisance)


def test_flags_come_before_preset_before_data_set_before_design() -> None:
    quick, study1 = plan_of(), plan_of("--preset study1")
    assert (quick.samples, quick.blocks, quick.base["epochs"], quick.base["val_share"]) == (8, 7, 20, 0.2)
    assert (study1.samples, study1.base["dataset"], study1.base["val_share"]) == (100, "cifar10", 0.05)
    assert (quick.base["lr"], study1.base["backbone"]) == (5e-4, "vgg11")
    flags = plan_of("--preset study1 --samples 3 --epochs 2 --dataset digits --set triplets=disjoint")
    assert (flags.samples, flags.base["epochs"], flags.base["dataset"]) == (3, 2, "digits")
    assert (flags.base["val_share"], flags.base["triplets"], flags.base["backbone"]) == (0.2, "disjoint", "vgg11")
    assert plan_of("--set val_share=.1").base["val_share"] == 0.1
    assert plan_of("--confirm best").confirm == "best of search"
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
    faults = config_faults(plan_of("--set accum_steps=3 --set val_share=.9 --set koleo=true --blocks 1000"))
    assert len(faults) == len(set(faults))
    for sentence in (
        "but got batch_size=64, accum_steps=3.",
        "`val_share` must be in (0, 0.5], but got 0.9.",
        "`--set koleo` would fix what the sweep compares",
        "`--blocks` must be below 1000, but got 1000.",
    ):
        assert sum(sentence in fault for fault in faults) == 1, sentence


def test_the_best_of_a_search_needs_a_search() -> None:
    (fault,) = config_faults(plan_of("--stages confirm --confirm best"))
    assert "needs the stage search" in fault


def test_set_takes_a_factor_out_of_the_search() -> None:
    plan = plan_of("--set lr=0.002 --set accum_steps=2")
    assert {"lr", "accum_steps"}.isdisjoint(factor.name for factor in plan.design.factors)
    assert (plan.search_base["lr"], plan.search_base["accum_steps"]) == (0.002, 2)
    assert config_faults(plan) == []


def test_the_search_never_reads_the_test_split_and_the_confirmation_does() -> None:
    plan = plan_of("--set eval_test=true")
    assert plan.search_base["eval_test"] is False
    assert all(run.config.eval_test for run in runs_of(plan))


def test_confirmation_is_complete_blocks_one_after_the_other() -> None:
    plan = plan_of("--blocks 12")
    runs = runs_of(plan)
    assert [run.block for run in runs] == [block for block in range(1, 13) for _ in plan.cells]
    cells = {cell.cell_id for cell in plan.cells}
    for start in range(0, len(runs), len(cells)):
        block = runs[start : start + len(cells)]
        assert {run.cell_id for run in block} == cells
        assert len({run.config.seed for run in block}) == 1
    assert len({run.config.seed for run in runs}) == 12
    assert {run.origin for run in runs} == {"drop-in"}


def test_runs_of_a_block_differ_by_their_cell_alone() -> None:
    first, second = (run.config.to_flat() for run in runs_of(plan_of())[:2])
    assert {name for name in first if first[name] != second[name]} == {"koleo", "koleo_weight"}


def test_cells_are_shuffled_within_blocks_and_stay_so_when_rebuilt() -> None:
    runs = runs_of(plan_of("--blocks 20"))
    orders = {tuple(run.cell_id for run in runs[i : i + 2]) for i in range(0, 40, 2)}
    assert len(orders) == 2
    assert runs == runs_of(plan_of("--blocks 20"))
    other = runs_of(plan_of("--blocks 20 --seed 1"))
    assert [run.cell_id for run in runs] != [run.cell_id for run in other]


def test_a_run_is_named_by_what_it_does() -> None:
    for run in runs_of(plan_of()):
        assert DESIGN.arm_of(run.config.to_flat()).cell_id == run.cell_id


def test_seeds_of_master_seeds_are_disjoint_and_block_0_is_the_searchs() -> None:
    def seeds(master: int) -> set[int]:
        plan = plan_of(f"--seed {master} --blocks 999")
        drawn = {run.config.seed for run in runs_of(plan)}
        assert plan.search_base["seed"] not in drawn
        return drawn | {plan.search_base["seed"]}

    sets = [seeds(master) for master in range(3)]
    assert all(len(one) == 1000 for one in sets)
    assert len(set.union(*sets)) == 3000


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
    nuisance: dict[str, Any] = {"koleo=off": {}, "koleo=on": {"koleo_weight": 0.1}}
    content = json.loads(json.dumps(plan_file.content_of(plan_of(design=tiny), "mine", nuisance)))
    (contrast,) = content["contrasts"]
    assert (content["study_id"], content["nuisance"]) == ("mine", nuisance)
    assert (contrast["weights"], contrast["outcome"]) == ({"koleo=off": -1.0, "koleo=on": 1.0}, "test_auc")
    assert (contrast["label"], contrast["sesoi"], contrast["family"]) == ("KoLeo .1", 0.003, "primary")


def test_a_plan_is_frozen_once_and_keeps_what_it_was_frozen_with(written: Callable[..., Path]) -> None:
    file = written("--confirm best")
    settings: dict[str, Settings] = {"koleo=off": {"lr": 0.001}, "koleo=on": {"lr": 0.002, "koleo_weight": 0.01}}
    assert plan_file.settled(file) is None
    sha256 = plan_file.freeze(file, plan_file.content_of(plan_of("--confirm best"), "s", settings))
    assert plan_file.settled(file) == settings
    other = plan_file.content_of(plan_of("--confirm best"), "s", {"koleo=off": {}, "koleo=on": {}})
    assert plan_file.freeze(file, other) == sha256
    assert plan_file.settled(file) == settings
    content = json.loads(file.read_text())
    assert content["sha256"] == sha256
    assert frozen.fault_of(content) is None


@pytest.mark.parametrize("change", [{"blocks": 8}, {"contrasts": []}, {"nuisance": {"koleo=off": {"lr": 1}}}])
def test_a_frozen_plan_that_was_edited_is_refused(written: Callable[..., Path], change: dict[str, Any]) -> None:
    file = written()
    content = plan_file.content_of(plan_of(), "s")
    plan_file.freeze(file, content)
    edited = json.loads(file.read_text()) | change
    file.write_text(json.dumps(edited))
    assert frozen.fault_of(edited) is not None
    with pytest.raises(Faults, match=r"changed after it was frozen.*restore the file"):
        plan_file.freeze(file, content)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--stages tune,confirm", "The stage tune needs `--points`, a power of two; this preset tunes nothing."),
        (
            "--preset minimal --points 6",
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
    plan = plan_of("--points 4 --confirm tuned")
    assert (plan.stages, plan.points, config_faults(plan)) == (("search", "tune", "confirm"), 4, [])


def test_values_to_be_tuned_are_not_in_the_plan_before_the_search_has_settled_them() -> None:
    assert plan_file.content_of(plan_of("--confirm best"), "s")["nuisance"] is None
    assert plan_file.content_of(plan_of("--confirm drop-in"), "s")["nuisance"] == {
        "koleo=off": {},
        "koleo=on": {"koleo_weight": 0.1},
    }
