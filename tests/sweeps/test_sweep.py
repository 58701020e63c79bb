"""A whole sweep through `main`, one actor after another's trials, and what a user finds in its folder."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from embedding_core import embed
from embedding_core.config.train_config import TrainConfig
from embedding_core.train import train
from sweeps.analysis.report.compose import compose
from sweeps.cli.main import main
from sweeps.design import Design, Factor, Levels
from sweeps.results import store

pytestmark = pytest.mark.ray

SAMPLES, REPLICATES, EPOCHS = 5, 2, 4
Curve = list[dict[str, Any]]


@dataclass(frozen=True)
class Swept:
    """A finished sweep."""

    design: Design
    argv: list[str]
    folder: Path
    printed: str

    def rows(self, table: str, stage: str | None = None) -> list[dict[str, Any]]:
        return store.read(self.folder, table, stage=stage).to_pylist()


@pytest.fixture(scope="module")
def design(tiny_design: Design) -> Design:
    """One learning rate works, the other diverges; the search begins with each cell and a divergence."""
    factors = tuple(
        Factor(name="lr", role="nuisance", domain=Levels((1e-3, 1e30))) if f.name == "lr" else f
        for f in tiny_design.factors
    )
    first = (
        {"koleo": False, "lr": 1e-3},
        {"koleo": True, "koleo_weight": 0.1, "lr": 1e-3},
        {"koleo": False, "lr": 1e30},
    )
    quick = replace(tiny_design.presets["quick"], first_trials=first)
    fixed = {**tiny_design.fixed, "views": "pca", "unseen_classes": 2, "probes": 2}
    return replace(tiny_design, factors=factors, presets={"quick": quick}, fixed=fixed)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, start_ray: Callable[..., None]) -> Path:
    start_ray(num_cpus=2)
    return tmp_path_factory.mktemp("results")


def sweep(design: Design, results: Path, name: str, *flags: str) -> Swept:
    """One trial at a time, so that one process serves all trials of a stage and TPE sees them in one order."""
    argv = f"--results {results} --name {name} --samples {SAMPLES} --replicates {REPLICATES} --max-concurrent 1".split()
    argv += flags
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert main(design, argv) == 0
    assert (results / "latest").resolve() == results / name
    return Swept(design, argv, results / name, printed.getvalue())


@pytest.fixture(scope="module")
def swept(design: Design, results: Path) -> Swept:
    return sweep(design, results, "first")


def test_held_out_results_are_stored_of_every_confirmation_and_views_of_first_blocks(swept: Swept) -> None:
    trials = {row["trial_id"]: row for row in swept.rows("trials", "confirm")}
    evaluations = swept.rows("evaluations", "confirm")
    for trial_id, trial in trials.items():
        own = [row for row in evaluations if row["trial_id"] == trial_id]
        assert {row["split"] for row in own} == {"val", "test", "unseen"}
        (auc,) = [row for row in own if (row["split"], row["metric"]) == ("test", "auc")]
        assert auc["value"] == trial["test_auc"]
        assert {row["k"] for row in own if row["metric"] == "probe_linear"} >= {30, 100}
    first_block = {trial_id for trial_id, trial in trials.items() if trial["block"] == 1}
    assert len(first_block) == 2 * REPLICATES
    for table in ("views", "embeddings"):
        assert {row["trial_id"] for row in swept.rows(table)} == first_block
    groups = swept.rows("eval_groups")
    assert {row["trial_id"] for row in groups if row["metric"] != "auc"} == first_block
    assert {row["trial_id"] for row in groups if row["metric"] == "auc"} == set(trials)
    assert not list(swept.folder.rglob("*.held_out"))  # in the store now


def test_every_trial_is_there_with_its_ending(swept: Swept) -> None:
    search, confirm = swept.rows("trials", "search"), swept.rows("trials", "confirm")
    assert [row["trial_id"] for row in search] == [f"t{i:05d}" for i in range(SAMPLES)]
    assert [row["trial_id"] for row in confirm] == [f"t{i:05d}" for i in range(REPLICATES * 2)]
    assert search[0]["end_reason"] == "completed"  # nobody was there to compare it with
    for row in search + confirm:
        expected = {
            "completed": row["last_epoch"] == EPOCHS and row["final_val_auc"] is not None,
            "asha_stopped": row["stop_rung"] == row["images_seen"] and row["final_val_auc"] < row["stop_cutoff"],
            "diverged": row["lr"] == 1e30 and row["final_val_auc"] is None,
            "collapsed": row["stage"] == "search",
        }
        assert expected[row["end_reason"]], row["end_reason"]
        assert row["censored"] == (row["end_reason"] == "asha_stopped")
    assert {row["end_reason"] for row in search if row["lr"] == 1e30} == {"diverged"}
    assert search[2]["lr"] == 1e30
    assert {row["end_reason"] for row in confirm} <= {"completed"}


def test_rungs_are_as_decided(swept: Swept) -> None:
    stopped = {row["trial_id"]: row for row in swept.rows("trials") if row["end_reason"] == "asha_stopped"}
    rungs = swept.rows("rungs", "search")
    assert {row["trial_id"] for row in rungs if row["decision"] == "stop"} == set(stopped)
    images = 3 * 96  # per epoch: three images a triplet
    assert {row["rung"] for row in rungs} <= {images, 2 * images}
    assert [row["rung"] for row in rungs if row["trial_id"] == "t00000"] == [images, 2 * images]


def test_what_ran_is_what_was_asked_for(swept: Swept) -> None:
    for row in swept.rows("trials"):
        assert row["config_seen_sha256"] == row["config_sha256"]
        assert swept.design.arm_of(json.loads(row["config_json"])).cell_id == row["cell_id"]


def test_the_test_split_is_read_in_the_confirmation_alone(swept: Swept) -> None:
    assert {row["test_auc"] for table in ("trials", "curves") for row in swept.rows(table, "search")} == {None}
    assert all(0.5 < row["test_auc"] <= 1 for row in swept.rows("trials", "confirm"))
    last = [row["epoch"] for row in swept.rows("curves", "confirm") if row["test_auc"] is not None]
    assert last == [EPOCHS] * (2 * REPLICATES)
    assert {row["stage"] for row in swept.rows("evaluations") if row["split"] == "test"} == {"confirm"}


def test_the_study_says_what_the_table_says(
    swept: Swept, study_states: Callable[[Path], dict[str, str]], state_of_ending: dict[str, str]
) -> None:
    expected = {row["trial_id"]: state_of_ending[row["end_reason"]] for row in swept.rows("trials", "search")}
    assert study_states(swept.folder) == expected


def test_curves_are_those_of_the_loop_called_directly(
    swept: Swept, loop_curve: Callable[..., Curve], stored_curve: Callable[..., Curve]
) -> None:
    """All trials of a stage but the first ran in a process that had served others."""
    for trial in swept.rows("trials"):
        assert trial["cpu_threads"] == 1
        assert stored_curve(swept.folder, trial["stage"], trial["trial_id"]) == loop_curve(trial)


def test_the_answer_is_printed_and_stored(swept: Swept) -> None:
    (contrast,) = [row for row in swept.rows("contrasts") if row["verdict"] is not None]
    assert (contrast["control"], contrast["treatment"], contrast["n"]) == ("koleo=off", "koleo=on", REPLICATES)
    by_cell = {(row["cell_id"], row["replicate"]): row["test_auc"] for row in swept.rows("trials", "confirm")}
    effects = [by_cell["koleo=on", r] - by_cell["koleo=off", r] for r in range(1, REPLICATES + 1)]
    assert contrast["estimate"] == pytest.approx(sum(effects) / REPLICATES, abs=1e-12)
    assert contrast["sentence"] in (swept.folder / "report.md").read_text()
    first = compose(swept.folder).first
    assert first is not None
    report = f"Report: {swept.folder / 'report.html'}"
    parts = [*first.answer, "Best configuration", " -m embedding_core.train ", report, "Next: "]
    places = [swept.printed.index(part) for part in parts]
    assert places == sorted(places)
    assert "--help" in swept.printed[places[-1] :]  # the preset's next command
    assert (swept.folder / "report.html").stat().st_size > 0


def test_the_best_model_embeds(swept: Swept, tmp_path: Path) -> None:
    completed = [row for row in swept.rows("trials", "search") if row["end_reason"] == "completed"]
    best = max(completed, key=lambda row: row["final_val_auc"])
    config = json.loads((swept.folder / "best" / "config.json").read_text())
    assert config == json.loads(best["config_json"])
    image = embed.Image.new("L", (8, 8), 100)
    image.save(tmp_path / "one.png")
    out = tmp_path / "embeddings.parquet"
    assert embed.main([str(swept.folder / "best" / "model.pt"), str(tmp_path / "one.png"), "--out", str(out)]) == 0
    (vector,) = pq.read_table(out)["embedding"].to_pylist()
    assert len(vector) == 16
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)


def test_checkpoints_stay_for_the_best_of_each_cell_and_for_confirmation(swept: Swept) -> None:
    completed = [row for row in swept.rows("trials", "search") if row["end_reason"] == "completed"]
    cells = {row["cell_id"] for row in completed}
    best = {
        max((r for r in completed if r["cell_id"] == c), key=lambda r: r["final_val_auc"])["trial_id"] for c in cells
    }
    checkpoints = swept.folder / "checkpoints"
    assert {path.name for path in (checkpoints / "search").iterdir()} == {f"{trial_id}.pt" for trial_id in best}
    assert {path.name for path in (checkpoints / "confirm").iterdir()} == {
        f"t{i:05d}.pt" for i in range(2 * REPLICATES)
    }


def test_nothing_temporary_is_left_and_every_split_is_stored(swept: Swept) -> None:
    assert not (swept.folder / "ray").exists()
    assert list((swept.folder / "_staging").iterdir()) == []
    splits = {path.stem: pq.read_table(path).to_pylist() for path in (swept.folder / "splits").iterdir()}
    assert {row["split_sha256"] for row in swept.rows("trials")} == set(splits)
    for rows in splits.values():
        assert sorted(row["index"] for row in rows) == list(range(1797))  # disjoint, and all of digits


def test_a_second_use_of_the_name_is_refused_and_changes_nothing(
    swept: Swept, tree: Callable[[Path], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(swept.folder)
    assert main(swept.design, swept.argv) == 2
    assert "already holds a sweep: continue it with `--resume`" in capsys.readouterr().err
    assert tree(swept.folder) == before


def test_a_resume_of_a_finished_sweep_runs_nothing(swept: Swept, tree: Callable[[Path], dict[str, str]]) -> None:
    tables = swept.folder / "v1"
    before, contrasts = tree(tables), swept.rows("contrasts")
    assert main(swept.design, [*swept.argv, "--resume"]) == 0
    assert tree(tables) == before
    assert swept.rows("contrasts") == contrasts


def test_the_same_command_searches_alike(swept: Swept, results: Path) -> None:
    """What the search proposes and stops; every curve is the loop's, whose runs repeat."""
    timing = ("elapsed_s", "train_s")
    again = sweep(swept.design, results, "second", "--stages", "search")
    for table in ("curves", "rungs"):
        first, second = (
            [{k: v for k, v in row.items() if k not in timing} for row in one.rows(table, "search")]
            for one in (swept, again)
        )
        assert first == second, table
    shas = [[row["config_sha256"] for row in one.rows("trials", "search")] for one in (swept, again)]
    assert shas[0] == shas[1]


