"""Second looks at a contrast, each against an oracle or a known truth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sweeps.analysis.stats.robustness import (
    bca_interval,
    class_parts,
    crossed_interval,
    logit_interval,
    minimum_detectable,
    robustness,
)

from sweeps.analysis.stats.contrasts import cell_blocks
from sweeps.analysis.stats.effects import t_interval
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
OFF, ON = "koleo=off", "koleo=on"
KOLEO = Contrast.pair(OFF, ON, label="KoLeo")


def test_bca_leans_towards_the_long_tail_and_is_the_same_each_time() -> None:
    skewed = np.random.default_rng(0).exponential(1.0, 40)
    found, t = bca_interval(skewed), t_interval(skewed)
    assert found == bca_interval(skewed)
    assert found is not None
    assert found.estimate == skewed.mean()
    assert found.ci_low > t.ci_low
    assert found.ci_high > t.ci_high
    assert bca_interval(np.full(7, 0.25)) is None


def test_class_parts_average_to_the_contrast_of_the_stored_auc(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, ON: 0.92})
    blocks = cell_blocks(tables.trials, KOLEO)
    found = class_parts(tables.groups, blocks)
    assert found is not None
    parts, pairs = found
    assert parts.shape == (7, 5)
    assert pairs.tolist() == [45, 190, 435, 780, 1225]
    assert parts @ pairs / pairs.sum() == pytest.approx(blocks.values, abs=1e-12)
    shuffled = tables.groups.take(np.random.default_rng(0).permutation(tables.groups.num_rows))
    again = class_parts(shuffled, blocks)
    assert again is not None
    assert (again[0] == parts).all()


def test_no_interval_over_classes_where_the_parts_do_not_belong(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, ON: 0.92})
    blocks = cell_blocks(tables.trials, KOLEO)
    assert robustness(blocks, tables.groups, outcome="test_auc").crossed is not None
    assert robustness(blocks, None, outcome="test_auc").crossed is None
    assert robustness(blocks, tables.groups.slice(0, 0), outcome="test_auc").crossed is None
    assert class_parts(tables.groups.slice(5), blocks) is None  # the first run's are missing
    tables.group_rows[0]["value"] += 0.1  # not the AUC of this run
    assert class_parts(tables.groups, blocks) is None


def test_a_diverged_run_counts_as_chance_in_every_class(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, ON: 0.92})
    lost = tables.row(ON, 3)
    lost.update(end_reason="diverged", test_auc=None)
    tables.group_rows = [row for row in tables.group_rows if row["trial_id"] != lost["trial_id"]]
    blocks = cell_blocks(tables.trials, KOLEO)
    found = class_parts(tables.groups, blocks)
    assert found is not None
    parts, pairs = found
    assert parts @ pairs / pairs.sum() == pytest.approx(blocks.values, abs=1e-12)


def test_classes_that_agree_add_nothing_and_classes_that_differ_widen() -> None:
    by_block = np.random.default_rng(1).normal(0.01, 0.004, (12, 1))
    pairs = np.array([45.0, 190.0, 435.0, 780.0])
    alike = crossed_interval(np.repeat(by_block, 4, axis=1), pairs)
    differing = crossed_interval(by_block + np.array([-0.03, 0.0, 0.02, 0.01]), pairs)
    assert alike.estimate == pytest.approx(by_block.mean())
    assert alike.ci_high - alike.ci_low < 0.4 * (differing.ci_high - differing.ci_low)
    resampled = by_block.std() / np.sqrt(12) * np.sqrt(4 / 3)
    assert (alike.ci_high - alike.estimate) / stats.t.ppf(0.975, 3) == pytest.approx(resampled, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("of_class", [0.5, 2.0])
def test_the_crossed_interval_covers_where_classes_vary_and_the_one_over_blocks_does_not(of_class: float) -> None:
    rng, sets = np.random.default_rng(2024), 500
    crossed = over_blocks = 0
    for _ in range(sets):
        parts = rng.normal(0, 0.5, (12, 1)) + rng.normal(0, of_class, (1, 10)) + rng.normal(0, 0.5, (12, 10))
        found, narrow = crossed_interval(parts, np.ones(10)), t_interval(parts.mean(axis=1))
        crossed += found.ci_low <= 0 <= found.ci_high
        over_blocks += narrow.ci_low <= 0 <= narrow.ci_high
    assert 0.93 <= crossed / sets <= 0.99
    assert over_blocks / sets < 0.90


def test_the_logit_contrast_is_on_the_logit_scale(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, ON: 0.92})
    blocks = cell_blocks(tables.trials, KOLEO)
    expected = special.logit(blocks.outcomes[1]) - special.logit(blocks.outcomes[0])
    assert logit_interval(blocks) == t_interval(expected)
    tables.row(ON, 2)["test_auc"] = 1.0
    assert logit_interval(cell_blocks(tables.trials, KOLEO)) is None


@pytest.mark.parametrize("n", [7, 12])
def test_the_minimum_detectable_effect_is_detected_in_four_of_five_sweeps(n: int) -> None:
    """Simulated t tests on blocks whose SD is known, in 20,000 sweeps at once."""
    shape = np.linspace(-1, 1, n)
    effect = minimum_detectable(shape / shape.std(ddof=1))
    samples = np.random.default_rng(5).normal(effect, 1.0, (20_000, n))
    power = (stats.ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.05).mean()
    assert power == pytest.approx(0.8, abs=0.01)
    assert minimum_detectable(np.full(n, 0.25)) == 0
