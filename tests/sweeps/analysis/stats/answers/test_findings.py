"""From a plan to findings: what is held together, what gets a sentence, what follows, what failed runs may claim."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from sweeps.analysis.report.scope import cells_differ
from sweeps.analysis.report.sections.effects import effects
from sweeps.analysis.stats.answers.contrast_table import contrast_rows
from sweeps.analysis.stats.answers.findings import Finding, findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import comparisons
from sweeps.analysis.stats.intervals.effects import Effect, Interval, replicated_effect, t_interval
from sweeps.analysis.stats.reading.contrasts import cell_runs
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan
from sweeps.results.rows import cast

Make = Callable[..., Any]
OFF1, OFF4, ON1, ON4 = (f"koleo={koleo},accum_steps={k}" for koleo in ("off", "on") for k in (1, 4))
PAIR = {"koleo=off": 0.9, "koleo=on": 0.9}
GROWN = {"plan_sha256": "b" * 64, "samples": 0, "blocks": 2, "replicates": 3}


def found_of(made: Any, plan: StoredPlan | None = None) -> list[Finding]:
    return findings(made.trials, made.curves, plan or made.stored, made.groups)


def of(found: list[Finding], family: str) -> list[Finding]:
    return [one for one in found if one.contrast.family == family]


@pytest.fixture(scope="module")
def made(make_factorial: Make) -> Any:
    """Not to be changed."""
    return make_factorial()


@pytest.fixture(scope="module")
def found(made: Any) -> list[Finding]:
    return found_of(made)


def test_families_come_in_order_and_only_primaries_are_judged(found: list[Finding]) -> None:
    families = [one.contrast.family for one in found]
    assert families == ["primary"] * 4 + ["beside"] * 4 + ["common"] * 4 + ["exploratory"] * 2
    for one in found:
        assert isinstance(one.estimated, Effect if one.contrast.family == "primary" else Interval)
        assert bool(one.sentence) == (one.contrast.family == "primary")
    assert found[0].sentence.startswith("KoLeo raised AUC by .015")
    assert "(8 tunings x 2 seeds, digits, fixed triplets)" in found[0].sentence
    assert found[1].sentence.startswith("Accumulation (K=4 against 1) with KoLeo lowered AUC by .0096")
    assert "KoLeo's effect on AUC" in found[3].sentence
    assert [one.name for one in found[:4]] == [
        "KoLeo",
        "accumulation (K=4 against 1) with KoLeo",
        "accumulation (K=4 against 1) without KoLeo",
        "accumulation (K=4 against 1), on KoLeo's effect",
    ]


def test_primaries_are_held_together(made: Any, found: list[Finding]) -> None:
    confirm = made.trials.filter(pc.equal(made.trials["stage"], "confirm"))
    for one in of(found, "primary"):
        runs = cell_runs(confirm, one.contrast)
        assert one.effect == replicated_effect(runs.outcomes, weights=runs.weights, sesoi=0.003, family=4)
        plain = t_interval(runs.values)
        assert one.effect is not None
        assert one.effect.ci_high - one.effect.ci_low > 1.3 * (plain.ci_high - plain.ci_low)
        assert one.superiority is not None
        assert one.superiority.estimate == np.mean(runs.values > 0)
        assert one.detectable is not None
        assert one.detectable.ci_low < one.detectable.estimate < one.detectable.ci_high
        assert one.due_to_tuning is not None
        assert 0 <= one.due_to_tuning <= 1


def test_a_primary_that_was_refused_still_counts(make_factorial: Make) -> None:
    broken = make_factorial(replicates=5)
    broken.row(OFF4, 3).update(end_reason="oom", test_auc=None)
    first, second, *_ = of(found_of(broken), "primary")
    assert first.sentence.startswith("Not estimated: the effect of KoLeo. Incomplete blocks")
    assert (first.estimated, first.runs) == (None, None)
    assert second.effect is not None
    assert second.effect.family == 4


def test_a_single_primary_is_held_to_itself(make_factorial: Make) -> None:
    (primary,) = of(found_of(make_factorial(PAIR)), "primary")
    assert primary.effect is not None
    assert primary.effect.family == 1


def test_the_other_outcome_has_intervals_of_its_own(made: Any, found: list[Finding]) -> None:
    for primary, other in zip(of(found, "primary"), of(found, "beside"), strict=True):
        weights = primary.contrast.weights
        units = sum(w * made.values(cell, "test_recall_at_1").mean(axis=1) for cell, w in weights.items())
        expected = t_interval(units)
        assert other.contrast.outcome == "test_recall_at_1"
        assert other.estimated is not None
        assert (other.estimated.estimate, other.estimated.ci_low) == pytest.approx((expected.estimate, expected.ci_low))
    assert of(found, "beside")[3].contrast.outcome_label == "KoLeo's effect on recall@1"


def test_an_outcome_beside_that_no_run_measured_is_left_out(make_factorial: Make) -> None:
    made = make_factorial(replicates=4)
    for row in made.tables.trial_rows:
        row["test_recall_at_1"] = None
    assert of(found_of(made), "beside") == []


def test_common_settings_are_contrasts_of_tune_rows(made: Any, found: list[Finding]) -> None:
    rows = [row for row in made.tables.trial_rows if row["stage"] == "tune"]
    first = of(found, "common")[0]
    by_hand = [
        sum(
            weight * np.mean([r["final_val_auc"] for r in rows if (r["cell_id"], r["replicate"]) == (cell, replicate)])
            for cell, weight in first.contrast.weights.items()
        )
        for replicate in range(1, 9)
    ]
    expected = t_interval(by_hand)
    assert first.estimated is not None
    assert (first.estimated.estimate, first.estimated.ci_high) == pytest.approx((expected.estimate, expected.ci_high))
    assert first.runs is not None
    assert first.runs.counted() == "8 replicates x 6 points"


def test_common_settings_need_points_that_all_ran_and_more_than_one_split(make_factorial: Make) -> None:
    assert of(found_of(make_factorial(replicates=4, tuner="optuna")), "common") == []
    assert of(found_of(make_factorial(replicates=1, blocks=8)), "common") == []


def test_one_tuning_is_a_pilot_however_many_seeds(make_factorial: Make) -> None:
    for one in of(found_of(make_factorial(replicates=1, blocks=16)), "primary"):
        assert one.effect is not None
        assert (one.effect.verdict, one.effect.unit) == ("pilot", "block")
        assert "at one tuning: 16 seeds" in one.sentence
        assert one.sentence.startswith("Pilot, no verdict")
        assert (one.detectable, one.due_to_tuning) == (None, None)


def test_three_replicates_are_a_pilot_and_four_are_not(make_factorial: Make) -> None:
    for replicates, pilot in ((3, True), (4, False)):
        first = found_of(make_factorial(replicates=replicates))[0]
        assert first.effect is not None
        assert (first.effect.verdict == "pilot") == pilot
        assert ((first.detectable, first.due_to_tuning) == (None, None)) == pilot


def test_old_drop_in_folders_say_that_nothing_was_tuned(make_confirm: Make) -> None:
    tables = make_confirm(effect=-0.021)
    plan = StoredPlan(contrasts=(Contrast.pair("koleo=off", "koleo=on", label="KoLeo"),))
    (only,) = findings(tables.trials, tables.curves, plan)
    assert "(7 seeds, digits, fixed triplets, drop-in: nothing tuned)" in only.sentence
    assert only.effect is not None
    assert only.effect.verdict == "beyond"


def test_replicates_added_after_a_look_widen_the_interval_and_it_says_so(made: Any) -> None:
    grown = replace(made.stored, extended=(GROWN,))
    for plain, wide in zip(of(found_of(made), "primary"), of(found_of(made, grown), "primary"), strict=True):
        assert plain.effect is not None
        assert wide.effect is not None
        widths = [one.ci_high - one.ci_low for one in (plain.effect, wide.effect)]
        assert 1.3 < widths[1] / widths[0] < 2.5
        assert wide.effect.anytime
        assert "interval valid at every look" in wide.sentence
        assert wide.detectable is None
        assert "p is valid at every look (the inverse of an e-value), multiplied by 4." in effects([wide]).paragraphs[0]
    looked = found_of(made, replace(made.stored, looked=True))[0]
    assert looked.effect is not None
    assert looked.effect.anytime


def test_below_six_replicates_there_is_no_second_look(make_factorial: Make) -> None:
    few = make_factorial(replicates=5)
    found = found_of(few, replace(few.stored, extended=(GROWN,)))
    for one in of(found, "primary"):
        assert one.estimated is None
        assert "5 are not enough replicates to look twice; that takes 6." in one.sentence
        assert "without an interval" in one.sentence
    assert not [row for row in contrast_rows(found) if row["family"] == "primary"]


def test_an_old_drop_in_folder_that_grew_by_blocks_was_looked_at_too(make_confirm: Make) -> None:
    tables, pair = make_confirm(blocks=9), Contrast.pair("koleo=off", "koleo=on", label="KoLeo")
    before = {"sha256": "b" * 64, "samples": 0, "blocks": 7}
    plan = StoredPlan(confirm="drop-in", blocks=9, extended=(before,), contrasts=(pair,))
    (only,) = findings(tables.trials, tables.curves, plan)
    assert only.effect is not None
    assert (only.effect.anytime, only.effect.n) == (True, 9)


def test_a_sweep_judged_by_recall_survives_one_divergence(make_factorial: Make) -> None:
    made = make_factorial(replicates=6, outcome="recall_at_1")
    made.lose(ON4, 2, 1)
    first, second, *_ = of(found_of(made), "primary")
    assert second.effect is not None
    assert second.runs is not None
    assert second.runs.outcomes.min() == 0
    caveats = " ".join(line for one in (first, second) for line in one.caveats)
    assert f"{ON4}: 1 diverged of 12 runs, counted as 0, the worst there is (test recall at 1)." in caveats
    assert caveats.count("1 diverged of 12 runs") == 1
    assert (
        "accumulation (K=4 against 1) with KoLeo, test recall at 1: without the blocks of failed runs the difference is"
        in caveats
    )


def test_only_primaries_are_told_without_failed_runs_and_outcomes_are_named(make_factorial: Make) -> None:
    made = make_factorial(PAIR, replicates=5)
    made.lose("koleo=on", 2)
    made.row("koleo=off", 3)["collapsed"] = True
    for row in made.tables.trial_rows:
        if (row["stage"], row["replicate"], row.get("point"), row["cell_id"]) == ("tune", 1, 2, "koleo=on"):
            row["collapsed"] = True
    lines = {family: " ".join(of(found_of(made), family)[0].caveats) for family in ("primary", "beside", "common")}
    assert "KoLeo, test AUC: without the blocks" in lines["primary"]
    assert "which count with the test AUC they reached" in lines["primary"]
    assert "without the blocks" not in lines["beside"]
    assert "counted as 0, the worst there is (test recall at 1)" in lines["beside"]
    assert "which count with the test recall at 1 they reached" in lines["beside"]
    assert "koleo=on: embeddings had collapsed at the last epoch of 1 of 30 runs" in lines["common"]


def test_runs_that_failed_alike_make_nothing_equivalent(make_factorial: Make) -> None:
    made = make_factorial(PAIR, replicates=12, blocks=1, tuning_sd=0.004)
    before = found_of(made)[0].effect
    for replicate in range(1, 9):
        for cell in PAIR:
            made.lose(cell, replicate)
    (after,) = of(found_of(made), "primary")
    assert before is not None
    assert after.effect is not None
    assert after.runs is not None
    assert after.runs.effect(
        sesoi=0.003
    ).equivalent  # the zeros of failed pairs narrow the interval; they claim nothing
    assert (before.verdict, after.effect.verdict, after.effect.equivalent) == ("no_evidence", "no_evidence", False)
    assert after.withdrawn
    assert "but 16 runs failed, and without the seeds of those it does not" in after.sentence
    section = effects([after])
    assert "The verdict follows from the interval alone" not in " ".join(section.paragraphs)
    assert "The verdict follows from the interval, except that no equivalence" in section.paragraphs[0]


def test_where_every_run_failed_nothing_is_estimated(make_factorial: Make) -> None:
    made = make_factorial(PAIR, replicates=4)
    for replicate in range(1, 5):
        for block in (1, 2):
            for cell in PAIR:
                made.lose(cell, replicate, block)
    first = found_of(made)[0]
    assert first.estimated is None
    assert "Nothing was measured: every run of koleo=off, koleo=on diverged" in first.sentence


def test_a_sign_that_hangs_on_the_classes_is_told(make_factorial: Make) -> None:
    made = make_factorial({"koleo=off": 0.90, "koleo=on": 0.901}, tuning_sd=0.0, seed_sd=1e-5, classes=8)
    trials = {row["trial_id"]: row for row in made.tables.trial_rows if row["stage"] == "confirm"}
    for part in made.tables.group_rows:  # the largest class gains, the others lose
        shared = 0.9 + 0.001 * trials[part["trial_id"]]["replicate"]
        on = trials[part["trial_id"]]["koleo"]
        part["value"] = shared + on * (0.03 if part["class_id"] == 7 else -0.01)
    for trial_id, row in trials.items():
        own = [part for part in made.tables.group_rows if part["trial_id"] == trial_id]
        pairs = [part["n"] * (part["n"] - 1) for part in own]
        row["test_auc"] = float(np.average([part["value"] for part in own], weights=pairs))
    first = found_of(made)[0]
    assert first.over_classes is not None
    assert any("the sign is not settled for other classes" in line for line in first.caveats)


def test_controls_say_how_far_equal_runs_differ(make_factorial: Make) -> None:
    made = make_factorial(replicates=2, blocks=2)
    for replicate in (1, 2):
        for block in (1, 2):
            made.row(OFF4, replicate, block)["test_auc"] = made.row(OFF1, replicate, block)["test_auc"] + 0.004
    entry = {"code": "A/A", "label": "off at K=4", "weights": {OFF1: -1.0, OFF4: 1.0}, "family": "control"}
    made.plan["contrasts"].append(entry | {"outcome": "test_auc", "estimand": "control"})
    (control,) = of(found_of(made), "control")
    assert "root mean square .004" in control.sentence  # a bias is not hidden by its mean
    assert control.effect is None
    assert control.runs is not None
    assert control.runs.pairs == pytest.approx([0.004] * 4)


def test_the_table_has_every_number_and_is_the_same_each_time(made: Any, found: list[Finding]) -> None:
    compared = comparisons(made.trials, made.stored)
    rows = contrast_rows(found, compared)
    assert json.dumps(rows) == json.dumps(contrast_rows(found_of(made), compared))
    cast("contrasts", rows)  # columns and types are the schema's
    first = rows[0]
    assert (first["code"], first["family"], first["scale"], first["n"]) == ("E1", "primary", "raw", 8)
    assert (first["unit"], first["blocks"], first["family_size"], first["anytime"]) == ("replicate", 2, 4, False)
    assert json.loads(first["weights"]) == dict(found[0].contrast.weights)
    assert first["detectable_low"] < first["detectable_high"]
    assert first["crossed_low"] < first["estimate"] < first["crossed_high"]
    assert first["share_above_zero"] == 1.0
    own = [row for row in rows if row["estimand"] == "koleo"]
    assert [row["epoch"] for row in own if row["metric"] == "val_auc" and row.get("epoch")] == [1, 2, 3, 4, 5]
    judged = [row for row in rows if row.get("verdict") is not None]
    assert {row["family"] for row in judged} == {"primary"}
    assert all(row.get("p_value") is None for row in rows if row["family"] != "primary")
    shares = [row for row in rows if row["scale"] == "share"]
    assert [row["metric"] for row in shares] == ["test_auc", "test_recall_at_1"]


def test_settings_in_which_cells_differ_are_those_of_every_replicate(make_factorial: Make) -> None:
    made = make_factorial(PAIR, replicates=2, blocks=1, points=0)
    row = made.row("koleo=on", 2)
    row["config_json"] = json.dumps(json.loads(row["config_json"]) | {"lr": 0.123})
    rows = sorted((row for row in made.tables.trial_rows), key=lambda row: row["replicate"])
    assert cells_differ(rows[:2], made.stored.contrasts[:1]) == ["KoLeo and KoLeo off differ in: koleo, koleo_weight."]
    assert "differ in: koleo, koleo_weight, lr." in cells_differ(rows, made.stored.contrasts[:1])[0]


CLAIMS = {
    "raised": lambda low, high: low > 0,
    "lowered": lambda low, high: low > 0,  # sizes are printed
    "changed": lambda low, high: low > 0 or high < 0,
    "makes no difference that matters": lambda low, high: low <= 0 <= high,
    "do not settle": lambda low, high: low <= 0 <= high,
}


@pytest.mark.parametrize("seed", range(12))
def test_no_sentence_contradicts_the_interval_that_it_prints(seed: int, make_factorial: Make) -> None:
    """Random sweeps of all sizes, effects and noises."""
    rng = np.random.default_rng(seed)
    truth = {cell: 0.9 + float(rng.choice([0, 0, 0.003, 0.004, 0.01, -0.02])) for cell in (OFF1, OFF4, ON1, ON4)}
    made = make_factorial(
        truth,
        replicates=int(rng.integers(1, 12)),
        blocks=int(rng.integers(2, 4)),
        points=2,
        tuning_sd=float(10 ** rng.uniform(-5, -1.7)),
        seed_sd=float(10 ** rng.uniform(-5, -2)),
        seed=seed,
    )
    for one in of(found_of(made), "primary"):
        if one.sentence.startswith("Pilot"):
            continue
        (said,) = [claim for claim in CLAIMS if claim in one.sentence]
        printed = re.search(r"\[([-+.\d]+), ([-+.\d]+)\]|between ([-+.\d]+) and ([-+.\d]+)", one.sentence)
        assert printed is not None, one.sentence
        low, high = (float(end) for end in printed.groups() if end is not None)
        assert CLAIMS[said](low, high), one.sentence
        if "more than the" in one.sentence:
            assert min(abs(low), abs(high)) > 0.003, one.sentence
