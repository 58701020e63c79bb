"""What is waited out, and for how long."""

import logging

import pytest

from embedding_core.storage.retry import PAUSE_S, patiently


class World:
    """Fails for its first seconds; time goes by only where somebody sleeps."""

    def __init__(self, broken_s: float) -> None:
        self.now, self.broken_s, self.calls = 0.0, broken_s, 0

    def act(self) -> str:
        self.calls += 1
        if self.now < self.broken_s:
            raise FileNotFoundError("gone")
        return "done"

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(world: World, patience_s: float) -> str:
    return patiently(world.act, what="It fails", patience_s=patience_s, clock=world.clock, sleep=world.sleep)


def test_what_works_is_done_once_and_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    world = World(0)
    assert run(world, 60) == "done"
    assert world.calls == 1
    assert not caplog.messages


def test_an_outage_is_waited_out_and_said_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = World(30)
    assert run(world, 60) == "done"
    assert world.now == pytest.approx(30, abs=PAUSE_S)
    assert caplog.messages == ["It fails: gone. Trying again for 60 s.", "It fails: it works again after 30 s."]


def test_a_long_outage_raises_what_it_was() -> None:
    world = World(1000)
    with pytest.raises(FileNotFoundError, match="gone"):
        run(world, 60)
    assert world.now == pytest.approx(60, abs=PAUSE_S)


def test_other_errors_are_not_waited_out() -> None:
    def act() -> None:
        raise ValueError("a bug")

    def sleep(seconds: float) -> None:
        raise AssertionError("slept")

    with pytest.raises(ValueError, match="a bug"):
        patiently(act, what="It fails", sleep=sleep)
