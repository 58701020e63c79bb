"""Waiting for room: said once with the autoscaler's reason, and ended in time."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from rich.console import Console

from embedding_core.errors import Faults
from sweeps.engine.machines.room_watch import SAY_AFTER_S, RoomWatch, reason_in

STATUS = """
======== Autoscaler status: 2026-11-26 07:00:00.000000 ========
Node status
---------------------------------------------------------------
Active:
 1 head
Pending:
 (no pending nodes)
Recent failures:
 gpu: VcpuLimitExceeded (latest_attempt: 06:59:58) - You have requested more vCPU capacity than your limit of 0 allows
 spot: InsufficientInstanceCapacity (latest_attempt: 06:59:51) - There is no Spot capacity available

Resources
---------------------------------------------------------------
Total Usage:
 0B/2.00GiB memory
From request_resources:
 (none)
Pending Demands:
 {'CPU': 1.0, 'GPU': 0.25} * 1 (PACK): 8+ pending placement groups
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trials(*statuses: str) -> Any:
    return [SimpleNamespace(status=status) for status in statuses]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def watch(clock: Clock, told: io.StringIO) -> RoomWatch:
    return RoomWatch(Console(file=told), deadline_s=3600, why=lambda: reason_in(STATUS), clock=clock)


def test_who_waits_for_long_is_told_why_once_and_for_too_long_ends(
    watch: RoomWatch, clock: Clock, told: io.StringIO
) -> None:
    waiting = trials(Trial.PENDING, Trial.PENDING, Trial.TERMINATED)
    for clock.now in (0.0, SAY_AFTER_S - 1, SAY_AFTER_S + 1, SAY_AFTER_S + 2, 3599.0):
        watch.check(waiting)
    assert told.getvalue().count("VcpuLimitExceeded") == 1
    clock.now = 3601.0
    with pytest.raises(Faults, match=r"No trial has had room for 60 min.*your limit of 0 allows.*`--resume`"):
        watch.check(waiting)


def test_a_trial_that_runs_or_a_stage_without_any_that_waits_is_no_wait(watch: RoomWatch, clock: Clock) -> None:
    for step in range(10):
        clock.now = step * 3000.0
        watch.check(trials(Trial.PENDING, Trial.RUNNING))
        clock.now += 2900
        watch.check(trials(Trial.PENDING))  # its node is gone for a while
        watch.check(trials(Trial.TERMINATED))


def test_for_ever_is_for_ever(clock: Clock, told: io.StringIO) -> None:
    watch = RoomWatch(Console(file=told), deadline_s=0, why=lambda: "No capacity.", clock=clock)
    for clock.now in (0.0, 1e4, 1e7):
        watch.check(trials(Trial.PENDING))
    assert told.getvalue().count("No capacity.") == 1


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("", "Recent failures: gpu: VcpuLimitExceeded"),
        ("failures", "Pending Demands: {'CPU': 1.0, 'GPU': 0.25} * 1 (PACK): 8+ pending placement groups."),
        ("all", "gives no reason"),
    ],
)
def test_the_reason_is_what_the_autoscaler_says_last(without: str, reason: str) -> None:
    kept = [line for line in STATUS.splitlines() if not line.startswith((" gpu:", " spot:")) or not without]
    status = "" if without == "all" else "\n".join(kept)
    assert reason in reason_in(status)
