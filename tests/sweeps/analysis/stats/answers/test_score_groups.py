"""Groups of scores against a control: pairs by key, the rules of a report by what a score is of, and the words."""

import numpy as np
import pytest
from scipy import stats

from embedding_core.errors import Faults
from sweeps.analysis.stats.answers.score_groups import ScoreGroup, Terms
from sweeps.analysis.stats.answers.score_verdict import AT_THE_SETTINGS, Comparison, compare_groups
from sweeps.analysis.stats.intervals.anytime import anytime_t

DRAW = np.random.default_rng(3)
CONTROL = DRAW.normal(0.9, 0.004, 9)
TREATMENT = CONTROL + DRAW.normal(0.01, 0.003, 9)


def group(scores: np.ndarray, name: str = "a", first: int = 0, **words: object) -> ScoreGroup:
    return ScoreGroup(name, tuple(map(float, scores)), tuple(range(first, first + len(scores))), **words)


def terms(pair_by: str | None = "seed", sesoi: float = 0.005, **words: object) -> Terms:
    return Terms("AUC", pair_by, sesoi, **words)


def compare(control: np.ndarray, treatment: np.ndarray, said: Terms, **words: object) -> Comparison:
    return compare_groups(group(control, **words), group(treatment, "b", **words), said)


def ends(found: Comparison) -> tuple[float, float]:
    return found.effect.ci_low, found.effect.ci_high


@pytest.mark.parametrize("family", [1, 2])
def test_pairs_are_found_by_key_whatever_the_order(family: int) -> None:
    order = DRAW.permutation(9)
    shuffled = ScoreGroup("b", tuple(TREATMENT[order].tolist()), tuple(order.tolist()))
    found = compare_groups(group(CONTROL), shuffled, terms(family=family))
    expected = stats.ttest_rel(TREATMENT, CONTROL).confidence_interval(1 - 0.05 / family)
    assert ends(found) == pytest.approx(tuple(expected))
    assert (found.method, found.effect.n, found.matters, found.direction) == ("paired by seed", 9, True, "raised")
    together = "; simultaneous over 2 comparisons" if family == 2 else ""
    assert f"(against `a`; 9 pairs by seed, {AT_THE_SETTINGS}{together}): more than the .005 that" in found.sentence


def test_scores_without_a_partner_are_left_out_and_named() -> None:
    found = compare_groups(group(CONTROL), group(TREATMENT[2:], "b", first=2), terms())
    assert ends(found) == pytest.approx(tuple(stats.ttest_rel(TREATMENT[2:], CONTROL[2:]).confidence_interval()))
    assert found.found.alone == ((0, 1), ())
    assert found.notes == ("Left out for want of a partner: 2 (seed 0, 1 of `a`).",)
    many = compare_groups(group(np.tile(CONTROL, 2)), group(TREATMENT, "b"), terms())
    assert many.notes == ("Left out for want of a partner: 9 (seed 9, 10, 11, 12, 13, ... of `a`).",)


def test_without_a_key_the_groups_are_independent() -> None:
    found = compare_groups(group(CONTROL), group(TREATMENT[:8], "b"), terms(None))
    expected = stats.ttest_ind(TREATMENT[:8], CONTROL, equal_var=False).confidence_interval()
    assert ends(found) == pytest.approx(tuple(expected))
    assert (found.method, found.effect.n, found.notes) == ("Welch", 8, ())
    assert found.conditional_on == f"independent, 8 runs against 9 runs, {AT_THE_SETTINGS}"


@pytest.mark.parametrize(("pair_by", "needed"), [("seed", "at least 7 pairs."), (None, "at least 7 runs of each.")])
def test_below_seven_runs_there_is_a_pilot(pair_by: str | None, needed: str) -> None:
    few, enough = (compare(CONTROL[:n], TREATMENT[:n] + 0.1, terms(pair_by)) for n in (6, 7))
    assert (few.effect.verdict, few.matters, few.direction, few.better) == ("pilot", None, None, None)
    assert few.sentence.endswith(f"a verdict needs {needed}")
    assert enough.effect.verdict == "beyond"


