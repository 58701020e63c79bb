"""Where a sweep keeps its checkpoints, and what a resume asks of the place."""

import io
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.engine.machines.resources import Slots
from sweeps.engine.records import checkpoint_location
from sweeps.engine.sweep import Sweep
from sweeps.results.store import Store
from trainables.checkpoint_store import MARKER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def test_a_resume_does_not_take_a_mount_point_for_its_share(folder: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    there = checkpoint_location.settled(folder, str(share), resume=False)
    checkpoint_location.remember(folder, there)
    assert there == str(share / "kept") == checkpoint_location.settled(folder, None, resume=True)
    share.rename(tmp_path / "unmounted")
    for mount_point in (False, True):
        if mount_point:
            share.mkdir()
        with pytest.raises(Faults, match="not mounted here, or the checkpoints are gone"):
            checkpoint_location.settled(folder, None, resume=True)
        assert share.exists() == mount_point
    assert list(share.iterdir()) == []
    (share / "kept").mkdir()
    (share / "kept" / MARKER).touch()  # what the message says
    assert checkpoint_location.settled(folder, str(share), resume=True) == there


def test_a_sweep_goes_on_without_the_checkpoints_deleted_in_its_own_folder(folder: Path, tiny: Design) -> None:
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    plan = Plan.of(tiny, {"stages": "confirm"})
    sweep = Sweep(plan, folder, Store.create(folder), data, Slots(1, 0), Console(file=io.StringIO()))
    assert checkpoint_location.settled(folder, None, resume=True) == ""
    sweep.checkpoint_store()
    shutil.rmtree(sweep.checkpoint_dir)
    assert sweep.checkpoint_store().is_empty()
