"""How sweeps that were run again are counted: whose interval covers the others' mean, and who contradicts whom."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from sweeps.analysis.stats.intervals.effects import Effect, replicated_effect

RAISED = replicated_effect([[[0.1], [0.12 + 0.001 * r]] for r in range(6)], weights=(-1, 1))
LOWERED = replicated_effect([[[0.12 + 0.001 * r], [0.1]] for r in range(6)], weights=(-1, 1))
SAME = replicated_effect([[[0.1], [0.1 + 0.0001 * (r % 3 - 1)]] for r in range(6)], weights=(-1, 1))
OPEN = replicated_effect([[[0.1], [0.1 + 0.05 * (r % 3 - 1)]] for r in range(6)], weights=(-1, 1))


@pytest.fixture(scope="module")
def reruns() -> ModuleType:
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("reruns")
    finally:
        sys.path.remove(folder)


def at(estimate: float, half: float) -> Effect:
    return replace(OPEN, estimate=estimate, ci_low=estimate - half, ci_high=estimate + half)


def test_an_interval_is_held_against_the_mean_of_the_others(reruns: ModuleType) -> None:
    assert reruns.covered([at(0.0, 0.1), at(0.3, 0.1), at(0.3, 0.2)]) == [False, False, True]


def test_sweeps_contradict_each_other_where_one_denies_what_the_other_claims(reruns: ModuleType) -> None:
    assert [one.verdict for one in (RAISED, LOWERED, SAME, OPEN)] == ["beyond", "beyond", "equivalent", "no_evidence"]
    assert reruns.contradictions([RAISED, LOWERED, SAME]) == 3
    assert reruns.contradictions([RAISED, RAISED, OPEN, OPEN]) == 0
