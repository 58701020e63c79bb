"""Two sweeps that were really run, each with a seed, merged: the sweep of two replicates."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from sweeps.design import Design, plan_file
from sweeps.design.merge import merge
from sweeps.design.plan import Plan
from sweeps.engine import runner
from sweeps.engine.machines.resources import Slots
from sweeps.engine.sweep import Sweep
from sweeps.results import store
from sweeps.results.store import Store
from tests.sweeps.invented_runs import unlike

pytestmark = pytest.mark.ray


def test_seeds_merged_are_the_sweep_of_as_many_replicates(
    tiny: Design, tmp_path: Path, start_ray: Callable[..., None]
) -> None:
    """With settings that TPE proposes and ASHA's decisions, views and embeddings."""
    start_ray(num_cpus=2)

    def run(seed: int, replicates: int) -> Path:
        folder = tmp_path / f"s{seed}r{replicates}"
        what = {
            "preset": "designed",
            "stages": "tune,confirm",
            "points": 2,
            "blocks": 1,
            "accum_steps": 1,
            "views": "pca",
            "seed": seed,
        }
        plan, results = Plan.of(tiny, {**what, "replicates": replicates}), Store.create(folder)
        plan_file.write(folder / plan_file.NAME, plan_file.content_of(plan, folder.name))
        data = DeviceData.load(TrainConfig(), torch.device("cpu"))
        assert runner.run(Sweep(plan, folder, results, data, Slots(1, 0, most=1), Console(file=io.StringIO())))
        return folder

    one, parts = run(0, 2), [run(1, 1), run(0, 1)]
    merged = merge(parts, tmp_path / "merged", planned=True)
    assert unlike(one, merged) == []
    assert {row["origin"] for row in store.read(one, "trials", stage="tune").to_pylist()} == {"designed", "sampled"}
    splits = [{path.name for path in (folder / "splits").iterdir()} for folder in (one, merged)]
    assert splits[0] == splits[1]
    assert len(splits[0]) == 2
