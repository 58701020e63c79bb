"""A finished sweep goes on: with more trials or blocks, or with what a mended bug had ended."""

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.storage.result_tables import Row
from sweeps.analysis import effects
from sweeps.cli.main import main
from sweeps.design import Design, plan_file
from sweeps.design.plan import Plan
from sweeps.design.plan_file import NAME
from sweeps.engine import runner
from sweeps.engine.machines.resources import Slots
from sweeps.engine.sweep import Sweep
from sweeps.results import frozen, store
from sweeps.results.store import Store
from trainables.embedding import EmbeddingTrainable

pytestmark = pytest.mark.ray

Curve = list[dict[str, Any]]

ONE = ("--max-concurrent", "1")
"""A process of a trial that starts costs more than what it trains."""


class Buggy(EmbeddingTrainable):
    """Trains without KoLeo at an absurd rate as long as the bug is there."""

    def _start(self) -> Iterator[Row]:
        if self.config["koleo"] is False and (Path(self.config["checkpoint_dir"]).parent / "bug").exists():
            self.config["lr"] = 1e30
        return super()._start()


@pytest.fixture(scope="module", autouse=True)
def _ray(start_ray: Callable[..., None]) -> None:
    start_ray(num_cpus=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def finished(tiny_design: Design, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four search trials and two replicates, extended by two trials, then by five replicates."""
    folder = tmp_path_factory.mktemp("results") / "longer"
    argv = ["--results", str(folder.parent), "--name", folder.name, *ONE]
    assert main(tiny_design, argv) == 0
    (folder / "before.json").write_text((folder / NAME).read_text())
    assert main(tiny_design, [*argv, "--extend", "2"]) == 0
    assert main(tiny_design, [*argv, "--extend", "replicates=5"]) == 0
    return folder


def test_search_trials_are_added(
    finished: Path, study_states: Callable[[Path], dict[str, str]], state_of_ending: dict[str, str]
) -> None:
    trials = store.read(finished, "trials", stage="search").to_pylist()
    assert [row["trial_id"] for row in trials] == [f"t{i:05d}" for i in range(6)]
    assert {row["attempt"] for row in trials} == {1}
    assert study_states(finished) == {row["trial_id"]: state_of_ending[row["end_reason"]] for row in trials}


def test_replicates_are_added_and_the_first_ones_stay(finished: Path) -> None:
    trials = store.read(finished, "trials", stage="confirm").to_pylist()
    assert Counter(row["replicate"] for row in trials) == dict.fromkeys(range(1, 8), 2)
    assert {(row["replicate"], row["seed"]) for row in trials} == {(r, (r - 1) * 1000 + 1) for r in range(1, 8)}
    assert {row["attempt"] for row in trials} == {1}
    settings = {(row["cell_id"], row["lr"], row["koleo_weight"]) for row in trials}
    assert len(settings) == 2  # one per cell, whatever the search found since


def test_the_plan_says_what_it_was(finished: Path) -> None:
    before, after = (json.loads((finished / name).read_text()) for name in ("before.json", NAME))
    assert (after["samples"], after["replicates"]) == (6, 7)
    assert after["nuisance"][:2] == before["nuisance"]
    assert [(old["samples"], old["replicates"]) for old in after["extended"]] == [(4, 2), (6, 2)]
    assert after["extended"][0]["sha256"] == before["sha256"]
    assert frozen.fault_of(after) is None
    trials = store.read(finished, "trials", stage="confirm").to_pylist()
    assert {row["plan_sha256"] for row in trials if row["replicate"] <= 2} == {before["sha256"]}
    assert {row["plan_sha256"] for row in trials if row["replicate"] > 2} == {after["sha256"]}


def test_the_report_says_that_replicates_were_added_and_why_its_interval_is_wider(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    effect = effects(finished).iloc[0]
    assert (effect["n"], bool(effect["anytime"])) == (7, True)
    assert "Replicates 3 to 7 were added after the first 2 could be looked at" in text
    assert "2 search trials were added after the confirmation had begun" in text


def test_what_the_sweep_does_not_have_is_not_extended(
    tiny: Design, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--results", str(finished.parent), "--name", "search_only", "--stages", "search", "--samples", "2"]
    assert main(tiny, [*argv, *ONE]) == 0
    capsys.readouterr()
    assert main(tiny, [*argv[:4], "--extend", "confirm=2"]) == 2
    assert (
        "This sweep has no confirm to extend (search; 2 replicates); it could have `--extend search=N`."
        in capsys.readouterr().err
    )
    assert main(tiny, ["--results", str(finished.parent), "--name", "lonely", "--extend", "2"]) == 2


def test_what_a_bug_made_diverge_is_run_again_once_it_is_mended(
    tiny: Design,
    tmp_path: Path,
    loop_curve: Callable[[dict[str, Any]], Curve],
    stored_curve: Callable[[Path, str, str], Curve],
) -> None:
    folder = tmp_path / "mended"
    plan = Plan.of(tiny, {"stages": "confirm"})
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    store_of = Store.create(folder)
    plan_file.write(folder / NAME, plan_file.content_of(plan, folder.name))
    (folder / "bug").touch()

    def run(**options: Any) -> list[dict[str, Any]]:
        sweep = Sweep(plan, folder, store_of, data, Slots(1, 0, most=1), Console(file=io.StringIO()), Buggy, **options)
        assert runner.run(sweep)
        return store.read(folder, "trials").to_pylist()

    endings = {row["trial_id"]: (row["cell_id"], row["end_reason"]) for row in run()}
    assert Counter(endings.values()) == {("koleo=off", "diverged"): 2, ("koleo=on", "completed"): 2}
    (folder / "bug").unlink()
    assert {row["attempt"] for row in run()} == {1}  # divergence is an outcome: nothing is run again unasked
    for row in run(retry=("diverged",)):
        assert row["end_reason"] == "completed"
        assert row["attempt"] == (2 if endings[row["trial_id"]][1] == "diverged" else 1)
        assert stored_curve(folder, "confirm", row["trial_id"]) == loop_curve(row)
    assert len(store.read(folder, "trials", attempts="all")) == 6
