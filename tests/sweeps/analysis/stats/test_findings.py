"""From planned contrasts to sentences: who is held to Holm, what is called exploratory, what is derived."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.figures.forest import forest_items
from sweeps.analysis.report.effect_sections import effects
from sweeps.analysis.report.scope import scope
from sweeps.analysis.stats.contrast_table import contrast_rows
from sweeps.analysis.stats.derived import derived
from sweeps.analysis.stats.effects import blocks_needed, effect_of, with_adjusted_p
from sweeps.analysis.stats.findings import Finding, findings, holm
from sweeps.analysis.stats.stored_plan import Contrast

Make = Callable[..., Any]
OFF, K1, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"
TWIN, DROPPED = "koleo=off,accum_steps=4", "koleo=on,accum_steps=1,origin=drop-in"
TRUTH = {OFF: 0.90, K1: 0.92, K4: 0.90, TWIN: 0.90, DROPPED: 0.91}

E1 = Contrast(code="E1", estimand="koleo", label="KoLeo", weights={OFF: -1.0, K1: 0.5, K4: 0.5})
E2 = Contrast(
    code="E2, E3",
    estimand="accumulation with KoLeo",
    label="each doubling of accumulation steps, with KoLeo,",
    weights={K1: -0.5, K4: 0.5},
    note="This is also the interaction.",
)
AT_K1 = Contrast.pair(OFF, K1, code="E1", estimand="koleo at K=1", label="KoLeo at K=1", family="exploratory")
E4 = Contrast.pair(OFF, DROPPED, code="E4", estimand="koleo, drop-in", label="KoLeo", family="exploratory")
CONTROL = Contrast.pair(
    OFF, TWIN, code="A/A", estimand=f"{TWIN} against {OFF}", label=TWIN, family="control", blocks=(1, 2, 3, 4)
)


def built(make_factorial: Make) -> Any:
    tables = make_factorial(TRUTH, blocks=8)
    for block in range(1, 9):
        tables.row(TWIN, block)["test_auc"] = tables.row(OFF, block)["test_auc"] + 1e-4 * (-1) ** block
    return tables


@pytest.fixture
def tables(make_factorial: Make) -> Any:
    """Of a test's own, to change."""
    return built(make_factorial)


@pytest.fixture(scope="module")
def found(make_factorial: Make) -> list[Finding]:
    tables = built(make_factorial)
    return findings(tables.trials, tables.curves, [CONTROL, E4, AT_K1, E1, E2], tables.groups)


def by_estimand(found: list[Finding], estimand: str) -> Finding:
    return next(finding for finding in found if finding.contrast.estimand == estimand)


def test_primaries_come_first_and_the_rest_says_what_it_is(found: list[Finding]) -> None:
    assert [finding.contrast.family for finding in found] == ["primary"] * 2 + ["exploratory"] * 3 + ["control"]
    assert found[0].verdict.startswith("KoLeo raised AUC by .0")
    assert found[1].verdict.startswith("Each doubling of accumulation steps, with KoLeo, lowered AUC by .0")
    assert found[1].verdict.endswith(" This is also the interaction.")
    assert all(finding.verdict.startswith("Exploratory: ") for finding in found[2:5])
    assert found[5].verdict == (
        f"A/A control, {TWIN} against {OFF}: AUC differed by at most .0001 in a block (root mean square .0001; 4 "
        "blocks, digits, triplet, best of tune), beside a SESOI of .003."
    )


def test_holm_holds_the_primaries_alone(found: list[Finding]) -> None:
    plain = [finding.result[0].p_value for finding in found[:2] if finding.result is not None]
    assert [finding.p_holm for finding in found[:2]] == pytest.approx([2 * min(plain), max(2 * min(plain), max(plain))])
    assert [finding.p_holm for finding in found[2:]] == [None] * 4


def test_a_primary_that_was_refused_still_counts(tables: Any) -> None:
    alone = findings(tables.trials, tables.curves, [E1])[0]
    tables.row(K4, 3).update(end_reason="oom", test_auc=None)
    refused, kept = findings(tables.trials, tables.curves, [E1, Contrast.pair(OFF, K1, label="KoLeo at K=1")])
    assert refused.verdict.startswith("Not estimated: the effect of KoLeo. Incomplete blocks")
    assert (refused.result, refused.p_holm) == (None, None)
    assert kept.result is not None
    assert kept.p_holm == pytest.approx(2 * kept.result[0].p_value)
    assert alone.result is not None
    assert alone.p_holm == alone.result[0].p_value


