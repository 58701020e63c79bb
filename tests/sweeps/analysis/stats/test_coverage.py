"""Intervals and words hold when the whole sweep is run again: cells tuned and trained afresh, on known surfaces."""

import math

import pytest

from benchmarks.invented_tunings import (
    EFFECTS_OF,
    Array,
    World,
    covered,
    is_wrong,
    judged,
    power_when_detectable,
)
from sweeps.analysis.stats.intervals.effects import Effect, replicated_effect

SESOI = 0.003
QUIET = 0.1
"""Share of the noise at which "no difference that matters" is said at all."""

RERUNS = 2000
FAMILIES = 4000
AT_MOST = 0.05 + 2 * math.sqrt(0.05 * 0.95 / FAMILIES)
"""Two standard errors above the bound: the share is counted over so many families."""

worlds = pytest.mark.parametrize(
    ("surface", "noise", "tuner"),
    [
        ("quadratic", "equal", "sobol"),
        ("quadratic", "unequal", "adaptive"),
        ("cliff", "equal", "adaptive"),
        ("cliff", "unequal", "sobol"),
    ],
)
"""Each pair of levels once; the benchmark runs all eight."""


def swept(world: World, cells: int, reruns: int, replicates: int, blocks: int) -> Array:
    """[reruns, replicates, cells, blocks]"""
    found = world.sweeps(reruns * replicates, blocks, stream=replicates)[:, :cells]
    return found.reshape(reruns, replicates, cells, blocks)


@pytest.mark.slow
@worlds
def test_95_percent_intervals_cover_95_percent(surface: str, noise: str, tuner: str) -> None:
    world = World(surface, noise, tuner, seed=1)
    for cells in EFFECTS_OF:
        for replicates in (4, 6, 8, 10):
            assert 0.93 <= covered(swept(world, cells, RERUNS, replicates, 2)) <= 0.97, (cells, replicates)


@pytest.mark.slow
@worlds
def test_one_tuning_covers_too_little_however_many_its_seeds(surface: str, noise: str, tuner: str) -> None:
    """The test of the test: what the others find right is wrong here."""
    world = World(surface, noise, tuner, seed=1)
    for cells in EFFECTS_OF:
        few, many = (covered(swept(world, cells, RERUNS, 1, blocks)) for blocks in (8, 24))
        assert many < few < 0.85


@pytest.mark.slow
@worlds
def test_words_are_wrong_in_at_most_one_family_in_twenty(surface: str, noise: str, tuner: str) -> None:
    """Families of four whose effects lie where a word becomes wrong: at 0 and at the SESOI."""
    world = World(surface, noise, tuner, seed=1)
    for replicates in (4, 8):
        sweeps = swept(world, 4, FAMILIES, replicates, 2)
        for effect, scale in ((0.0, 1.0), (SESOI, 1.0), (SESOI, QUIET)):
            assert judged(sweeps * scale, effect=effect, sesoi=SESOI).wrong <= AT_MOST, (replicates, effect, scale)


@pytest.mark.slow
@pytest.mark.parametrize("family", [1, 4])
@pytest.mark.parametrize("replicates", [4, 6, 10])
def test_the_detectable_effect_is_called_four_times_in_five(replicates: int, family: int) -> None:
    assert 0.77 <= power_when_detectable(0.015, replicates, family=family, reruns=10_000, seed=2) <= 0.83


def test_what_a_wrong_word_is() -> None:
    def said(verdict: str, estimate: float) -> Effect:
        return Effect(estimate, estimate, estimate, 0.5, 6, False, verdict, SESOI)

    raised, little, same = said("unsettled", 0.004), said("below_sesoi", 0.001), said("equivalent", 0.0)
    assert [is_wrong(raised, truth) for truth in (0.0, -0.001, 0.001)] == [True, True, False]
    assert [is_wrong(said("beyond", 0.02), truth) for truth in (0.0, 0.0029, 0.0031, -0.02)] == [
        True,
        True,
        False,
        True,
    ]
    assert [is_wrong(little, truth) for truth in (0.0, 0.001, 0.0031)] == [True, False, True]
    assert [is_wrong(same, truth) for truth in (0.0, 0.0029, -0.0031)] == [False, False, True]
    assert not any(is_wrong(said(verdict, 0.01), -0.01) for verdict in ("pilot", "no_evidence"))


def test_an_invented_sweep_gets_its_words_from_the_public_function() -> None:
    world = World("cliff", "unequal", "adaptive", seed=3, truth_from=2000)
    sweeps = swept(world, 4, 5, 6, 2)
    assert sweeps.shape == (5, 6, 4, 2)
    found = [replicated_effect(sweeps[0], weights=weights, family=4) for weights in EFFECTS_OF[4]]
    assert all(one.n == 6 and one.blocks == 2 for one in found)
    assert judged(sweeps, effect=0.5, sesoi=SESOI).power == 1.0
