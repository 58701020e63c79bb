"""A sweep from Python: the same flags, the same faults, and what it left as frames and paths."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps import SweepResult, run
from sweeps.analysis import compare, effects, trials
from sweeps.cli.command_lines import arguments_of
from sweeps.cli.options import parse
from sweeps.design import Design
from sweeps.koleo_accum import DESIGN
from tests.sweeps.analysis.invented.factorial import factorial_sweep

ROOT = Path(__file__).parents[3]


def test_options_are_those_of_the_command_line(tmp_path: Path) -> None:
    given = {"preset": "minimal", "replicates": 6, "time_budget": "2h", "resume": True, "results": tmp_path,
             "name": None, "local": False, "stages": ("tune", "confirm"),
             "set": {"head": "mlp", "train_last_layer": False, "freeze_epochs": 0}}  # fmt: skip
    assert arguments_of(given) == [
        "--preset", "minimal", "--replicates", "6", "--time-budget", "2h", "--resume", "--results", str(tmp_path),
        "--stages", "tune,confirm", "--set", "head=mlp", "--set", "train_last_layer=false", "--set", "freeze_epochs=0",
    ]  # fmt: skip
    options = parse(DESIGN, arguments_of(given))
    assert options.what["train_last_layer"] is False
    assert options.time_budget_s == 7200


def test_all_faults_come_at_once_as_an_exception_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Faults) as caught:
        run(DESIGN, preset="quik", replicats=6, results=tmp_path / "results")
    text = str(caught.value)
    assert "quick" in text
    assert "--replicates" in text
    assert not (tmp_path / "results").exists()
    with pytest.raises(Faults, match="would run nothing"):
        run(DESIGN, plan=True)


@pytest.mark.slow
def test_folders_are_compared_and_all_that_cannot_be_are_named(folders: tuple[Path, Path]) -> None:
    one, other = folders
    frame = compare(one, other)
    assert list(frame["sweep"]) == ["one"] * 4 + ["other"] * 4
    assert set(frame["family"]) == {"primary"}
    expected = effects(other)
    assert list(frame["estimate"][4:]) == list(expected[expected["family"] == "primary"]["estimate"])
    with pytest.raises(Faults) as caught:
        compare(one, one.parent / "no", one.parent / "nor")
    assert len(caught.value.faults) == 2


@pytest.mark.slow
def test_a_result_shows_its_answer_in_a_notebook(folders: tuple[Path, Path]) -> None:
    result = SweepResult(folders[0])
    page = result._repr_html_()
    assert result.answer()[0] in page
    assert "<svg" in page
    assert len(result.trials(stage="confirm")) == len(trials(result.folder, stage="confirm"))
    with pytest.raises(Faults, match="has no model yet"):
        result.best()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of two sweeps, `one` and `other`, which are only read."""
    results = tmp_path_factory.mktemp("results")
    one, other = (
        factorial_sweep(replicates=4, seed=seed).write(results / name) for name, seed in (("one", 0), ("other", 9))
    )
    return one, other


@pytest.mark.ray
def test_a_sweep_is_run_watched_and_read(tiny_design: Design, tmp_path: Path, start_ray: Callable[..., None]) -> None:
    start_ray(num_cpus=2)
    seen: list[dict[str, Any]] = []
    result = run(tiny_design, results=tmp_path, name="door", blocks=2, max_concurrent=1, on_row=seen.append, quiet=True)
    assert result.complete
    assert result.folder == tmp_path / "door"
    curves = result.curves()
    assert len(seen) == len(curves) > 0
    assert {row["trial_id"] for row in seen} == set(curves["trial_id"])
    assert set(result.trials()["end_reason"]) <= {"completed", "asha_stopped"}
    assert result.best().exists()
    assert result.report() == tmp_path / "door" / "report.html"
    assert not result.effects().empty


@pytest.mark.ray
def test_the_notebook_runs(tmp_path: Path) -> None:
    """Its cells one after another in a fresh interpreter, as a kernel runs them."""
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "results" / "notebook" / "report.html").exists()
