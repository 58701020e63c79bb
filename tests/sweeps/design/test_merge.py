"""Sweeps merged as replicates of one: equal to the one, or refused with every reason at once. Runs are invented."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps.commands.sweep_status import status_of
from sweeps.design import Design, plan_file
from sweeps.design.merge import merge
from sweeps.design.merged_plan import MERGED_SHA256, SEEDS
from sweeps.design.plan import Plan
from sweeps.results import frozen, store
from sweeps.results.store import Store
from tests.sweeps.invented_runs import go_on, swept, unlike

pytestmark = pytest.mark.slow

TUNED = {"preset": "designed", "stages": "tune,confirm", "tuner": "sobol"}
DROP_IN = {"preset": "quick", "blocks": 2}

Sweep = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What survives a power cut is tested with the store."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def built(tiny_design: Design, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """`built(name, **what)` -> folder of a sweep that has ended, made once; nobody may change it."""
    folders: dict[str, Path] = {}

    def build(name: str, **what: Any) -> Path:
        key = f"{name} {sorted(what.items())}"
        if key not in folders:
            folders[key] = swept(tiny_design, tmp_path_factory.mktemp("built") / name, **what)
        return folders[key]

    return build


@pytest.fixture
def sweep(built: Sweep, tmp_path: Path) -> Sweep:
    """`sweep(seed, replicates=1, ...)` -> folder of a tuned sweep that has ended, its own copy."""

    def copied(seed: int, *, name: str = "", **what: Any) -> Path:
        name = name or f"s{seed}"
        return shutil.copytree(built(name, **{**TUNED, "seed": seed, "replicates": 1, **what}), tmp_path / name)

    return copied


def plan_of(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "plan.json").read_text())
    assert isinstance(content, dict)
    return content


def rewrite(folder: Path, **changes: Any) -> None:
    """Another plan, frozen as that; None takes a key out."""
    content = {name: value for name, value in {**plan_of(folder), **changes}.items() if value is not None}
    plan_file.write(folder / "plan.json", frozen.with_hash(content))


def faults_of(*folders: Path, out: Path | None = None) -> list[str]:
    out = out or folders[0].with_name("merged")
    with pytest.raises(Faults) as error:
        merge(folders, out, planned=True)
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]
    return list(error.value.faults)


@pytest.mark.parametrize("what", [TUNED, DROP_IN], ids=["tuned", "drop-in"])
def test_merged_seeds_are_the_sweep_with_as_many_replicates(tiny: Design, tmp_path: Path, what: dict[str, Any]) -> None:
    one = swept(tiny, tmp_path / "one", seed=0, replicates=4, **what)
    parts = [swept(tiny, tmp_path / f"s{s}", seed=s, replicates=r, **what) for s, r in ((3, 1), (0, 1), (1, 2))]
    merged = merge(parts, tmp_path / "merged", planned=True)
    # By trial id: trials are numbered alike, too.
    assert unlike(one, merged) == []
    alone, joined = plan_of(one), plan_of(merged)
    new = {frozen.MERGED, MERGED_SHA256}
    assert {name for name in joined if joined[name] != alone.get(name)} == {"study_id", frozen.KEY} | new
    assert (list(alone), joined["study_id"]) == ([name for name in joined if name not in new], "merged")
    assert frozen.fault_of(joined) is None
    trials = store.read(merged, "trials").to_pylist()
    assert {row["study_id"] for row in trials} == {"merged"}
    assert {row["plan_sha256"] for row in trials if row["stage"] == "confirm"} == {joined["sha256"]}
    assert joined[frozen.MERGED] == ["s0", "s1", "s3"]
    assert joined[MERGED_SHA256] == [plan_of(tmp_path / name)["sha256"] for name in joined[frozen.MERGED]]


def test_a_merge_stands_as_a_sweep_that_has_ended(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()  # an empty folder is as good as none
    merged = merge([sweep(0), sweep(1)], tmp_path / "merged", planned=True)
    for stage in status_of(merged, {}).stages:
        assert (sum(stage.ended.values()), stage.running) == (stage.planned, [])
    assert sorted(path.name for path in merged.iterdir()) == [
        "_staging",
        "compact",
        "plan.json",
        "schema_version",
        "v1",
    ]
    assert {path.name for path in (merged / "compact").iterdir()} >= {"trials", "curves", "embeddings"}


def test_splits_come_along(sweep: Sweep, tmp_path: Path) -> None:
    folders = [sweep(0), sweep(1)]
    for folder in folders:
        (folder / "splits").mkdir()
        for name in ("both", folder.name):
            (folder / "splits" / f"{name}.parquet").write_text(name)
    merged = merge(folders, tmp_path / "merged", planned=True)
    there = {path.stem: path.read_text() for path in (merged / "splits").iterdir()}
    assert there == {"both": "both", "s0": "s0", "s1": "s1"}


def test_attempts_stay_and_the_latest_counts(sweep: Sweep, tmp_path: Path) -> None:
    folders = [sweep(0), sweep(1)]
    row = store.read(folders[1], "trials", stage="confirm").to_pylist()[4]
    again = {name: value for name, value in row.items() if name != "stage"} | {"attempt": 2, "test_auc": 0.99}
    Store.open(folders[1]).write("curves", "confirm", row["trial_id"], 2, [{"epoch": 1, "val_auc": 0.98}])
    Store.open(folders[1]).write("trials", "confirm", row["trial_id"], 2, [again])
    merged = merge(folders, tmp_path / "merged", planned=True)
    own = [r for r in store.read(merged, "trials", stage="confirm").to_pylist() if r["trial_id"] == "t00010"]
    assert [(r["attempt"], r["test_auc"], r["replicate"], r["block"]) for r in own] == [(2, 0.99, 2, row["block"])]
    every = store.read(merged, "trials", attempts="all", stage="confirm")
    assert every["trial_id"].to_pylist().count("t00010") == 2
    epochs = store.read(merged, "curves", stage="confirm").to_pylist()
    assert [r["val_auc"] for r in epochs if r["trial_id"] == "t00010"] == [0.98, row["final_val_auc"]]


def test_seeds_that_do_not_count_on_are_listed(sweep: Sweep, tmp_path: Path) -> None:
    merged = merge([sweep(100), sweep(0)], tmp_path / "merged", planned=True)
    plan = plan_of(merged)
    assert (plan["seed"], plan["what"]["seed"], plan["replicates"], plan[SEEDS]) == (0, 0, 2, [0, 100])
    rows = store.read(merged, "trials").to_pylist()
    assert {(row["replicate"], row["master_seed"]) for row in rows} == {(1, 0), (2, 100)}
    tuned = {row["trial_id"]: row for row in rows if row["stage"] == "tune"}
    for number, best in enumerate(plan["tuned"], start=1):
        for cell, found in best.items():
            row = tuned[found["trial_id"]]
            assert (row["cell_id"], row["replicate"], row["final_val_auc"]) == (cell, number, found["value"])


def test_merges_are_merged(sweep: Sweep, tmp_path: Path) -> None:
    first = merge([sweep(0), sweep(2)], tmp_path / "even", planned=True)
    whole = merge([sweep(1), first], tmp_path / "whole", planned=True)
    assert unlike(sweep(0, name="one", replicates=3), whole) == []
    plan = plan_of(whole)
    assert (plan[frozen.MERGED], SEEDS in plan, frozen.LOOKED in plan) == (["s0", "s2", "s1"], False, False)


def test_what_was_looked_at_stays_so(tiny: Design, sweep: Sweep, tmp_path: Path) -> None:
    unplanned = merge([sweep(0), sweep(1)], tmp_path / "unplanned", planned=False)
    assert plan_of(unplanned)[frozen.LOOKED] is True
    assert plan_of(merge([unplanned, sweep(2)], tmp_path / "further", planned=True))[frozen.LOOKED] is True
    longer = sweep(10)
    plan = plan_file.extended(tiny, Plan.of(tiny, plan_of(longer)["what"]), "replicates", 2)
    plan_file.amend(plan, longer)
    go_on(plan, Store.open(longer))
    merged = merge([longer, sweep(20)], tmp_path / "extended", planned=True)
    assert (plan_of(merged)["replicates"], plan_of(merged)[frozen.LOOKED]) == (4, True)
    assert frozen.EXTENDED not in plan_of(merged)
    assert {row["plan_sha256"] for row in store.read(merged, "trials", stage="confirm").to_pylist()} == {
        plan_of(merged)["sha256"]
    }


def test_no_driver_goes_on_with_a_merge(tiny: Design, sweep: Sweep, tmp_path: Path) -> None:
    merged = merge([sweep(0), sweep(1)], tmp_path / "merged", planned=True)
    with pytest.raises(Faults, match="is a merge of s0, s1, and no driver goes on with it") as error:
        plan_file.resumed(tiny, merged / "plan.json", {})
    assert len(error.value.faults) == 1


def test_everything_that_refuses_a_merge_is_told_at_once(sweep: Sweep, tmp_path: Path) -> None:
    first, second = sweep(0, replicates=3), sweep(2, replicates=3, epochs=3, dataset="mnist", leave_out=2)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes").touch()
    faults = faults_of(first, second, out=tmp_path / "taken")
    both = f"{first}, {{}} in {second}: replicates of one sweep differ by their seeds alone."
    for said in (
        f"`--merge` writes into a new folder, but {tmp_path / 'taken'} is there and not empty",
        f"`dataset` is digits in {both.format('mnist')}",
        f"`epochs` is 4 in {both.format('3')}",
        f"Replicate seeds 2 are in both {first} and {second}",
        "`--seed 0` and `--seed 1` at R = 6 share five",
        f"{second} is not finished: of the 18 runs of the stage confirm, 2 have not ended (t00016, t00017)",
        f"`data_sha256` is images of di in {first}, images of mn in {second}: replicates are of the same",
        "`test_sha256` is test images",
    ):
        assert sum(said in fault for fault in faults) == 1, (said, faults)
    assert len(faults) == 7


def test_options_that_resolve_to_the_same_are_the_same(sweep: Sweep, tmp_path: Path) -> None:
    other = sweep(
        1, blocks=2, points=4, epochs=4, confirm="tuned", outcome="auc", data_root=str(tmp_path / "elsewhere")
    )
    assert plan_of(merge([sweep(0), other], tmp_path / "merged", planned=True))["replicates"] == 2


def test_another_design_is_refused(tiny: Design, sweep: Sweep, tmp_path: Path) -> None:
    changed = replace(tiny, fixed={**tiny.fixed, "batch_size": 16})
    other = swept(changed, tmp_path / "other", **TUNED, seed=1, replicates=1)
    (fault,) = faults_of(sweep(0), other)
    assert fault.startswith(f"Replicates are of one design, but it is tiny ({tiny.sha256[:12]}) in {tmp_path / 's0'}, ")


def test_plans_of_other_code_are_refused(sweep: Sweep) -> None:
    first, second = sweep(0), sweep(1)
    rewrite(second, contrasts=[])
    (fault,) = faults_of(first, second)
    assert fault.startswith("`contrasts` is ")
    assert fault.endswith("other code has planned it.")


def test_a_run_that_is_being_run_again_has_not_ended(sweep: Sweep) -> None:
    first, second = sweep(0), sweep(1)
    Store.open(second).write("curves", "tune", "t00003", 2, [{"epoch": 1, "val_auc": 0.5}])
    (fault,) = faults_of(first, second)
    assert "of the 12 runs of the stage tune, 1 have not ended (t00003)" in fault


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replicates": None}, "it is of an earlier form, without replicates"),
        ({"confirm": "best of search"}, "A folder holds one search"),
    ],
)
def test_sweeps_that_no_merge_can_hold_say_why(sweep: Sweep, changes: dict[str, Any], said: str) -> None:
    first, second = sweep(0), sweep(1)
    rewrite(second, **changes)
    (fault,) = faults_of(first, second)
    assert fault.startswith(f"{second}: ")
    assert said in fault


def test_a_plan_that_was_changed_and_folders_without_a_sweep_are_refused(sweep: Sweep, tmp_path: Path) -> None:
    first, second = sweep(0), sweep(1)
    plan_file.write(second / "plan.json", {**plan_of(second), "question": "?"})
    changed, nowhere = faults_of(first, second, tmp_path / "nowhere")
    assert "changed after it was frozen" in changed
    assert "nowhere` does not exist" in nowhere
    (fault,) = faults_of(first)
    assert "takes two sweeps or more" in fault


def test_a_disk_that_fails_leaves_nothing_behind(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [sweep(0), sweep(1)]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "compact", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match="No space left"):
        merge(folders, tmp_path / "merged", planned=True)
    assert sorted(tmp_path.iterdir()) == before
