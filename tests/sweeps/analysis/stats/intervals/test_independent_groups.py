"""Welch's interval and p are SciPy's; the verdict follows them as that of pairs does."""

import warnings

import numpy as np
import pytest
from scipy import stats

from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.analysis.stats.intervals.independent_groups import independent_effect, welch


def groups(mean: float = 0.004, n: int = 7, m: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.normal(0, 0.01, n), draw.normal(mean, 0.003, m)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.9875])
def test_welch_is_scipys(level: float) -> None:
    a, b = groups()
    found = welch(t_interval(a), t_interval(b), level=level)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(level)
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.estimate == pytest.approx(b.mean() - a.mean(), abs=1e-15)
    assert found.n == 7


@pytest.mark.parametrize("family", [1, 3])
def test_the_effect_is_simultaneous_over_the_family(family: int) -> None:
    a, b = groups()
    effect = independent_effect(a, b, sesoi=0.01, family=family)
    test = stats.ttest_ind(b, a, equal_var=False)
    for ends, alpha in (((effect.ci_low, effect.ci_high), 0.05), ((effect.inner_low, effect.inner_high), 0.1)):
        expected = test.confidence_interval(1 - alpha / family)
        assert ends == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert effect.p_value == pytest.approx(min(1, family * test.pvalue))
    assert (effect.n, effect.family, effect.sesoi) == (7, family, 0.01)


def test_swapped_groups_flip_the_effect() -> None:
    a, b = groups()
    one, other = independent_effect(a, b), independent_effect(b, a)
    assert (one.estimate, one.ci_low, one.ci_high) == (-other.estimate, -other.ci_high, -other.ci_low)
    assert (one.p_value, one.verdict) == (other.p_value, other.verdict)


@pytest.mark.parametrize(
    ("mean", "sesoi", "verdict"),
    [
        (0.2, 0.01, "beyond"),
        (-0.2, 0.01, "beyond"),
        (0.01, 0.01, "unsettled"),
        (0.005, 0.02, "below_sesoi"),
        (0.0, 0.02, "equivalent"),
        (0.0, 0.001, "no_evidence"),
    ],
)
def test_the_words_follow_the_interval(mean: float, sesoi: float, verdict: str) -> None:
    a = np.linspace(0.895, 0.905, 8)
    assert independent_effect(a, a + mean, sesoi=sesoi).verdict == verdict
    assert independent_effect(a[:6], a + mean, sesoi=sesoi).verdict == "pilot"
    assert independent_effect(a[:6], a + mean, sesoi=sesoi, least=4).verdict != "pilot"


def test_groups_without_spread_give_a_point_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = independent_effect([0.5] * 7, [0.5] * 8)
        apart = independent_effect([0.5] * 7, [0.75] * 8)
        one_sided = independent_effect([0.5] * 7, [0.75, 0.76] * 4)
    assert (same.ci_low, same.ci_high, same.p_value) == (0.0, 0.0, 1.0)
    assert (apart.ci_low, apart.ci_high, apart.p_value) == (0.25, 0.25, 0.0)
    # Where one group has no spread, all of the error is the other's.
    expected = stats.ttest_1samp([0.25, 0.26] * 4, 0).confidence_interval()
    assert (one_sided.ci_low, one_sided.ci_high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("control", "words", "message"),
    [
        ([0.9], {}, r"two finite values or more, but `control` is \[0\.9\]"),
        ([0.9, np.nan], {}, "two finite values or more"),
        ([[0.9, 0.8]], {}, "two finite values or more"),
        ([0.9, 0.8], {"sesoi": 0.0}, "sesoi"),
        ([0.9, 0.8], {"family": 0}, "family"),
    ],
)
def test_impossible_groups_are_named(control: list, words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        independent_effect(control, [0.8, 0.9], **words)