def test_holm_is_the_step_down_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.slow
def test_the_family_wise_error_of_three_primaries() -> None:
    """1,000 sweeps of 8 blocks where nothing has an effect: with Holm at most 5 % claim anything, without it more."""
    rng, sets = np.random.default_rng(7), 1000
    weights = np.array([[-0.5, -0.5, 0.5, 0.5], [0, 0, -0.5, 0.5], [0.5, -0.5, -0.5, 0.5]])
    claimed = unadjusted = 0
    for _ in range(sets):
        primaries = [effect_of(values) for values in weights @ rng.normal(0.9, 0.01, (4, 8))]
        p_values = [effect.p_value for effect in primaries]
        if min(p_values) > 0.05:
            continue  # adjusting only raises them
        unadjusted += 1
        held = [with_adjusted_p(effect, p) for effect, p in zip(primaries, holm(p_values), strict=True)]
        claimed += any(effect.verdict in ("beyond", "unsettled", "below_sesoi") for effect in held)
    assert claimed / sets <= 0.065
    assert unadjusted / sets > 0.08


def test_derived_contrasts_are_differences_of_planned_ones(tables: Any, found: list[Finding]) -> None:
    (against,) = derived([E1, E2])  # with K of 1 and 4 it is KoLeo's effect at K=1, which gets no second row
    assert (against.estimand, against.weights) == ("koleo against accumulation", {OFF: -1.0, K1: 1.0})
    assert derived([E1, E2, AT_K1]) == []
    tuned = by_estimand(found, "koleo, tuned less drop-in")
    assert tuned.contrast.weights == {K1: 0.5, K4: 0.5, DROPPED: -1.0}
    assert tuned.result is not None
    estimates = {f.contrast.code: f.result[0].estimate for f in found if f.result is not None}
    assert tuned.result[0].estimate == pytest.approx(estimates["E1 − E4"])
    by_hand = [
        tables.row(K1, b)["test_auc"] / 2 + tables.row(K4, b)["test_auc"] / 2 - tables.row(DROPPED, b)["test_auc"]
        for b in range(1, 9)
    ]
    assert tuned.result[0].estimate == pytest.approx(np.mean(by_hand))
    assert derived([E1]) == []
    assert derived([AT_K1, E2]) == []


def test_the_interaction_has_a_sentence_of_its_own(make_factorial: Make) -> None:
    cells = [f"koleo={arm},accum_steps={k}" for arm in ("off", "on") for k in (1, 4)]
    tables = make_factorial(dict(zip(cells, (0.90, 0.89, 0.93, 0.875), strict=True)), noise=0.001)
    weights = dict(zip(cells, (0.5, -0.5, -0.5, 0.5), strict=True))
    contrast = Contrast(
        code="E3",
        estimand="interaction",
        label="each doubling of accumulation steps",
        outcome_label="KoLeo's effect on AUC",
        weights=weights,
    )
    (finding,) = findings(tables.trials, tables.curves, [contrast])
    assert finding.verdict.startswith("Each doubling of accumulation steps lowered KoLeo's effect on AUC by .02")
    (pilot,) = findings(tables.trials.filter(tables.trials["block"].to_numpy() < 4), tables.curves, [contrast])
    assert pilot.verdict.startswith(
        "Pilot, no verdict: with each doubling of accumulation steps, KoLeo's effect on AUC differed by -.02"
    )


def test_the_table_has_every_number_and_is_the_same_each_time(tables: Any, found: list[Finding]) -> None:
    rows = contrast_rows(found)
    again = contrast_rows(findings(tables.trials, tables.curves, [CONTROL, E4, AT_K1, E1, E2], tables.groups))
    assert json.dumps(rows) == json.dumps(again)
    first = rows[0]
    assert (first["code"], first["family"], first["scale"], first["n"]) == ("E1", "primary", "raw", 8)
    assert json.loads(first["weights"]) == E1.weights
    assert first["crossed_low"] < first["ci_low"] < first["bca_low"] < first["estimate"] < first["bca_high"]
    assert first["minimum_detectable"] > 0
    own = [row for row in rows if row["estimand"] == "koleo"]
    assert [row["epoch"] for row in own if row["metric"] == "val_auc"] == [1, 2, 3, 4, 5]
    assert [row["family"] for row in own if row.get("scale") == "logit"] == ["exploratory"]
    ranks = [row["estimate"] for row in own if row["metric"] == "val_effective_rank"]
    assert ranks == pytest.approx([8.0])
    assert sum("verdict" in row for row in rows) == len(found)


def test_failures_are_said_once_and_their_weight_for_every_contrast(tables: Any) -> None:
    tables.row(K1, 2).update(end_reason="diverged", test_auc=None)
    found = findings(tables.trials, tables.curves, [E1, AT_K1])
    lines = [line for finding in found for line in finding.sensitivity]
    assert lines.count(f"{K1}: 1 diverged of 8 runs, counted as AUC .5.") == 1
    assert sum("Without those blocks the difference of E1 is" in line for line in lines) == 2


