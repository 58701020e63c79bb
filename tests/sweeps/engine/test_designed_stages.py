"""What the runs of the designed stages are called: by their place in the list, whatever has been run of it."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.design.runs import Run, confirm_runs, tune_runs
from sweeps.engine.designed_stages import labels_of
from sweeps.engine.machines.resources import Slots
from sweeps.engine.sweep import Sweep
from sweeps.results.store import Store


@pytest.fixture
def sweep(tmp_path: Path, tiny: Design) -> Sweep:
    plan = Plan.of(tiny, {"preset": "designed"})
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    folder = tmp_path / "designed"
    console = Console(file=io.StringIO())
    return Sweep(
        plan, folder, Store.create(folder), data, Slots(1, 0), console, epoch_deadline_s=60.0, save_every_s=5.0
    )


def runs_of(sweep: Sweep, stage: str) -> list[Run]:
    untuned = [{cell.cell_id: cell.drop_in for cell in sweep.plan.cells}] * sweep.plan.replicates
    return tune_runs(sweep.plan) if stage == "tune" else confirm_runs(sweep.plan, untuned)


@pytest.mark.parametrize("stage", ["tune", "confirm"])
def test_labels_say_what_and_where(sweep: Sweep, stage: str) -> None:
    runs = runs_of(sweep, stage)
    labels = labels_of(sweep, stage, runs, {"t00001": 2})
    assert len(runs) == sweep.planned(stage)
    assert [label.trial_id for label in labels] == [f"t{number:05d}" for number in range(len(runs))]
    assert [label.attempt for label in labels[:3]] == [1, 3, 1]
    for run, label in zip(runs, labels, strict=True):
        assert (label.cell_id, label.block, label.origin, label.point) == (
            run.cell_id, run.block, run.origin, run.point
        )  # fmt: skip
        assert (label.replicate, label.master_seed) == (run.replicate, run.replicate - 1)
        assert (label.study_id, label.stage) == ("designed", stage)
        assert label.checkpoint_dir == str(sweep.folder / "checkpoints")
        assert (label.epoch_deadline_s, label.save_every_s) == (60.0, 5.0)
