import math
import warnings
from dataclasses import FrozenInstanceError
from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from sweeps.analysis import replicated_effect as public
from sweeps.analysis.stats.intervals import paired_arms
from sweeps.analysis.stats.intervals.anytime import anytime_t, e_value
from sweeps.analysis.stats.intervals.effects import (
    paired_effect,
    probability_of_superiority,
    replicated_effect,
    t_interval,
)
from sweeps.analysis.stats.intervals.paired_arms import EXACT_BLOCKS

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
    assert (effect.n, effect.equivalent, effect.verdict, effect.unit) == (5, False, "pilot", "block")


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


@pytest.mark.slow
def test_thousands_of_pairs_are_flipped_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(4).normal(0.05, 1, 1000)
    whole = paired_effect(np.zeros(d.size), d).p_value
    monkeypatch.setattr(paired_arms, "FLIPPED_AT_ONCE", 100 * d.size)
    pieces = paired_effect(np.zeros(d.size), d).p_value
    assert pieces == pytest.approx(whole, abs=0.01)
    assert pieces == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)


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


@pytest.mark.parametrize("family", [1, 3])
def test_paired_effects_are_simultaneous_over_their_family(family: int) -> None:
    control, treatment = spread(0.005, 0.003)
    effect = paired_effect(control, treatment, family=family)
    oracle = stats.ttest_rel(treatment, control)
    for ends, alpha in (((effect.ci_low, effect.ci_high), 0.05), ((effect.inner_low, effect.inner_high), 0.1)):
        assert ends == pytest.approx(tuple(oracle.confidence_interval(1 - alpha / family)))
    assert effect.p_value == pytest.approx(min(1, family * paired_effect(control, treatment).p_value))
    assert effect.family == family


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


def sweep(replicates: int = 8, cells: int = 4, blocks: int = 2, *, seed: int = 0, mean: float = 0.01) -> np.ndarray:
    """Outcomes in which the last cell is better by `mean` and tunings differ more than seeds."""
    rng = np.random.default_rng(seed)
    tuned = 0.9 + rng.normal(0, 0.01, (replicates, cells, 1))
    tuned[:, -1] += mean
    return tuned + rng.normal(0, 0.004, (replicates, cells, blocks))


INTERACTION = (1.0, -1.0, -1.0, 1.0)


def test_replicates_are_the_units_whatever_their_blocks() -> None:
    values = sweep()
    effect = replicated_effect(values, weights=INTERACTION)
    units = np.einsum("c,rcs->rs", INTERACTION, values).mean(axis=1)
    oracle = stats.ttest_1samp(units, 0)
    low, high = oracle.confidence_interval(0.95)
    assert (effect.estimate, effect.ci_low, effect.ci_high) == pytest.approx((units.mean(), low, high))
    assert effect.p_value == pytest.approx(oracle.pvalue)
    assert effect.standard_error == pytest.approx(stats.sem(units))
    assert (effect.n, effect.blocks, effect.unit, effect.family) == (8, 2, "replicate", 1)
    assert public is replicated_effect


@pytest.mark.parametrize("family", [1, 4])
def test_interval_p_and_equivalence_are_simultaneous_over_the_family(family: int) -> None:
    values = sweep()
    effect = replicated_effect(values, weights=INTERACTION, family=family, sesoi=0.02)
    units = DescrStatsW(np.einsum("c,rcs->rs", INTERACTION, values).mean(axis=1))
    assert (effect.ci_low, effect.ci_high) == pytest.approx(units.tconfint_mean(0.05 / family))
    assert (effect.inner_low, effect.inner_high) == pytest.approx(units.tconfint_mean(0.10 / family))
    assert effect.p_value == pytest.approx(min(1, family * units.ttest_mean()[1]))
    worst = max(units.ttest_mean(-0.02, "larger")[1], units.ttest_mean(0.02, "smaller")[1])
    assert effect.equivalent == (worst * family < 0.05)


def test_interval_and_p_agree_on_zero() -> None:
    for seed in range(200):
        family, anytime = (1, 2, 4)[seed % 3], seed % 2 == 0
        effect = replicated_effect(sweep(seed=seed, mean=0.015), weights=INTERACTION, family=family, anytime=anytime)
        assert (effect.ci_low <= 0 <= effect.ci_high) == (effect.p_value > 0.05)


@pytest.mark.parametrize(("replicates", "verdict"), [(2, "pilot"), (3, "pilot"), (4, "beyond")])
def test_fewer_than_four_replicates_are_a_pilot(replicates: int, verdict: str) -> None:
    values = 0.9 + np.array([0.0, 0.1])[None, :, None] + np.linspace(0, 0.001, replicates)[:, None, None] * [[[0], [1]]]
    assert replicated_effect(values, weights=(-1, 1)).verdict == verdict


def test_one_replicate_is_judged_over_its_blocks_and_stays_a_pilot() -> None:
    values = sweep(replicates=1, cells=2, blocks=24, mean=0.2)
    effect = replicated_effect(values, weights=(-1, 1))
    plain = t_interval(values[0, 1] - values[0, 0])
    assert (effect.estimate, effect.ci_low, effect.ci_high) == pytest.approx(
        (plain.estimate, plain.ci_low, plain.ci_high)
    )
    assert (effect.verdict, effect.unit, effect.n, effect.tau_squared) == ("pilot", "block", 24, None)


