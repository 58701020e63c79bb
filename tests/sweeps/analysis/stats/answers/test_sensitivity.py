"""The interval over replicates x classes, against an oracle and a known truth."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy import stats

from sweeps.analysis.stats.answers import sensitivity
from sweeps.analysis.stats.answers.sensitivity import class_parts, crossed_interval, over_classes
from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.analysis.stats.reading.contrasts import CellRuns, cell_runs

Make = Callable[..., Any]
OFF, ON = "koleo=off", "koleo=on"
TRUTH = {OFF: 0.9, ON: 0.92}


def runs_of(made: Any) -> CellRuns:
    confirm = made.trials.filter(pc.equal(made.trials["stage"], "confirm"))
    return cell_runs(confirm, made.stored.contrasts[0])


def test_class_parts_average_to_the_contrast_of_the_stored_auc(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=7, blocks=2, classes=5)
    runs = runs_of(made)
    found = class_parts(made.groups, runs)
    assert found is not None
    parts, pairs = found
    assert parts.shape == (7, 5)
    assert pairs.tolist() == [45, 190, 435, 780, 1225]
    assert parts @ pairs / pairs.sum() == pytest.approx(runs.values, abs=1e-12)
    shuffled = made.groups.take(np.random.default_rng(0).permutation(made.groups.num_rows))
    again = class_parts(shuffled, runs)
    assert again is not None
    assert (again[0] == parts).all()


def test_fewer_than_eight_classes_say_nothing_of_others(make_factorial: Make) -> None:
    for classes, told in ((7, False), (8, True)):
        made = make_factorial(TRUTH, replicates=5, classes=classes)
        assert (over_classes(runs_of(made), made.groups, outcome="test_auc") is not None) == told


def test_no_interval_over_classes_where_the_parts_do_not_belong(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=5)
    runs = runs_of(made)
    assert over_classes(runs, made.groups, outcome="test_auc") is not None
    assert over_classes(runs, None, outcome="test_auc") is None
    assert over_classes(runs, made.groups.slice(0, 0), outcome="test_auc") is None
    assert over_classes(runs, made.groups, outcome="test_recall_at_1") is None
    assert class_parts(made.groups.slice(10), runs) is None  # the first run's are missing
    made.tables.group_rows[0]["value"] += 0.1  # not the AUC of this run
    assert class_parts(made.groups, runs) is None


def test_a_diverged_run_counts_as_chance_in_every_class(make_factorial: Make) -> None:
    made = make_factorial(TRUTH, replicates=5)
    made.lose(ON, 3, 1)
    runs = runs_of(made)
    found = class_parts(made.groups, runs)
    assert found is not None
    parts, pairs = found
    assert parts @ pairs / pairs.sum() == pytest.approx(runs.values, abs=1e-12)


def test_classes_that_agree_add_nothing_and_classes_that_differ_widen() -> None:
    by_unit = np.random.default_rng(1).normal(0.01, 0.004, (12, 1))
    pairs = np.array([45.0, 190.0, 435.0, 780.0])
    alike = crossed_interval(np.repeat(by_unit, 4, axis=1), pairs)
    differing = crossed_interval(by_unit + np.array([-0.03, 0.0, 0.02, 0.01]), pairs)
    assert alike.estimate == pytest.approx(by_unit.mean())
    assert alike.ci_high - alike.ci_low < 0.4 * (differing.ci_high - differing.ci_low)
    resampled = by_unit.std() / np.sqrt(12) * np.sqrt(4 / 3)
    assert (alike.ci_high - alike.estimate) / stats.t.ppf(0.975, 3) == pytest.approx(resampled, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("units", "classes"), [(7, 40), (12, 3000), (5, 1499)])
def test_resamples_in_blocks_are_those_of_all_at_once(
    units: int, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit; 3,000 classes are three blocks as it is."""
    draw = np.random.default_rng(units)
    parts, pairs = draw.normal(0.01, 0.02, (units, classes)), draw.integers(1, 99, classes).astype(float)
    found = crossed_interval(parts, pairs)
    monkeypatch.setattr(sensitivity, "BLOCK_VALUES", 2 * sensitivity.RESAMPLES * classes)
    assert crossed_interval(parts, pairs) == found
    monkeypatch.setattr(sensitivity, "BLOCK_VALUES", 100 * classes)
    assert crossed_interval(parts, pairs) == found


@pytest.mark.slow
def test_of_eleven_thousand_classes_a_hundred_megabytes_are_never_taken() -> None:
    """As a whole, what is drawn would be several arrays of 176 MB."""
    parts = np.random.default_rng(0).normal(0, 1, (8, 11_000))
    tracemalloc.start()
    crossed_interval(parts, np.ones(11_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.slow
@pytest.mark.parametrize("of_class", [0.5, 2.0])
def test_the_crossed_interval_covers_where_classes_vary_and_the_one_over_units_does_not(of_class: float) -> None:
    rng, sets = np.random.default_rng(2024), 500
    crossed = over_units = 0
    for _ in range(sets):
        parts = rng.normal(0, 0.5, (12, 1)) + rng.normal(0, of_class, (1, 10)) + rng.normal(0, 0.5, (12, 10))
        found, narrow = crossed_interval(parts, np.ones(10)), t_interval(parts.mean(axis=1))
        crossed += found.ci_low <= 0 <= found.ci_high
        over_units += narrow.ci_low <= 0 <= narrow.ci_high
    assert 0.93 <= crossed / sets <= 0.99
    assert over_units / sets < 0.90
