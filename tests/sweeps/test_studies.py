"""The studies' scripts, from `--plan` to the report, and one that somebody else might write."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps import mining_curriculum, semi_hard_phases, simclr
from sweeps.analysis.published import study2, study3, study4
from sweeps.analysis.published.study import Settings
from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.results import store

ROOT = Path(__file__).parents[2]
DESIGNS = {module.DESIGN.name: module.DESIGN for module in (mining_curriculum, semi_hard_phases, simclr)}
PRESETS = [(design, preset) for design in DESIGNS.values() for preset in design.presets]


@pytest.mark.parametrize(("design", "preset"), PRESETS, ids=lambda value: getattr(value, "name", value))
def test_every_cell_of_every_preset_is_a_configuration_that_differs_from_the_others(
    design: Design, preset: str
) -> None:
    plan = Plan.of(design, {"preset": preset})
    configs = [TrainConfig.from_flat({**plan.base, **cell.drop_in, **cell.settings}) for cell in plan.cells]
    assert len({config.sha256 for config in configs}) == len(configs) >= 2
    assert any(contrast.family == "primary" for contrast in plan.contrasts())


GOES_WITH = {
    "optimizer": {"schedule", "warmup_epochs", "momentum", "lr"},
    "freeze_epochs": {"unfrozen_lr"},
    "loss": {"margin"},
}
"""Level -> settings that mean nothing without it, or something else."""


@pytest.mark.parametrize(("design", "preset"), PRESETS, ids=lambda value: getattr(value, "name", value))
def test_the_sides_of_a_contrast_differ_in_what_it_is_about_alone(design: Design, preset: str) -> None:
    plan = Plan.of(design, {"preset": preset})
    cells = {cell.cell_id: cell for cell in plan.cells}
    for contrast in plan.contrasts():
        own = [cells[cell] for cell in contrast.weights]
        flats = [TrainConfig.from_flat({**plan.base, **cell.drop_in, **cell.settings}).to_flat() for cell in own]
        levels = {name for cell in own for name in cell.levels}
        differing = {name for name in flats[0] if len({repr(flat[name]) for flat in flats}) > 1}
        assert differing <= levels.union(*(GOES_WITH.get(name, set()) for name in levels)), contrast.estimand


def test_arcface_has_its_published_margin_in_every_preset() -> None:
    plans = [Plan.of(design, {"preset": preset}) for design, preset in PRESETS]
    margins = [{**plan.base, **cell.settings}["margin"] for plan in plans for cell in plan.cells
               if cell.settings.get("loss") == "arcface"]  # fmt: skip
    assert len(margins) >= 4
    assert set(margins) == {0.5}


@pytest.mark.parametrize(
    ("design", "preset", "published", "but"),
    [
        (mining_curriculum.DESIGN, "study2", study2.STUDY.settings, {"dataset"}),  # theirs is private
        (semi_hard_phases.DESIGN, "study3", study3.STUDY.settings, set()),
        (simclr.DESIGN, "alexnet", study4.STUDY.settings, {"epochs"}),  # theirs is not said
        (simclr.DESIGN, "resnet50", study4.STUDY.settings, set()),
    ],
)
def test_presets_of_published_networks_are_as_published(
    design: Design, preset: str, published: Settings, but: set[str]
) -> None:
    """What its cells compare or tune apart: some cell has the study's, or a rate in the range is."""
    plan = Plan.of(design, {"preset": preset})
    cells = [TrainConfig.from_flat({**plan.base, **cell.drop_in, **cell.settings}).to_flat() for cell in plan.cells]
    tuned = {factor.name for factor in plan.nuisances}
    for name in set(published) - but - tuned:
        assert {repr(flat[name]) for flat in cells} & {repr(value) for value in published[name]}, name


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_plan_tells_the_cost_and_runs_nothing(
    design: Design, given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(design, ["--plan", "--results", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"confirm: +\d+ trials, at most [\d,]+ images", told)
    assert all(re.search(rf"^{what}: ", told, re.MULTILINE) for what in ("time", "memory", "disk"))
    assert not list(tmp_path.iterdir())


ONE = ("--max-concurrent", "1")
"""A process of a trial that starts costs more than what it trains."""


@pytest.mark.ray
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_quick(design: Design, tmp_path: Path, start_ray: Callable[..., None]) -> None:
    """All runs complete, what ran is what the label says, and the first questions have an answer each."""
    start_ray(num_cpus=2)
    short = ("--replicates", "4", "--epochs", "4", "--train-triplets", "256")
    assert main(design, ["--results", str(tmp_path), "--name", "quick", *short, *ONE]) == 0
    trials = store.read(tmp_path / "quick", "trials")
    plan = Plan.of(design, {"replicates": 4})  # the fewest that get a verdict
    assert trials.num_rows == len(plan.cells) * plan.replicates * plan.blocks
    assert set(pc.unique(trials["end_reason"]).to_pylist()) == {"completed"}
    report = (tmp_path / "quick" / "report.md").read_text()
    assert "Not estimated" not in report
    contrasts = store.read(tmp_path / "quick", "contrasts").to_pylist()
    final = {row["estimand"]: row for row in contrasts if row["epoch"] is None and row["family"] == "primary"}
    for contrast in plan.contrasts():
        if contrast.family == "primary":
            assert final[contrast.estimand]["metric"] == contrast.outcome
            assert f"| {final[contrast.estimand]['label']} |" in report
            assert final[contrast.estimand]["verdict"] != "pilot"


@pytest.mark.ray
def test_a_study_of_ones_own_is_one_file_anywhere(tmp_path: Path) -> None:
    """The script in CONTRIBUTING.md, as it stands there."""
    script = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert script is not None
    (tmp_path / "wider.py").write_text(script[1])
    command = [sys.executable, "wider.py", "--local", "--epochs", "1", "--name", "mine", *ONE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    trials = store.read(tmp_path / "results" / "mine", "trials")
    assert sorted(pc.unique(trials["cell_id"]).to_pylist()) == ["embedding_dim=128", "embedding_dim=16"]
    assert trials.num_rows == 14
    assert "128 dimensions (against 16)" in done.stdout