def test_the_variance_due_to_tuning_is_what_seeds_do_not_account_for() -> None:
    values = sweep(replicates=4000, cells=2, blocks=3)
    found = replicated_effect(values, weights=(-1, 1)).tau_squared
    assert found == pytest.approx(2 * 0.01**2, rel=0.1)
    seeds_alone = np.random.default_rng(1).normal(0, 0.01, (6, 2, 2))
    seeds_alone[:, :, 1] = -seeds_alone[:, :, 0]
    assert replicated_effect(seeds_alone, weights=(-1, 1)).tau_squared == 0
    assert replicated_effect(sweep(blocks=1), weights=INTERACTION).tau_squared is None


@pytest.mark.parametrize("replicates", [1, 5, 8])
def test_swapped_labels_flip_a_replicated_effect_exactly(replicates: int) -> None:
    for seed in range(20):
        values = sweep(replicates=replicates, cells=2, seed=seed)
        one, other = (replicated_effect(v, weights=(-1, 1), family=3) for v in (values, values[:, ::-1]))
        negated = replicated_effect(values, weights=(1, -1), family=3)
        assert other == negated
        assert (one.estimate, one.ci_low, one.ci_high) == (-other.estimate, -other.ci_high, -other.ci_low)
        assert (one.inner_low, one.p_value, one.verdict) == (-other.inner_high, other.p_value, other.verdict)


def test_looking_twice_needs_six_replicates_and_widens_both_intervals() -> None:
    with pytest.raises(ValueError, match="not enough replicates to look twice: 5 of at least 6"):
        replicated_effect(sweep(replicates=5), weights=INTERACTION, anytime=True)
    values = sweep(replicates=7)
    once, again = (replicated_effect(values, weights=INTERACTION, family=2, anytime=a) for a in (False, True))
    assert again.ci_high - again.estimate == pytest.approx(anytime_t(7, 0.025) * once.standard_error)
    assert again.inner_high - again.estimate == pytest.approx(anytime_t(7, 0.05) * once.standard_error)
    t = once.estimate / once.standard_error
    assert again.p_value == pytest.approx(min(1, 2 / e_value(t, 7)))
    assert again.anytime
    assert not once.anytime


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        (np.zeros((4, 2)), {"weights": (-1, 1)}, r"\(4, 2\) and \(2,\)"),
        (np.zeros((4, 3, 2)), {"weights": (-1, 1)}, r"\(4, 3, 2\) and \(2,\)"),
        (np.zeros((4, 2, 2)), {"weights": (-1, 0.5)}, r"add up to 0.*\[-1\.0, 0\.5\]"),
        (np.zeros((4, 2, 2)), {"weights": (0, 0)}, "not all be 0"),
        (np.full((4, 2, 2), math.nan), {"weights": (-1, 1)}, "finite"),
        (np.zeros((1, 2, 1)), {"weights": (-1, 1)}, r"at least two replicates or blocks.*\(1, 2, 1\)"),
        (np.zeros((4, 2, 2)), {"weights": (-1, 1), "sesoi": 0.0}, "sesoi"),
        (np.zeros((4, 2, 2)), {"weights": (-1, 1), "family": 0}, "family"),
    ],
)
def test_impossible_sweeps_are_named_with_their_values(values: np.ndarray, words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replicated_effect(values, **words)


def test_replicates_that_do_not_differ_give_a_point() -> None:
    values = np.zeros((4, 2, 2))
    nothing = replicated_effect(values, weights=(-1, 1))
    assert (nothing.p_value, nothing.verdict, nothing.standard_error) == (1.0, "equivalent", 0.0)
    values[:, 1] = 0.5
    same = replicated_effect(values, weights=(-1, 1))
    assert (same.ci_low, same.ci_high, same.p_value, same.verdict) == (0.5, 0.5, 0.0, "beyond")
    anytime = replicated_effect(values.repeat(2, axis=0), weights=(-1, 1), anytime=True)
    assert anytime.p_value < 0.001


@pytest.mark.parametrize("values", [[1, 2, -1, 3], [1, 2, 3], [-1.0] * 7, [0.1, -0.2, 0.3, 0.0]])
def test_probability_of_superiority_is_wilsons(values: list[float]) -> None:
    found = probability_of_superiority(values)
    above = sum(v > 0 for v in values) + 0.5 * sum(v == 0 for v in values)
    low, high = proportion_confint(above, len(values), method="wilson")
    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx((above / len(values), low, high), abs=1e-12)
    assert 0 <= found.ci_low < found.ci_high <= 1
    flipped = probability_of_superiority([-v for v in values])
    assert flipped.estimate == pytest.approx(1 - found.estimate)
    assert flipped.ci_low == pytest.approx(1 - found.ci_high)


def test_an_effect_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        paired_effect(WITHOUT, WITH).estimate = 0.0  # type: ignore[misc]


@pytest.mark.slow
def test_coverage_and_null_calibration() -> None:
    """2,000 invented sweeps of 8 blocks: the interval covers the truth, and a true null is seldom rejected."""
    rng, truth, sets, blocks = np.random.default_rng(20240917), 0.01, 2000, 8
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
