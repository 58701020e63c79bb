"""Trials share a GPU: Ray counts a logical one, so this needs none."""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from sweeps.cli.options import parse
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.engine.machines.cluster import connect
from sweeps.engine.machines.resources import Request, Slots, slots
from sweeps.engine.runner import run
from sweeps.engine.search.optuna_study import CONSTRAINT
from sweeps.engine.sweep import Sweep
from sweeps.results.store import Store, read
from trainables.embedding import EmbeddingTrainable

pytestmark = pytest.mark.ray

PATIENCE_S = 240.0
"""Processes of trials start one after the other on a small machine."""


class RoomForFive(Slots):
    """Five may be tried at once, so that nothing but the shares of the GPU holds the fifth back."""

    def room(self) -> int:
        return 5


class Witness(EmbeddingTrainable):
    """Says in files when it begins, waits for three others, and notes how many it saw begin and end."""

    def step(self) -> dict[str, Any]:
        folder = Path(self.config["checkpoint_dir"]).parent / "seen"
        folder.mkdir(exist_ok=True)
        note = folder / f"{self.config['trial_id']}.json"
        if not note.exists():
            note.write_text("")
            deadline = time.monotonic() + PATIENCE_S
            while len(list(folder.glob("*.json"))) < 4 and time.monotonic() < deadline:
                time.sleep(0.05)
            seen = {"begun": len(list(folder.glob("*.json"))), "ended": len(list(folder.glob("*.end")))}
            # The others must not end, and make room for a fifth, before this one has counted.
            note.write_text(json.dumps(seen | {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}))
            while any(not other.read_text() for other in folder.glob("*.json")) and time.monotonic() < deadline:
                time.sleep(0.05)
        row = super().step()
        if row["done"]:
            note.with_suffix(".end").touch()
        return row


@pytest.fixture(scope="module", autouse=True)
def _ray(start_ray: Callable[..., None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # Ray counts none where all are hidden
        start_ray(num_cpus=8, num_gpus=1)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


def test_a_ray_that_is_up_is_used_as_it_is(tiny: Design) -> None:
    session = ray.get_runtime_context().get_job_id()
    assert connect(parse(tiny, []).where) is None
    assert ray.get_runtime_context().get_job_id() == session


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", (Slots(1, 0.25), 4)),  # the default share
        ("--gpus-per-trial .25", (Slots(1, 0.25), 4)),
        ("--gpus-per-trial .2", (Slots(1, 0.2), 5)),
        ("--gpus-per-trial .1", (Slots(1, 0.1), 8)),  # eight CPUs
        ("--gpus-per-trial .3", (Slots(1, 0.3), 3)),
        ("--gpus-per-trial 1", (Slots(1, 1), 1)),
        ("--gpus-per-trial 0", (Slots(1, 0), 8)),
        ("--cpus-per-trial 4", (Slots(4, 0.25), 2)),
        ("--cpus-per-trial .5 --gpus-per-trial 0", (Slots(0.5, 0), 16)),
        ("--max-concurrent 3", (Slots(1, 0.25, most=3), 3)),
        ("--max-concurrent 100", (Slots(1, 0.25, most=100), 4)),
    ],
)
def test_how_many_trials_fit(tiny: Design, flags: str, expected: tuple[Slots, int]) -> None:
    found = slots(parse(tiny, flags.split()).request, joined=False)
    assert (found, found.room()) == expected


def test_a_trial_larger_than_what_is_up_is_refused(tiny: Design) -> None:
    with pytest.raises(Faults) as caught:
        slots(Request(gpus=2, cpus=9), joined=False)
    assert caught.value.faults == (
        "`--gpus-per-trial` must be at most the 1 GPU of a node, but got 2.",
        "`--cpus-per-trial` must be at most the 8 CPUs of a node, but got 9.",
    )


def test_four_trials_share_a_gpu_and_a_fifth_waits(tiny: Design, tmp_path: Path) -> None:
    plan = Plan.of(tiny, {"stages": "search", "samples": 5, "epochs": 1, "device": "cpu"})
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    folder = tmp_path / "packed"
    share = RoomForFive(cpus=1, gpus=0.25)
    sweep = Sweep(plan, folder, Store.create(folder), data, share, Console(file=io.StringIO()), Witness)
    assert run(sweep)
    seen = [json.loads(note.read_text()) for note in sorted((folder / "seen").glob("*.json"))]
    assert sorted(one["begun"] for one in seen) == [4, 4, 4, 4, 5]
    assert [one["ended"] >= 1 for one in seen] == [one["begun"] == 5 for one in seen]
    assert {one["gpus"] for one in seen} == {"0"}
    trials = read(folder, "trials").to_pylist()
    assert [(row["end_reason"], row["gpu_share"]) for row in trials] == [("completed", 0.25)] * 5
    assert all(row["gpu_s"] == pytest.approx(row["wall_s"] / 4) for row in trials)


class NeedsMoreThanItsShare(EmbeddingTrainable):
    """One trial fits on a whole GPU alone, another on none; both say so as torch does."""

    def _start(self) -> Iterator[Row]:
        resources = self.trial_resources
        assert resources is not None
        if (self.config["trial_id"], resources.required_resources["GPU"]) in TOO_SMALL:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super()._start()


TOO_SMALL = {("t00001", 0.25), ("t00002", 0.25), ("t00002", 1.0)}


def test_what_its_share_is_too_small_for_is_tried_on_a_whole_gpu_before_it_is_judged(
    tiny: Design, tmp_path: Path
) -> None:
    """Which trials are beside it is no property of its settings, which the sampler would learn to keep away from."""
    plan = Plan.of(tiny, {"stages": "search", "samples": 4, "epochs": 1, "device": "cpu"})
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    folder = tmp_path / "short"
    slots, told = Slots(cpus=1, gpus=0.25, most=1), Console(file=io.StringIO())
    assert run(Sweep(plan, folder, Store.create(folder), data, slots, told, NeedsMoreThanItsShare))
    final = {row["trial_id"]: row for row in read(folder, "trials").to_pylist()}
    assert (final["t00001"]["end_reason"], final["t00001"]["gpu_share"]) == ("completed", 1.0)
    assert (final["t00002"]["end_reason"], final["t00002"]["gpu_share"]) == ("oom", 1.0)
    every = read(folder, "trials", attempts="all").to_pylist()
    tried = sorted((row["trial_id"], row["end_reason"]) for row in every if row["gpu_share"] == 0.25)
    assert [pair for pair in tried if pair[0] in ("t00001", "t00002")] == [
        ("t00001", "oom_shared"), ("t00002", "oom_shared")
    ]  # fmt: skip
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'optuna.db'}")
    first, retried = study.get_trials()[:4], study.get_trials()[4:]
    assert [trial.state.name for trial in first[1:3]] == ["FAIL", "FAIL"], "nothing learnt from either"
    assert not any(trial.constraints.get(CONSTRAINT) for trial in first)
    assert [trial.state.name for trial in retried] == ["COMPLETE", "PRUNED"]
    assert retried[1].constraints == {CONSTRAINT: 1.0}
