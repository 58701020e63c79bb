"""Power before the run, against statsmodels, simulation and the figures that the design was made with."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from sweeps.analysis.stats.intervals.effects import replicated_effect
from sweeps.analysis.stats.intervals.power import (
    detectable,
    detectable_range,
    equivalence_power,
    half_width,
    power,
    reachable,
    replicates_needed,
)


@pytest.mark.parametrize(("n", "family", "expected"), [(6, 8, 1.85), (6, 4, 1.56), (10, 4, 0.98)])
def test_half_widths_in_standard_deviations(n: int, family: int, expected: float) -> None:
    assert half_width(1.0, n, family=family) == pytest.approx(expected, abs=0.005)


def test_the_half_width_is_that_of_the_printed_interval() -> None:
    control = np.random.default_rng(0).normal(0, 0.01, 7)
    values = np.stack([control, np.zeros(7)], axis=1)[..., None]
    effect = replicated_effect(values, weights=(-1, 1), family=3)
    sd = float(control.std(ddof=1))
    assert (effect.ci_high - effect.ci_low) / 2 == pytest.approx(half_width(sd, 7, family=3))
    assert (effect.inner_high - effect.inner_low) / 2 == pytest.approx(half_width(sd, 7, family=3, level=0.9))


@pytest.mark.parametrize(("n", "family", "expected"), [(6, 8, 0.28), (6, 4, 0.42), (10, 4, 0.83)])
def test_power_of_an_effect_of_two_hundredths(n: int, family: int, expected: float) -> None:
    assert power(0.02, 0.015, n, family=family) == pytest.approx(expected, abs=0.005)
    assert power(-0.02, 0.015, n, family=family) == power(0.02, 0.015, n, family=family)


@pytest.mark.parametrize(("n", "family"), [(4, 1), (6, 4), (8, 4), (10, 1), (40, 4)])
def test_the_detectable_effect_is_detected_with_power_8(n: int, family: int) -> None:
    effect = detectable(0.015, n, family=family)
    assert power(effect, 0.015, n, family=family) == pytest.approx(0.8, abs=1e-3)
    in_deviations = TTestPower().solve_power(nobs=n, alpha=0.05 / family, power=0.8)
    assert effect == pytest.approx(0.015 * in_deviations, rel=1e-3)


def test_the_detectable_effect_comes_with_the_range_of_its_sd() -> None:
    values = np.random.default_rng(1).normal(0, 0.01, 8)
    found = detectable_range(values, family=4)
    variance = values.var(ddof=1)
    low, high = (np.sqrt(7 * variance / stats.chi2.ppf(q, 7)) for q in (0.975, 0.025))
    assert (found.ci_low, found.ci_high) == pytest.approx([detectable(sd, 8, family=4) for sd in (low, high)])
    assert found.estimate == pytest.approx(detectable(float(np.sqrt(variance)), 8, family=4))
    assert detectable_range(np.zeros(5)).estimate == 0


def test_replicates_needed_are_the_fewest() -> None:
    needed = replicates_needed(0.02, 0.015, family=4)
    assert needed == 10
    assert detectable(0.015, needed, family=4) <= 0.02 < detectable(0.015, needed - 1, family=4)
    assert replicates_needed(1.0, 0.001) == 4  # fewer are a pilot
    assert replicates_needed(1e-7, 0.015) is None
    assert replicates_needed(0.0, 0.015) is None


@pytest.mark.parametrize(
    ("sd", "n", "family", "effect"),
    [(0.002, 8, 4, 0.0), (0.001, 4, 4, 0.002), (0.0005, 6, 4, 0.0025), (0.004, 5, 1, 0.0)],
)
def test_power_of_equivalence_is_that_of_simulated_sweeps(sd: float, n: int, family: int, effect: float) -> None:
    draws = np.random.default_rng(2).normal(effect, sd, (100_000, n))
    half = stats.t.ppf(1 - 0.05 / family, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    expected = (np.abs(draws.mean(axis=1)) + half < 0.003).mean()
    found = equivalence_power(sd, n, sesoi=0.003, family=family, effect=effect)
    assert found == pytest.approx(expected, abs=0.005)


def test_which_sentences_can_be_reached() -> None:
    quiet, loud = (reachable(sd, 8, sesoi=0.003, family=4) for sd in (0.0015, 0.015))
    assert quiet.equivalence
    assert not loud.equivalence
    assert quiet.inner_half_width < 0.003 < loud.inner_half_width
    assert loud.moved == pytest.approx(detectable(0.015, 8, family=4))
    values = np.random.default_rng(3).normal(loud.beyond, 0.015, (20_000, 8))
    low = values.mean(axis=1) - stats.t.ppf(1 - 0.025 / 4, 7) * stats.sem(values, axis=1)
    assert (low > 0.003).mean() == pytest.approx(0.8, abs=0.01)


def test_a_pilot_reaches_no_sentence() -> None:
    found = reachable(0.001, 3, sesoi=0.003)
    assert (found.moved, found.beyond, found.equivalence) == (None, None, False)
    assert found.half_width == pytest.approx(half_width(0.001, 3))


@pytest.mark.parametrize("sd", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_sd_is_refused(sd: float) -> None:
    for call in (lambda: power(0.01, sd, 6), lambda: detectable(sd, 6), lambda: reachable(sd, 6, sesoi=0.003)):
        with pytest.raises(ValueError, match="SD"):
            call()