@pytest.mark.parametrize("pair_by", ["seed", None])
def test_replicates_of_a_sweep_need_four_as_its_report_does(pair_by: str | None) -> None:
    words = {"kind": "replicate", "units": "tunings x 2 seeds"}
    three, four = (compare(CONTROL[:n], TREATMENT[:n] + 0.1, terms(pair_by), **words) for n in (3, 4))
    assert (three.effect.verdict, four.effect.verdict) == ("pilot", "beyond")
    assert three.sentence.endswith("a verdict needs at least 4 independent replicates.")
    counted = "4 pairs of tunings x 2 seeds by seed" if pair_by else "4 tunings x 2 seeds against 4 tunings x 2 seeds"
    assert counted in four.conditional_on
    test = stats.ttest_rel if pair_by else lambda b, a: stats.ttest_ind(b, a, equal_var=False)
    assert four.effect.p_value == pytest.approx(test(TREATMENT[:4] + 0.1, CONTROL[:4]).pvalue)


@pytest.mark.parametrize("pair_by", ["seed", None])
def test_seeds_of_one_tuning_get_no_verdict_however_many(pair_by: str | None) -> None:
    words = {"kind": "at one tuning", "units": "seeds at one tuning"}
    found = compare(CONTROL, TREATMENT + 0.1, terms(pair_by), **words)
    assert found.effect.verdict == "pilot"
    assert "seeds at one tuning" in found.sentence
    assert ends(found) == pytest.approx(ends(compare(CONTROL, TREATMENT + 0.1, terms(pair_by))))


def test_a_sweep_that_grew_after_a_look_gets_the_interval_of_every_look() -> None:
    words = {"kind": "replicate", "grown": True}
    found = compare(CONTROL, TREATMENT, terms(), **words)
    half = anytime_t(9, 0.05) * stats.sem(TREATMENT - CONTROL)
    assert found.effect.ci_high - found.effect.estimate == pytest.approx(half)
    assert "interval valid at every look" in found.sentence
    for few, pair_by in ((5, "seed"), (9, None)):
        early = compare(CONTROL[:few], TREATMENT[:few], terms(pair_by), **words)
        assert early.effect.verdict == "pilot"
        assert "at least 6 paired replicates, since some were added after a look" in early.sentence


@pytest.mark.parametrize(
    ("shift", "verdict", "matters"),
    [(0.0, "equivalent", False), (0.0625, "beyond", True), (0.001953125, "below_sesoi", False)],
)
def test_equal_differences_of_scores_that_vary_are_a_point(shift: float, verdict: str, matters: bool) -> None:
    scores = np.array([0.25, 0.5, 0.75, 0.25, 0.5, 0.75, 0.5])
    found = compare(scores, scores + shift, terms())
    assert (found.effect.verdict, found.matters) == (verdict, matters)
    assert found.notes == ("All pairs differ by the same, so that the interval is a point.",)


@pytest.mark.parametrize("pair_by", ["seed", None])
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_scores_that_are_all_equal_tell_nothing_about_chance(pair_by: str | None, shift: float) -> None:
    found = compare(np.full(8, 0.9), np.full(8, 0.9 + shift), terms(pair_by))
    assert (found.effect.verdict, found.matters) == ("pilot", None)
    assert found.sentence.endswith("a verdict needs scores that differ from run to run, and here all are equal.")
    assert found.notes == ()


def test_which_way_is_better_is_said_where_lower_is() -> None:
    rise, fall = (compare(*pair, terms(lower_is_better=True)) for pair in ((CONTROL, TREATMENT), (TREATMENT, CONTROL)))
    assert (rise.direction, rise.better, rise.notes) == ("raised", False, ("Lower is better: `a` is the better one.",))
    assert (fall.direction, fall.better, fall.notes) == ("lowered", True, ("Lower is better: `b` is the better one.",))
    higher = compare(CONTROL, TREATMENT, terms())
    assert (higher.better, higher.notes) == (True, ())


def test_what_cannot_be_compared_is_named_all_at_once() -> None:
    first = group(CONTROL[:3], test_images=frozenset({"0123456789abcdef"}))
    second = group(TREATMENT[:3], "b", first=2, test_images=frozenset({"fedcba9876543210"}))
    with pytest.raises(Faults) as caught:
        compare_groups(first, second, terms())
    pairs, images = caught.value.faults
    assert pairs == (
        "A comparison needs at least 2 pairs by `seed`, but `a` and `b` have 1 (in `a` 0, 1, 2; in `b` 2, 3, 4). If "
        "they are independent runs on purpose, say so with `--independent`."
    )
    assert "same test images, but those of `a` and `b` differ (0123456789ab and fedcba987654)" in images
    with pytest.raises(Faults, match="at least 2 scores of each group, but `b` has 1"):
        compare_groups(group(CONTROL), group(TREATMENT[:1], "b"), terms(None))
