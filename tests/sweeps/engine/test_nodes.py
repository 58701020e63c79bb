"""Nodes that are lost, preempted or out of memory: their trials go on elsewhere, with the rows of a calm run."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.storage.result_tables import Row
from sweeps.design import Design, plan_file
from sweeps.design.plan import Plan
from sweeps.engine import runner, tuner
from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT, TRIAL_ENVIRONMENT
from sweeps.engine.machines.error_watch import EQUAL_ERRORS
from sweeps.engine.machines.resources import Slots
from sweeps.engine.sweep import Sweep
from sweeps.results.store import Store, read
from trainables.embedding import EmbeddingTrainable

pytestmark = pytest.mark.ray

PATIENCE_S = 300.0
EPOCHS = 2
ALL = {f"t{i:05d}" for i in range(4)}
GIB = 2**30

Curve = list[dict[str, Any]]


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain for {what}."
        time.sleep(0.02)


def available() -> int:
    """Bytes of memory that this machine could still give."""
    facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(facts["MemAvailable"].split()[0]) * 1024


class Stays(EmbeddingTrainable):
    """The first trial stays in its second epoch until its node is gone, or takes all the memory that it may."""

    notes = ""
    greedy = False

    def _start(self) -> Iterator[Row]:
        return self._stay(super()._start())

    def _stay(self, rows: Iterator[Row]) -> Iterator[Row]:
        begun = Path(self.notes) / "begun"
        taken = []
        for row in rows:
            if self.config["trial_id"] == "t00000" and row["epoch"] == 2 and not begun.exists():
                begun.with_suffix(".part").write_text(ray.get_runtime_context().get_node_id())
                begun.with_suffix(".part").rename(begun)
                while self.greedy and available() > 2 * GIB:
                    taken.append(b"x" * (GIB // 8))
                    time.sleep(0.02)  # the monitor looks often
                time.sleep(10 * PATIENCE_S)
            yield row


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials; each test adds the nodes it needs and removes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in DRIVER_ENVIRONMENT.items():
            patch.setenv(name, value)
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        ray.init(
            address=started.address, log_to_driver=False, logging_level="ERROR",
            runtime_env={"env_vars": TRIAL_ENVIRONMENT},
        )  # fmt: skip
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield started
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def run(cluster: Cluster, tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`run(retries, act)` -> folder of a sweep of four runs, one at a time, with `act` beside it."""

    def go(retries: int, act: Callable[[], None]) -> Path:
        monkeypatch.setattr(tuner, "RETRIES", retries)
        monkeypatch.setattr(Stays, "notes", str(tmp_path))
        plan = Plan.of(tiny, {"stages": "confirm", "replicates": 1, "blocks": 2, "epochs": EPOCHS})
        data = DeviceData.load(TrainConfig(), torch.device("cpu"))
        folder = tmp_path / "sweep"
        store = Store.create(folder)
        plan_file.write(folder / "plan.json", plan_file.content_of(plan, folder.name))
        with ThreadPoolExecutor(1) as beside:
            acted = beside.submit(act)
            sweep = Sweep(plan, folder, store, data, Slots(1, 0, most=1), Console(file=io.StringIO()), Stays)
            assert runner.run(sweep)
            acted.result(PATIENCE_S)
        return folder

    return go


@pytest.fixture
def two_nodes(cluster: Cluster, tmp_path: Path) -> Callable[[], Any]:
    """`two_nodes()` waits for the trial and returns its node; another is there to go on with."""
    while len(workers(cluster)) < 2:
        cluster.add_node(num_cpus=1)

    def of_the_trial() -> Any:
        wait_for("a trial at work", (tmp_path / "begun").exists)
        return next(node for node in workers(cluster) if node.node_id == (tmp_path / "begun").read_text())

    return of_the_trial


def workers(cluster: Cluster) -> list[Any]:
    return [node for node in cluster.list_all_nodes() if node is not cluster.head_node]


@pytest.fixture
def check_calm(
    loop_curve: Callable[..., Curve], stored_curve: Callable[..., Curve]
) -> Callable[[Path, dict[str, str]], None]:
    """`check_calm(folder, endings)`: each trial ended once and so; every row is the loop's, once."""

    def check(folder: Path, endings: dict[str, str]) -> None:
        trials = read(folder, "trials", attempts="all").to_pylist()
        assert {row["trial_id"]: row["end_reason"] for row in trials} == endings
        assert len(trials) == len(endings)
        for row in trials:
            assert (row["last_epoch"] == EPOCHS) == (row["end_reason"] == "completed")
            assert stored_curve(folder, "confirm", row["trial_id"]) == loop_curve(row)

    return check


