import math
import warnings
from dataclasses import FrozenInstanceError
from itertools import product

import numpy as np
import pytest
from scipy import stats

from sweeps.analysis.stats.effects import EXACT_BLOCKS, paired_effect

WITHOUT = [0.9140, 0.9194, 0.9270, 0.9301, 0.9300]
WITH = [0.9186, 0.9126, 0.9214, 0.9253, 0.9217]


def spread(mean: float, half90: float, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Control and treatment whose difference has this mean and this half width of the 90 % interval."""
    shape = np.linspace(-1, 1, n)
    shape *= half90 / (stats.t.ppf(0.95, n - 1) * shape.std(ddof=1) / math.sqrt(n))
    control = np.linspace(0.9, 0.93, n)
    return control, control + mean + shape


def test_study_1_folds() -> None:
    effect = paired_effect(WITHOUT, WITH)
    assert (round(effect.estimate, 4), round(effect.ci_low, 4), round(effect.ci_high, 4)) == (-0.0042, -0.0105, 0.0021)
    assert effect.p_value == pytest.approx(0.125)
    assert (effect.n, effect.equivalent, effect.verdict) == (5, False, "pilot")


def test_p_value_is_that_of_all_sign_flips() -> None:
    d = np.random.default_rng(3).normal(0.4, 1, 9)
    flipped = [abs(np.mean(d * signs)) for signs in product((-1, 1), repeat=d.size)]
    expected = np.mean(np.array(flipped) >= abs(d.mean()) * (1 - 1e-12))
    assert paired_effect(np.zeros(9), d).p_value == pytest.approx(expected)


def test_above_16_blocks_the_test_is_seeded_monte_carlo() -> None:
    d = np.random.default_rng(4).normal(0.3, 1, EXACT_BLOCKS + 2)
    first, second = paired_effect(np.zeros(d.size), d), paired_effect(np.zeros(d.size), d)
    assert first == second
    signs = np.array(list(product((-1, 1), repeat=d.size)), dtype=np.int8)
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-12))
    assert first.p_value == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(
    ("mean", "half90", "verdict", "equivalent"),
    [
        (0.020, 0.004, "beyond", False),
        (-0.020, 0.004, "beyond", False),
        (0.005, 0.003, "unsettled", False),
        (0.0015, 0.0008, "below_sesoi", True),
        (-0.0015, 0.0008, "below_sesoi", True),
        (0.0002, 0.002, "equivalent", True),
        (0.0010, 0.008, "no_evidence", False),
    ],
)
def test_every_row_of_the_verdict_table(mean: float, half90: float, verdict: str, equivalent: bool) -> None:
    effect = paired_effect(*spread(mean, half90))
    assert (effect.verdict, effect.equivalent) == (verdict, equivalent)
    fewer = paired_effect(*spread(mean, half90, n=6))
    assert (fewer.verdict, fewer.equivalent) == ("pilot", equivalent)


def test_verdict_follows_the_sesoi_it_is_given() -> None:
    arms = spread(0.005, 0.003)
    assert [paired_effect(*arms, sesoi=s).verdict for s in (0.001, 0.003, 0.02)] == [
        "beyond",
        "unsettled",
        "below_sesoi",
    ]


def test_swapping_arms_flips_the_effect_exactly() -> None:
    rng = np.random.default_rng(5)
    for n in (2, 5, 7, 12, 18):
        control, treatment = rng.normal(0.9, 0.01, n), rng.normal(0.91, 0.01, n)
        one, other = paired_effect(control, treatment), paired_effect(treatment, control)
        assert (one.estimate, one.ci_low, one.ci_high) == (-other.estimate, -other.ci_high, -other.ci_low)
        assert (one.p_value, one.equivalent, one.verdict) == (other.p_value, other.equivalent, other.verdict)


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "equivalent"), (0.5, "beyond"), (0.001953125, "below_sesoi")])
def test_equal_differences_give_a_point_without_warnings(shift: float, verdict: str) -> None:
    control = np.array([0.25, 0.5, 0.75, 0.25, 0.5, 0.75, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        effect = paired_effect(control, control + shift)
    assert (effect.estimate, effect.ci_low, effect.ci_high) == (shift, shift, shift)
    assert effect.verdict == verdict
    assert effect.p_value == (1.0 if shift == 0 else 2 / 2**7)


@pytest.mark.parametrize(
    ("control", "treatment", "message"),
    [
        ([0.9, math.nan], [0.9, 0.91], r"finite.*`control` is \[0\.9, nan\]"),
        ([0.9, 0.91], [0.9, math.inf], r"finite.*`treatment` is \[0\.9, inf\]"),
        ([0.9, 0.91, 0.92], [0.9, 0.91], r"\(3,\).*\(2,\)"),
        ([0.9], [0.8], r"at least two blocks.*\[0\.9\]"),
        ([], [], "at least two blocks"),
        ([[0.9, 0.8]], [[0.9, 0.8]], "one value per block"),
    ],
)
def test_bad_arms_are_named_with_their_values(control: list, treatment: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_effect(control, treatment)
    with pytest.raises(ValueError, match="sesoi"):
        paired_effect(WITHOUT, WITH, sesoi=0.0)


def test_an_effect_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        paired_effect(WITHOUT, WITH).estimate = 0.0  # type: ignore[misc]


@pytest.mark.slow
def test_coverage_and_null_calibration() -> None:
    """2,000 invented sweeps of 12 blocks: the interval covers the truth, and a true null is seldom rejected."""
    rng, truth, sets, blocks = np.random.default_rng(20240917), 0.01, 2000, 12
    covered = rejected = excluded = 0
    for _ in range(sets):
        base, noise = rng.normal(0.92, 0.01, blocks), rng.normal(0, 0.006, blocks)
        effect = paired_effect(base, base + truth + noise)
        covered += effect.ci_low <= truth <= effect.ci_high
        null = paired_effect(base, base + noise)
        rejected += null.p_value <= 0.05
        excluded += not null.ci_low <= 0 <= null.ci_high
    assert 0.93 <= covered / sets <= 0.97
    assert rejected / sets <= 0.065
    assert excluded / sets <= 0.065