def test_the_best_of_the_search_is_what_is_confirmed(tiny: Design, results: Path) -> None:
    # A single epoch has no rung, so that both cells complete some trial.
    argv = f"--results {results} --name tuned --preset tuned --epochs 1 --max-concurrent 1".split()
    first = ({"koleo": False, "lr": 1e-3}, {"koleo": True, "koleo_weight": 0.1, "lr": 1e-3})
    design = replace(tiny, presets={"tuned": replace(tiny.presets["tuned"], first_trials=first)})
    assert main(design, argv) == 0
    folder = results / "tuned"
    completed = [r for r in store.read(folder, "trials", stage="search").to_pylist() if r["end_reason"] == "completed"]
    plan = json.loads((folder / "plan.json").read_text())
    for cell in ("koleo=off", "koleo=on"):
        best = max((row for row in completed if row["cell_id"] == cell), key=lambda row: row["final_val_auc"])
        confirmed = [r for r in store.read(folder, "trials", stage="confirm").to_pylist() if r["cell_id"] == cell]
        assert len(confirmed) == 2
        for row in [*confirmed, plan["nuisance"][0][cell]]:
            assert (row["lr"], row["koleo_weight"]) == (best["lr"], best["koleo_weight"])
        assert {row["origin"] for row in confirmed} == {"best of search"}