def test_a_sign_that_hangs_on_the_classes_is_told(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.90, K1: 0.902}, blocks=8, noise=0.0)
    for row in tables.group_rows:  # one class gains, the others lose
        if row["trial_id"] in {r["trial_id"] for r in tables.trial_rows if r["cell_id"] == K1}:
            row["value"] += 0.02 if row["class_id"] == 4 else -0.02
    for row in tables.trial_rows:
        own = [r for r in tables.group_rows if r["trial_id"] == row["trial_id"]]
        pairs = [r["n"] * (r["n"] - 1) for r in own]
        row["test_auc"] = float(np.average([r["value"] for r in own], weights=pairs)) + 1e-7 * row["block"]
    (finding,) = findings(tables.trials, tables.curves, [Contrast.pair(OFF, K1, label="KoLeo")], tables.groups)
    assert any("the sign is not settled for other classes" in line for line in finding.sensitivity)


def test_forest_tables_and_scope_speak_of_every_contrast(tables: Any, found: list[Finding]) -> None:
    assert [item.label for item in forest_items(found)][:2] == ["E1 koleo", "E2, E3 accumulation with KoLeo"]
    assert len(forest_items(found)) == len(found)
    headers = {table.header[0]: table for table in effects(found).tables}
    assert list(headers) == ["primary", "other intervals", "exploratory", "A/A control"]
    assert headers["primary"].header[1:] == ["E1 koleo", "E2, E3 accumulation with KoLeo"]
    assert [row[0] for row in headers["exploratory"].rows][:1] == ["E4 koleo, drop-in"]
    assert headers["A/A control"].rows[0][1:] == [".00010", ".00010", ".003", "4"]
    assert max(len(table.header) for table in headers.values()) <= 5
    assert effects(found).paragraphs[-1].endswith("rounding: root mean square <.001 over 4 pairs, 0.0 x the SESOI.")
    lines = scope(tables.trials, found)
    assert "Drop-in cells were not tuned: they show what adding the treatment does at the settings" in " ".join(lines)
    assert "The cells of E1 differ in: accum_steps, koleo, koleo_weight." in lines
    assert f"{TWIN} and {OFF} differ in: accum_steps." in lines


def test_noise_beyond_the_sesoi_is_told_beside_the_controls(tables: Any) -> None:
    for block, noise in ((1, 0.01), (2, -0.01), (3, 0.01), (4, -0.01)):
        tables.row(TWIN, block)["test_auc"] = tables.row(OFF, block)["test_auc"] + noise
    (finding,) = findings(tables.trials, tables.curves, [CONTROL])
    (noted,) = effects([finding]).paragraphs
    assert "root mean square .010 over 4 pairs, 3.3 x the SESOI. No single pair of runs can show" in noted


@pytest.mark.slow
def test_four_primaries_need_eight_blocks(make_factorial: Make) -> None:
    """With seven the smallest p, 2 / 2^7, times four is above .05: nothing could be detected, however large."""
    assert [blocks_needed(n) for n in (1, 2, 3, 4, 6)] == [7, 7, 7, 8, 8]
    primaries = [replace(AT_K1, family="primary", estimand=str(i)) for i in range(4)]
    for blocks, verdict in ((7, "pilot"), (8, "beyond")):
        tables = make_factorial({OFF: 0.8, K1: 0.9}, blocks=blocks)
        found = findings(tables.trials, tables.curves, primaries)
        assert [one.result[0].verdict for one in found if one.result is not None] == [verdict] * 4
    assert "a verdict needs at least 8 blocks" in findings(*_seven(make_factorial), primaries)[0].verdict


def _seven(make_factorial: Make) -> tuple[Any, Any]:
    tables = make_factorial({OFF: 0.8, K1: 0.9}, blocks=7)
    return tables.trials, tables.curves


def test_runs_that_failed_alike_make_nothing_equivalent(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.9}, blocks=12, noise=0.006)
    (before,) = findings(tables.trials, tables.curves, [AT_K1])
    for cell in (OFF, K1):
        for block in range(1, 9):
            tables.row(cell, block).update(end_reason="diverged", test_auc=None)
    (after,) = findings(tables.trials, tables.curves, [AT_K1])
    assert before.result is not None
    assert after.result is not None
    assert (before.result[0].verdict, after.result[0].verdict) == ("no_evidence", "no_evidence")
    assert after.result[0].equivalent  # the zeros of failed pairs narrow the interval; they claim nothing


def test_where_every_run_failed_nothing_is_estimated(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.9}, blocks=7)
    for row in tables.trial_rows:
        row.update(end_reason="diverged", test_auc=None)
    (found,) = findings(tables.trials, tables.curves, [AT_K1])
    assert found.result is None
    assert "Nothing was measured: every run of koleo=off, koleo=on,accum_steps=1 diverged" in found.verdict


def test_a_bias_of_a_control_is_not_hidden_by_its_mean(tables: Any) -> None:
    for block in (1, 2, 3, 4):
        tables.row(TWIN, block)["test_auc"] = tables.row(OFF, block)["test_auc"] + 0.004
    (finding,) = findings(tables.trials, tables.curves, [CONTROL])
    assert "root mean square .004" in finding.verdict
