"""Each tuning alone: its interval against the textbook's, and what a page of two sweeps says of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy import stats

from sweeps.analysis.report.comparison import comparison
from sweeps.analysis.stats.answers.compare import Sweep
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.answers.single_tunings import SingleTunings, single_tunings
from sweeps.analysis.stats.intervals.effects import Interval

Make = Callable[..., Any]


def replicated(name: str, made: Any) -> Sweep:
    confirm = made.trials.filter(pc.equal(made.trials["stage"], "confirm"))
    return Sweep(name, findings(made.trials, made.curves, made.stored), confirm)


def test_the_interval_is_that_of_its_seeds_with_their_spread_pooled(make_factorial: Make) -> None:
    made = make_factorial(replicates=6, blocks=3)
    finding = next(one for one in replicated("a", made).found if one.contrast.code.startswith("E1"))
    alone = single_tunings(finding)
    assert alone is not None
    on, off = (made.values(f"koleo={arm},accum_steps=1") + made.values(f"koleo={arm},accum_steps=4")
               for arm in ("on", "off"))  # fmt: skip
    by_seed = (on - off) / 2  # [replicates, blocks]
    groups = list(by_seed)
    error = math.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / (6 * 2) / 3)  # one-way ANOVA's
    assert finding.effect is not None
    half = stats.t.ppf(1 - 0.025 / finding.effect.family, 12) * error
    for effect, group in zip(alone.effects, groups, strict=True):
        assert effect.estimate == pytest.approx(group.mean(), abs=1e-15)
        assert (effect.ci_low, effect.ci_high) == pytest.approx((group.mean() - half, group.mean() + half), abs=1e-12)
    assert finding.effect.estimate == pytest.approx(np.mean([effect.estimate for effect in alone.effects]), abs=1e-15)


def test_claims_and_contradictions_are_counted() -> None:
    ends = [(0.01, 0.03), (0.02, 0.04), (-0.01, 0.015), (-0.04, -0.02)]
    alone = SingleTunings(tuple(Interval((low + high) / 2, low, high, 2) for low, high in ends))
    assert (alone.raised, alone.lowered) == (2, 1)
    assert alone.apart == 4  # the last from all, the second from the third


@pytest.mark.parametrize("kind", [{"replicates": 6, "blocks": 1}, {"replicates": 1, "blocks": 5}])
def test_one_seed_or_one_tuning_tells_nothing(kind: dict[str, int], make_factorial: Make) -> None:
    sweep = replicated("a", make_factorial(**kind))
    assert {single_tunings(one) for one in sweep.found} == {None}
    report = comparison(sweep, replicated("b", make_factorial(**kind, seed=9)))
    assert "Each tuning alone" not in [section.heading for section in report.sections]


def test_a_page_of_two_sweeps_shows_both_tuning_by_tuning(make_factorial: Make) -> None:
    sweeps = [
        replicated(name, make_factorial(replicates=6, blocks=2, seed=seed)) for name, seed in (("a", 0), ("b", 9))
    ]
    report = comparison(*sweeps)
    (section,) = [one for one in report.sections if one.heading == "Each tuning alone"]
    rows = section.tables[0].rows
    assert [row[1] for row in rows] == ["a", "b"] * 4
    assert all(row[2].endswith(" of 6") and row[4].endswith(" of 15") for row in rows)
    assert len(section.pictures) == 4