def test_a_run_that_failed_is_told_and_run_again(
    tiny_design: Design, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's checkpoint where a run's own should be stands for what only a person can put right."""
    obstacle = results / "failing" / "checkpoints" / "confirm" / "t00001.pt"
    assert list(train(TrainConfig(subset=64, epochs=1), save_to=obstacle))
    line = ["--results", str(results), "--name", "failing", "--stages", "confirm", "--max-concurrent", "1"]
    assert main(tiny_design, line) == 1
    captured = capsys.readouterr()
    assert "Not estimated" in captured.out
    assert "1 trial ended as error: " in captured.err
    assert "is of another configuration" in captured.err
    assert "`--resume` runs it again." in captured.err
    before = {row["trial_id"]: row for row in store.read(results / "failing", "trials").to_pylist()}
    assert {row["end_reason"] for row in before.values()} == {"completed", "error"}

    obstacle.unlink()
    assert main(tiny_design, [*line, "--resume"]) == 0
    after = {row["trial_id"]: row for row in store.read(results / "failing", "trials").to_pylist()}
    assert {row["end_reason"] for row in after.values()} == {"completed"}
    assert {name: row for name, row in after.items() if name != "t00001"} == {
        name: row for name, row in before.items() if name != "t00001"
    }
    assert after["t00001"]["attempt"] == 2
    contrasts = store.read(results / "failing", "contrasts").to_pylist()
    assert [row["estimand"] for row in contrasts if row["verdict"] is not None] == ["koleo"]


def test_one_driver_at_a_time(tiny_design: Design, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results / "shared"
    folder.mkdir()
    with FileLock(folder / ".lock"):
        assert main(tiny_design, ["--results", str(results), "--name", "shared", "--stages", "confirm"]) == 2
    assert "Another process is running the sweep" in capsys.readouterr().err
    assert len(store.read(folder, "trials")) == 0
