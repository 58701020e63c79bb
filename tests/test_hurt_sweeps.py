"""Who watches a sweep being hurt is told the truth, and is left with no process when they break it off."""

import importlib
import random
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`benchmark(name)` -> module of that name in `benchmarks/`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


def test_no_driver_outlives_a_sweep_that_is_broken_off(benchmark: Any, tmp_path: Path) -> None:
    kills, started = benchmark("kills"), []

    class BrokenOff(kills.Driver):  # type: ignore[misc]
        def trials(self) -> list[int]:
            raise KeyboardInterrupt

    class Sleeps(kills.Hurt):  # type: ignore[misc]
        def start(self, **environment: str) -> Any:
            started.append(BrokenOff(["sleep", "600"], tmp_path / "log", **environment))
            return started[-1]

    sweep = Sleeps(tmp_path / "sweep", seed=0, samples=8, blocks=2, epochs=1)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(kills.hurt(sweep, random.Random(0), ["kill"]))
        (driver,) = started
        assert driver.ended(1.0)
        assert driver.processes() == []
    finally:
        for one in started:
            one.clear()


def test_a_stop_that_took_too_long_is_not_told_as_one_in_good_order(benchmark: Any) -> None:
    blow, told = benchmark("kills").Blow, benchmark("torture").told
    assert "it ended in good order after 1.2 s" in told(blow("SIGINT", took_s=1.2))
    assert "it took 120.4 s to end, more than the 10 s that it has" in told(blow("SIGTERM", took_s=120.4))
    assert "order" not in told(blow("driver killed"))
