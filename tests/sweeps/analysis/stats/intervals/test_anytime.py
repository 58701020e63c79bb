"""The interval that may be looked at after every replicate."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks.invented_tunings import wrong_looks
from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK, PRIOR_VARIANCE, anytime_p, anytime_t, e_value


@pytest.mark.parametrize(("t", "n"), [(0.0, 6), (1.5, 6), (-3.0, 8), (6.0, 12)])
def test_the_e_value_is_the_bayes_factor_of_a_normal_prior_on_the_standardised_effect(t: float, n: int) -> None:
    def under(effect: float) -> float:
        prior = stats.norm.pdf(effect, scale=math.sqrt(PRIOR_VARIANCE))
        return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * prior)

    alternative = integrate.quad(under, -15, 15, points=(t / math.sqrt(n), 0.0), limit=200)[0]
    assert e_value(t, n) == pytest.approx(alternative / stats.t.pdf(t, n - 1), rel=1e-4)


@pytest.mark.parametrize("n", [6, 7, 10, 40, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.0125, 0.1])
def test_the_quantile_is_where_the_e_value_rejects(n: int, alpha: float) -> None:
    t = anytime_t(n, alpha)
    assert e_value(t, n) == pytest.approx(1 / alpha)
    assert anytime_p(t, n) == pytest.approx(alpha)
    assert anytime_p(t * 1.01, n) < alpha < anytime_p(t * 0.99, n)


@pytest.mark.parametrize("family", [1, 2, 4])
def test_it_is_1_6_to_1_9_times_as_wide_as_a_plain_one(family: int) -> None:
    for n in range(FIRST_LOOK, 41):
        plain = stats.t.ppf(1 - 0.025 / family, n - 1)
        assert 1.57 <= anytime_t(n, 0.05 / family) / plain <= 1.9


def test_too_few_units_reject_nothing_and_extremes_do_not_overflow() -> None:
    assert anytime_t(2, 0.05) == math.inf
    assert anytime_p(math.inf, 2) > 0.05
    assert anytime_p(math.inf, 2000) == pytest.approx(0, abs=1e-300)
    assert anytime_p(0.0, 6) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("family", [1, 4])
def test_looking_after_every_replicate_errs_seldom(family: int) -> None:
    """20,000 sweeps without an effect, looked at after each of the replicates 6 to 60."""
    numbers = range(2, 61)
    valid = np.array([anytime_t(n, 0.05 / family) for n in numbers])
    assert wrong_looks(valid, first=FIRST_LOOK, reruns=20_000, seed=1) <= 0.05 / family
    # The test of the test: plain intervals fail it.
    plain = stats.t.ppf(1 - 0.025 / family, np.array(numbers) - 1)
    assert wrong_looks(plain, first=FIRST_LOOK, reruns=20_000, seed=1) > 0.10 / family
