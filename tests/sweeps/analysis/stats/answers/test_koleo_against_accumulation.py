"""KoLeo and accumulation on one axis: parts by hand, the share against simulation, cells that serve every K."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.report.sections.derived import against
from sweeps.analysis.stats.answers.contrast_table import contrast_rows
from sweeps.analysis.stats.answers.koleo_against_accumulation import PARTS, comparisons, fieller
from sweeps.analysis.stats.intervals.effects import t_interval

Make = Callable[..., Any]
OFF = "koleo=off"
OFF1, OFF4, ON1, ON4 = (f"koleo={koleo},accum_steps={k}" for koleo in ("off", "on") for k in (1, 4))


def test_parts_are_contrasts_of_replicates_in_units_of_the_outcome(make_factorial: Make) -> None:
    made = make_factorial(replicates=6, blocks=2)
    auc, recall = comparisons(made.trials, made.stored)
    assert (auc.outcome, recall.outcome, auc.low, auc.high) == ("test_auc", "test_recall_at_1", "1", "4")
    for found, column in ((auc, "test_auc"), (recall, "test_recall_at_1")):
        off1, off4, on1, on4 = (made.values(cell, column).mean(axis=1) for cell in (OFF1, OFF4, ON1, ON4))
        for part, units in (
            ("koleo", on1 - off1),
            ("accumulation", on4 - on1),
            ("difference", (on1 - off1) - (on4 - on1)),
            ("taken_back", (on4 - off4) - (on1 - off1)),
        ):
            level = 1 - 0.05 / 4 if part in found.shared else 0.95
            expected, own = t_interval(units, level=level), getattr(found, part)
            assert (own.estimate, own.ci_low, own.n) == pytest.approx((expected.estimate, expected.ci_low, 6))
    assert (auc.shared, recall.shared) == (("accumulation", "taken_back"), ())
    assert auc.share is not None
    assert auc.share.estimate == pytest.approx(-auc.taken_back.estimate / auc.koleo.estimate)
    assert auc.counted == "6 tunings x 2 seeds"


def test_one_cell_without_koleo_serves_every_k(make_factorial: Make) -> None:
    made = make_factorial({OFF: 0.90, ON1: 0.92, ON4: 0.91}, replicates=5)
    found = comparisons(made.trials, made.stored)[0]
    assert found.taken_back == found.accumulation
    assert found.koleo.estimate == pytest.approx((made.values(ON1) - made.values(OFF)).mean())


def test_other_factors_are_averaged_over(make_factorial: Make) -> None:
    truth = {f"koleo={k},accum_steps={a},batch_size={b}": 0.9 for k in ("off", "on") for a in (1, 4) for b in (64, 128)}
    made = make_factorial(dict.fromkeys((OFF1, OFF4, ON1, ON4), 0.9), replicates=4)
    for row in [*made.tables.trial_rows]:
        twin = row | {"cell_id": row["cell_id"] + ",batch_size=128", "trial_id": "x" + row["trial_id"]}
        made.tables.trial_rows.append(twin)
        row["cell_id"] += ",batch_size=64"
    for row in made.tables.trial_rows:
        size = int(row["cell_id"].rsplit("=", 1)[1])
        row["batch_size"] = size
        if row["stage"] == "confirm":
            row["test_auc"] += 0.01 * (size == 128) * row["koleo"]
    sign = {cell: (1 if "=on" in cell else -1) / 4 for cell in truth}
    made.plan["cells"] = []
    made.plan["contrasts"] = [{"label": "KoLeo", "weights": sign, "outcome": "test_auc"}]
    found = comparisons(made.trials, made.stored)[0]
    per_size = [np.mean([r["test_auc"] for r in made.tables.trial_rows
                         if (r["stage"], r["cell_id"]) == ("confirm", f"{cell},batch_size={size}")])
                for cell in (ON1, OFF1) for size in (64, 128)]  # fmt: skip
    assert found.koleo.estimate == pytest.approx((per_size[0] + per_size[1] - per_size[2] - per_size[3]) / 2)


def test_after_a_look_parts_hold_at_every_look_or_have_no_interval(make_factorial: Make) -> None:
    made = make_factorial(replicates=8)
    looked = replace(made.stored, looked=True)
    plain, wide = (comparisons(made.trials, plan)[0] for plan in (made.stored, looked))
    for part in PARTS:
        one, other = getattr(plain, part), getattr(wide, part)
        assert 1.3 < (other.ci_high - other.ci_low) / (one.ci_high - one.ci_low) < 2.5
    assert plain.share is not None
    assert wide.share is not None
    assert wide.share.ci_high - wide.share.ci_low > 1.3 * (plain.share.ci_high - plain.share.ci_low)
    few = make_factorial(replicates=5)
    bare = comparisons(few.trials, replace(few.stored, looked=True))[0]
    assert (bare.bare, bare.share) == (True, None)
    section = against([bare])
    assert "Estimates only" in section.paragraphs[1]
    assert not any("[" in text or "nan" in text for text in section.tables[0].rows[0])
    assert contrast_rows([], [bare]) == []


def test_variants_of_koleo_are_averaged_over(make_factorial: Make) -> None:
    made = make_factorial({OFF: 0.90, ON1: 0.92, ON4: 0.91}, replicates=5)
    for row in [row for row in made.tables.trial_rows if row["koleo"]]:
        other = row | {"cell_id": row["cell_id"] + ",koleo_exclude_same_class=on", "trial_id": "x" + row["trial_id"]}
        other |= {"koleo_exclude_same_class": True}
        if row["stage"] == "confirm":
            other["test_auc"] += 0.004
        made.tables.trial_rows.append(other)
        row["cell_id"] += ",koleo_exclude_same_class=off"
    named = [f"{cell},koleo_exclude_same_class={level}" for cell in (ON1, ON4) for level in ("off", "on")]
    made.plan["cells"] = []
    made.plan["contrasts"] = [
        {"label": "KoLeo", "weights": {OFF: -1.0} | dict.fromkeys(named, 0.25), "outcome": "test_auc"}
    ]
    before = make_factorial({OFF: 0.90, ON1: 0.92, ON4: 0.91}, replicates=5)
    found = comparisons(made.trials, made.stored)[0]
    plain = (before.values(ON1) - before.values(OFF)).mean()
    assert found.koleo.estimate == pytest.approx(plain + 0.002)


def test_without_both_factors_there_is_nothing_to_compare(make_factorial: Make, make_confirm: Make) -> None:
    made = make_factorial({"koleo=off": 0.9, "koleo=on": 0.92})
    assert comparisons(made.trials, made.stored) == []
    lost = make_factorial(replicates=3)
    lost.row(ON1, 2).update(end_reason="oom", test_auc=None, test_recall_at_1=None)
    assert comparisons(lost.trials, lost.stored) == []


def test_the_share_cannot_be_told_where_the_effect_may_be_nothing() -> None:
    rng = np.random.default_rng(0)
    assert fieller(rng.normal(0.01, 0.01, 8), np.array([0.01, -0.02, 0.03, -0.01] * 2)) is None
    told = fieller(rng.normal(0.01, 0.001, 8), rng.normal(0.02, 0.001, 8))
    assert told is not None
    assert told.ci_low < told.estimate < told.ci_high


@pytest.mark.slow
def test_fieller_covers_the_ratio_at_its_nominal_rate() -> None:
    """20,000 sweeps of 8 correlated replicates, an effect of 4 SE of which half is taken back; SE of .95: .0015."""
    rng, covered, told = np.random.default_rng(1), 0, 0
    for _ in range(20_000):
        shared = rng.normal(0, 0.5, 8)
        found = fieller(1.0 + shared + rng.normal(0, 1, 8), 2.0 + shared + rng.normal(0, 1, 8))
        if found is not None:
            told += 1
            covered += found.ci_low <= 0.5 <= found.ci_high
    assert told / 20_000 > 0.9
    assert covered / 20_000 + (1 - told / 20_000) >= 0.945  # where it is not bounded it covers everything or nearly so
    assert covered / 20_000 + (1 - told / 20_000) <= 0.96
