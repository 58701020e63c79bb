"""How many trials a cluster has room for, while its nodes come and go."""

from collections.abc import Collection
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from sweeps.cli.forecast.probe import share_of
from sweeps.engine.machines import resources
from sweeps.engine.machines.resources import RoomLimiter, Slots, autoscaled
from sweeps.engine.search.searchers import PlannedSearch

GIB = 2**30
HEAD = {"CPU": 0.0, "memory": 8.0 * GIB}
WORKER = {"CPU": 8.0, "GPU": 2.0, "memory": 32.0 * GIB}


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        (Slots(1, 0.25), 8),  # by GPU
        (Slots(3, 0.25), 2),  # by CPU
        (Slots(1, 0.3), 6),
        (Slots(1, 0.4), 4),  # a share lies on one GPU
        (Slots(1, 0), 8),
        (Slots(1, 0.25, memory=12 * GIB), 2),  # by memory
        (Slots(0.5, 0), 16),
        (Slots(9, 0), 0),
        (Slots(1, 0, memory=33 * GIB), 0),
    ],
)
def test_a_trial_lies_within_one_node(slots: Slots, expected: int) -> None:
    assert slots.fit([HEAD, WORKER]) == expected
    assert slots.fit([HEAD, WORKER, WORKER, WORKER]) == 3 * expected
    assert slots.fit([HEAD]) == 0


AUTOSCALER = """
max_workers: 5
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  gpu: {resources: {CPU: 8, GPU: 2}, min_workers: 0, max_workers: 3}
  cpu: {resources: {CPU: 4}, max_workers: 4}
"""


def test_the_autoscaler_says_what_may_come(tmp_path: Path) -> None:
    config = tmp_path / "bootstrap.yaml"
    config.write_text(AUTOSCALER)
    assert [node.get("GPU", 0) for node in autoscaled(config)] == [2, 2, 2, 0, 0]  # no more than five in all
    assert Slots(1, 0.25).fit(autoscaled(config)) == 24
    assert autoscaled(tmp_path / "none.yaml") == []


class Cluster:
    """Nodes that come and go."""

    def __init__(self, *nodes: dict[str, float]) -> None:
        self.nodes = list(nodes)

    def __call__(self, left_out: Collection[str] = ()) -> list[dict[str, float]]:
        return self.nodes


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster of a head alone, asked each time anew."""
    there = Cluster(HEAD)
    monkeypatch.setattr(resources, "nodes", there)
    monkeypatch.setattr(resources, "AUTOSCALER_CONFIG", Path("/nowhere"))
    monkeypatch.setattr(resources, "ASK_EVERY_S", 0.0)
    return there


def test_trials_at_once_follow_the_nodes(cluster: Cluster) -> None:
    slots = Slots(1, 0.5, waits=True)
    limiter = RoomLimiter(PlannedSearch([{"run": i} for i in range(20)]), slots.room)

    def started(*names: str) -> int:
        return sum(limiter.suggest(name) is not None for name in names)

    assert started("a", "b") == 1  # no worker yet: one waits, so that somebody asks for one
    cluster.nodes.append(WORKER)
    assert started("c", "d", "e", "f") == 3  # two GPUs, two trials each
    cluster.nodes.append(WORKER)
    assert started("g", "h", "i", "j", "k") == 4
    del cluster.nodes[1:]
    for name in ("a", "c", "d", "e"):
        limiter.on_trial_complete(name, {"end_reason": "completed"})
    assert started("l") == 0  # those of the lost node wait for another
    assert Slots(1, 0.5, most=3).room() == 1
    cluster.nodes += [WORKER] * 4
    assert Slots(1, 0.5, most=3).room() == 3


@pytest.mark.parametrize(
    ("peak", "context", "expected"),
    [(10 * GIB, GIB, 1 / 6), (1, GIB, 1 / 79), (60 * GIB, GIB, 1), (30 * GIB, 4 * GIB, 1 / 2)],
)
def test_a_share_holds_a_trial_with_its_context(peak: int, context: int, expected: float) -> None:
    share = share_of(peak, context, 80 * GIB)
    assert share == pytest.approx(expected)
    assert share * 80 * GIB >= peak + context


def test_a_trial_larger_than_a_gpu_is_refused() -> None:
    with pytest.raises(Faults, match=r"needs 93\.0 GiB on a GPU of 80\.0 GiB"):
        share_of(80 * GIB, GIB, 80 * GIB)
