"""A finished sweep goes on: with more trials or blocks, or with what a mended bug had ended."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeps.analysis import report
from sweeps.engine.cli import main
from sweeps.engine.design import Design
from sweeps.engine.plan_file import NAME
from sweeps.results import frozen, store

pytestmark = pytest.mark.ray

Curve = list[dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def _ray(start_ray: Callable[..., None]) -> None:
    start_ray(num_cpus=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def finished(tiny_design: Design, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four search trials and two blocks, extended by two trials, then by five blocks."""
    folder = tmp_path_factory.mktemp("results") / "longer"
    argv = ["--results", str(folder.parent), "--name", folder.name]
    assert main(tiny_design, argv) == 0
    (folder / "before.json").write_text((folder / NAME).read_text())
    assert main(tiny_design, [*argv, "--extend", "2"]) == 0
    assert main(tiny_design, [*argv, "--extend", "confirm=5"]) == 0
    return folder


def test_search_trials_are_added(
    finished: Path, study_states: Callable[[Path], dict[str, str]], state_of_ending: dict[str, str]
) -> None:
    trials = store.read(finished, "trials", stage="search").to_pylist()
    assert [row["trial_id"] for row in trials] == [f"t{i:05d}" for i in range(6)]
    assert {row["attempt"] for row in trials} == {1}
    assert study_states(finished) == {row["trial_id"]: state_of_ending[row["end_reason"]] for row in trials}


def test_blocks_are_added_and_the_first_ones_stay(finished: Path) -> None:
    trials = store.read(finished, "trials", stage="confirm").to_pylist()
    assert Counter(row["block"] for row in trials) == dict.fromkeys(range(1, 8), 2)
    assert {row["attempt"] for row in trials} == {1}
    settings = {(row["cell_id"], row["lr"], row["koleo_weight"]) for row in trials}
    assert len(settings) == 2  # one per cell, whatever the search found since


def test_the_plan_says_what_it_was(finished: Path) -> None:
    before, after = (json.loads((finished / name).read_text()) for name in ("before.json", NAME))
    assert (after["samples"], after["blocks"]) == (6, 7)
    assert after["nuisance"] == before["nuisance"]
    assert [(old["samples"], old["blocks"]) for old in after["extended"]] == [(4, 2), (6, 2)]
    assert after["extended"][0]["sha256"] == before["sha256"]
    assert frozen.fault_of(after) is None
    trials = store.read(finished, "trials", stage="confirm").to_pylist()
    assert {row["plan_sha256"] for row in trials if row["block"] <= 2} == {before["sha256"]}
    assert {row["plan_sha256"] for row in trials if row["block"] > 2} == {after["sha256"]}


def test_the_report_says_that_blocks_were_added(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    assert "(7 blocks" in report.compose(finished).verdicts[0]
    assert "Blocks 3 to 7 were added after the first 2 could be looked at." in text
    assert "2 search trials were added after the confirmation had begun" in text


def test_what_the_sweep_does_not_have_is_not_extended(
    tiny: Design, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--results", str(finished.parent), "--name", "search_only", "--stages", "search", "--samples", "2"]
    assert main(tiny, argv) == 0
    capsys.readouterr()
    assert main(tiny, [*argv[:4], "--extend", "confirm=2"]) == 2
    assert "This sweep has no confirm to extend (search); it could have `--extend search=N`." in capsys.readouterr().err
    assert main(tiny, ["--results", str(finished.parent), "--name", "lonely", "--extend", "2"]) == 2