def test_a_trial_whose_node_is_preempted_goes_on_elsewhere_and_no_retry_is_counted(
    cluster: Cluster, two_nodes: Callable[[], Any], run: Callable[..., Path], check_calm: Callable[..., None]
) -> None:
    def preempt() -> None:
        node = two_nodes()
        gone_at_ms = time.time_ns() // 10**6 + 1000
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why = GcsClient(address=cluster.address).drain_node(node.node_id, reason, "spot", gone_at_ms)
        assert accepted, why
        wait_for("the notice to run out", lambda: time.time_ns() // 10**6 > gone_at_ms)
        cluster.remove_node(node, allow_graceful=False)

    check_calm(run(0, preempt), dict.fromkeys(ALL, "completed"))


def test_a_trial_whose_node_is_lost_goes_on_elsewhere(
    cluster: Cluster, two_nodes: Callable[[], Any], run: Callable[..., Path], check_calm: Callable[..., None]
) -> None:
    def lose() -> None:
        cluster.remove_node(two_nodes(), allow_graceful=False)

    check_calm(run(1, lose), dict.fromkeys(ALL, "completed"))


class Sick(EmbeddingTrainable):
    """On one node it cannot train, or has no data; on the other it takes its time."""

    sick = ""
    kind = ""

    def step(self) -> dict[str, Any]:
        if not self._here():
            time.sleep(1.0)
        return super().step()

    def _here(self) -> bool:
        return ray.get_runtime_context().get_node_id() == self.sick

    def _start(self) -> Iterator[Row]:
        if self._here():
            if self.kind == "no data":
                self.config["dataset"] = "nowhere"
            else:
                raise OSError(5, "Input/output error", f"/scratch/{self.config['trial_id']}")
        return super()._start()


@pytest.mark.parametrize(("kind", "failed"), [("errors", EQUAL_ERRORS), ("no data", 1)])
def test_a_node_that_fails_what_it_is_given_is_left_out_and_its_trials_run_again(
    cluster: Cluster, tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, failed: int
) -> None:
    """It is done with each trial at once, and so would end the whole queue while the other node trains."""
    while len(workers(cluster)) < 2:
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    sick, sound = (node.node_id for node in workers(cluster)[-2:])
    monkeypatch.setattr(Sick, "sick", sick)
    monkeypatch.setattr(Sick, "kind", kind)
    plan = Plan.of(tiny, {"stages": "confirm", "replicates": 1, "blocks": 3, "epochs": EPOCHS})
    folder, told = tmp_path / "sweep", io.StringIO()
    store = Store.create(folder)
    plan_file.write(folder / "plan.json", plan_file.content_of(plan, folder.name))
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    assert runner.run(Sweep(plan, folder, store, data, Slots(1, 0, most=2), Console(file=told), Sick))
    every = read(folder, "trials", attempts="all").to_pylist()
    final = read(folder, "trials").to_pylist()
    assert len(final) == 6
    assert {(row["end_reason"], row["node_id"]) for row in final} == {("completed", sound)}
    errors = [row for row in every if row["end_reason"] == "error"]
    assert {row["node_id"] for row in errors} == {sick}
    assert len(errors) == failed
    assert f"Trials run on without node {sick[:8]}" in told.getvalue()


@pytest.mark.skipif(available() < 8 * GIB, reason="needs 8 GiB of memory to fill")
def test_a_trial_that_takes_a_nodes_memory_ends_as_such_and_the_sweep_goes_on(
    cluster: Cluster, run: Callable[..., Path], check_calm: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Tune ends the whole experiment over what Ray's memory monitor raises, but for our manager of actors."""
    for node in workers(cluster):
        cluster.remove_node(node, allow_graceful=False)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = 1 - available() / 2 / total  # far from what else runs here may take meanwhile
    limits = {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "50"}
    cluster.add_node(num_cpus=1, env_vars=limits)
    monkeypatch.setattr(Stays, "greedy", True)
    folder = run(0, lambda: None)
    check_calm(folder, dict.fromkeys(ALL, "completed") | {"t00000": "oom"})
    [row] = [row for row in read(folder, "trials").to_pylist() if row["trial_id"] == "t00000"]
    assert "low on memory" in row["error_type"]
