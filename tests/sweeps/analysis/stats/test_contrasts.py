from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.stats.contrasts import cell_blocks, contrast_effect, effect_by_epoch
from sweeps.analysis.stats.effects import effect_of, paired_effect, t_interval
from sweeps.analysis.stats.refusals import Refused
from sweeps.analysis.stats.stored_plan import Contrast

KOLEO = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")
Make = Callable[..., Any]


def row_of(tables: Any, cell: str, block: int) -> dict[str, Any]:
    return next(r for r in tables.trial_rows if (r["cell_id"], r["block"]) == (cell, block))


def refused(tables: Any, match: str) -> None:
    with pytest.raises(Refused, match=match):
        cell_blocks(tables.trials, KOLEO)


def test_known_effect_is_recovered_in_block_order(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.02, blocks=12)
    effect, blocks = contrast_effect(tables.trials, KOLEO)
    assert blocks.blocks == tuple(range(1, 13))
    assert blocks.control.tolist() == [row_of(tables, "koleo=off", b)["test_auc"] for b in range(1, 13)]
    assert effect.ci_low <= 0.02 <= effect.ci_high
    assert effect.verdict == "beyond"
    assert not blocks.failed


def test_row_order_does_not_matter_and_swapping_labels_flips(make_confirm: Make) -> None:
    trials = make_confirm().trials
    shuffled = trials.take(np.random.default_rng(0).permutation(trials.num_rows))
    effect, _ = contrast_effect(trials, KOLEO)
    assert contrast_effect(shuffled, KOLEO)[0] == effect
    swapped, _ = contrast_effect(trials, Contrast.pair("koleo=on", "koleo=off", label="none"))
    assert (swapped.estimate, swapped.ci_low, swapped.ci_high) == (-effect.estimate, -effect.ci_high, -effect.ci_low)


def test_search_rows_are_refused(make_confirm: Make, make_search: Make) -> None:
    refused(make_search(), "adaptive sample: 59 rows")
    refused(make_search(tables=make_confirm()), "adaptive sample")
    with pytest.raises(Refused, match="adaptive sample"):
        effect_by_epoch(make_search().curves, cell_blocks(make_confirm().trials, KOLEO), stage="search")


def test_stages_are_not_mixed(make_confirm: Make) -> None:
    tables = make_confirm()
    tables.trial_rows[0]["stage"] = "tune"
    refused(tables, "within one stage, but got confirm, tune")
    with pytest.raises(Refused, match="needs the column `stage`"):
        cell_blocks(tables.trials.drop_columns(["stage"]), KOLEO)


def test_incomplete_blocks_are_listed_with_their_endings(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2).update(end_reason="oom", test_auc=None)
    tables.trial_rows.remove(row_of(tables, "koleo=off", 5))
    with pytest.raises(Refused) as error:
        cell_blocks(tables.trials, KOLEO)
    assert "`koleo=on` block 2 (oom, no test_auc)" in str(error.value)
    assert "`koleo=off` block 5 (no finished trial)" in str(error.value)


@pytest.mark.parametrize("reason", ["oom", "error", "preempted", "user", "completed"])
def test_infrastructure_failures_are_not_data(make_confirm: Make, reason: str) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2).update(end_reason=reason, test_auc=None)
    refused(tables, f"block 2 \\({reason}")


def test_duplicate_runs_are_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    tables.trial_rows.append(row_of(tables, "koleo=on", 3) | {"trial_id": "t00099"})
    refused(tables, "`koleo=on` has 2 runs in block 3")


def test_config_that_did_not_run_is_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    row = row_of(tables, "koleo=on", 3)
    row["config_seen_sha256"] = "f" * 64
    refused(tables, f"`{row['trial_id']}`.*label/config mismatch.*ran ffffffffffff")
    row["config_seen_sha256"] = None
    refused(tables, "ran nothing recorded")


def test_mislabelled_cell_is_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:  # the arms swapped, as in a published study
        row["cell_id"] = {"koleo=on": "koleo=off", "koleo=off": "koleo=on"}[row["cell_id"]]
    refused(tables, "mislabelled, `koleo` is (True|False) in the run")


def test_cells_of_more_than_one_configuration_are_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    other = TrainConfig(seed=4, eval_test=True, subset=2000, lr=1e-3)
    row = row_of(tables, "koleo=off", 4)
    row.update(config_json=other.to_json(), config_sha256=other.sha256, config_seen_sha256=other.sha256)
    refused(tables, r"`koleo=off` may differ by `seed` alone, but differ in lr \(0.0005, 0.001\)")


def test_unpaired_seeds_and_unknown_names_are_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    with pytest.raises(Refused, match="`koleo=of` has no finished trial; cells with trials: koleo=off, koleo=on"):
        cell_blocks(tables.trials, Contrast.pair("koleo=of", "koleo=on", label="KoLeo"))
    with pytest.raises(Refused, match="Did you mean `test_auc`"):
        cell_blocks(tables.trials, replace(KOLEO, outcome="test_auk"))
    row_of(tables, "koleo=on", 4)["seed"] = 99
    refused(tables, "Block 4 is not paired")


def test_one_block_is_refused(make_confirm: Make) -> None:
    with pytest.raises(Refused, match="at least two blocks"):
        contrast_effect(make_confirm(blocks=1).trials, KOLEO)


def test_divergence_counts_as_chance_with_a_sensitivity(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.0)
    row_of(tables, "koleo=on", 6).update(end_reason="diverged", test_auc=None)
    effect, blocks = contrast_effect(tables.trials, KOLEO)
    assert blocks.treatment[5] == 0.5
    assert blocks.failed == (("koleo=on", 6, "diverged"),)
    assert effect.n == 7
    assert effect.estimate < -0.04
    without = blocks.without_failures()
    assert without is not None
    assert without.n == 6
    assert abs(without.estimate) < 0.01


def test_effect_by_epoch(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.02)
    found = effect_by_epoch(tables.curves, cell_blocks(tables.trials, KOLEO))
    assert [e.epoch for e in found] == [1, 2, 3, 4, 5]
    third = {r["trial_id"]: r["val_auc"] for r in tables.curve_rows if r["epoch"] == 3}
    off, on = (
        np.array([third[row_of(tables, cell, b)["trial_id"]] for b in range(1, 8)])
        for cell in ("koleo=off", "koleo=on")
    )
    assert found[2].effect == t_interval(on - off)
    lost = row_of(tables, "koleo=on", 1)
    lost.update(end_reason="diverged", test_auc=None)
    kept = [r for r in tables.curve_rows if r["trial_id"] != lost["trial_id"] or r["epoch"] < 4]
    tables.curve_rows = kept
    after = effect_by_epoch(tables.curves, cell_blocks(tables.trials, KOLEO))
    assert [e.epoch for e in after] == [1, 2, 3, 4, 5]
    assert [a.effect == b.effect for a, b in zip(found, after, strict=True)] == [True, True, True, False, False]


def test_empty_table_is_refused(make_confirm: Make) -> None:
    empty: pa.Table = make_confirm().trials.slice(0, 0)
    with pytest.raises(Refused, match="cells with trials: none"):
        cell_blocks(empty, KOLEO)


@pytest.mark.parametrize("column", ["data_sha256", "split_sha256", "test_sha256"])
def test_blocks_on_other_data_are_refused(make_confirm: Make, column: str) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)[column] = "a file replaced between two starts"
    row_of(tables, "koleo=off", 4)[column] = "the file as it was"
    refused(tables, f"Block 4 is not paired: its {column} differ")


def test_hashes_that_were_not_recorded_refuse_nothing(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)["test_sha256"] = None
    assert 4 in cell_blocks(tables.trials, KOLEO).blocks


OFF, K1, K2, K4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=2", "koleo=on,accum_steps=4"


def test_a_weighted_contrast_is_the_sum_by_hand(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.93, K2: 0.92, K4: 0.91})
    weights = {K1: 1 / 3, OFF: -1.0, K4: 1 / 3, K2: 1 / 3}
    effect, blocks = contrast_effect(tables.trials, Contrast(weights=weights, label="KoLeo"))
    by_hand = [sum(w * tables.row(cell, b)["test_auc"] for cell, w in weights.items()) for b in range(1, 8)]
    assert blocks.values == pytest.approx(by_hand, abs=1e-15)
    assert effect.estimate == pytest.approx(np.mean(by_hand))
    assert blocks.treatment - blocks.control == pytest.approx(by_hand, abs=1e-15)
    assert blocks.control.tolist() == [tables.row(OFF, b)["test_auc"] for b in range(1, 8)]
    negated, _ = contrast_effect(tables.trials, Contrast(weights={c: -w for c, w in weights.items()}, label="none"))
    assert (negated.estimate, negated.ci_low, negated.ci_high) == (-effect.estimate, -effect.ci_high, -effect.ci_low)


def test_a_slope_is_that_of_least_squares_per_doubling(make_factorial: Make) -> None:
    tables = make_factorial({K1: 0.93, K2: 0.925, K4: 0.92})
    blocks = cell_blocks(tables.trials, Contrast(weights={K1: -0.5, K4: 0.5}, label="doubling"))
    for block, value in zip(blocks.blocks, blocks.values, strict=True):
        outcomes = [tables.row(cell, block)["test_auc"] for cell in (K1, K2, K4)]
        assert value == pytest.approx(np.polyfit([0, 1, 2], outcomes, 1)[0])


def test_an_interaction_is_a_difference_of_differences(make_factorial: Make) -> None:
    off = ("koleo=off,accum_steps=1", "koleo=off,accum_steps=4")
    tables = make_factorial({off[0]: 0.9, off[1]: 0.89, K1: 0.93, K4: 0.90})
    weights = {off[0]: 1.0, off[1]: -1.0, K1: -1.0, K4: 1.0}
    effect, _ = contrast_effect(tables.trials, Contrast(weights=weights, label="accumulation"))
    off1, off4, on1, on4 = (np.array([tables.row(cell, b)["test_auc"] for b in range(1, 8)]) for cell in (*off, K1, K4))
    expected = paired_effect(off4 - off1, on4 - on1)
    assert effect.estimate == pytest.approx(expected.estimate)
    assert (effect.ci_low, effect.ci_high) == pytest.approx((expected.ci_low, expected.ci_high))
    assert effect.p_value == expected.p_value


def test_one_off_cell_for_every_k_makes_interaction_and_slope_the_same(make_factorial: Make) -> None:
    """With a per-sample loss off at K = 4 is off at K = 1, so its weights cancel and E3 is E2 with KoLeo."""
    tables = make_factorial({OFF: 0.9, K1: 0.93, K4: 0.90})
    off, one, four = (np.array([tables.row(cell, b)["test_auc"] for b in range(1, 8)]) for cell in (OFF, K1, K4))
    slope, _ = contrast_effect(tables.trials, Contrast(weights={K1: -0.5, K4: 0.5}, label="doubling"))
    assert slope.estimate == pytest.approx(effect_of(((four - off) - (one - off)) / 2).estimate, abs=1e-15)


def test_planned_blocks_decide_what_enters_and_what_is_missing(make_factorial: Make) -> None:
    tables = make_factorial({K1: 0.93, "koleo=on,accum_steps=4,accum_mode=cached": 0.93}, blocks=6)
    control = Contrast.pair(K1, "koleo=on,accum_steps=4,accum_mode=cached", label="cached", blocks=(1, 2, 3, 4))
    assert cell_blocks(tables.trials, control).blocks == (1, 2, 3, 4)
    with pytest.raises(Refused) as error:
        cell_blocks(tables.trials, replace(control, blocks=tuple(range(1, 8))))
    assert "block 6" not in str(error.value)
    assert f"`{K1}` block 7 (no finished trial)" in str(error.value)


def test_a_drop_in_cell_must_have_that_origin(make_factorial: Make) -> None:
    dropped = f"{K1},origin=drop-in"
    tables = make_factorial({OFF: 0.9, dropped: 0.93})
    contrast = Contrast.pair(OFF, dropped, label="KoLeo, nothing retuned")
    assert cell_blocks(tables.trials, contrast).cells == (OFF, dropped)
    tables.row(dropped, 3)["origin"] = "best of tune"
    with pytest.raises(Refused, match="mislabelled, `origin` is 'best of tune' in the run"):
        cell_blocks(tables.trials, contrast)


def test_rows_of_another_plan_are_refused(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.93})
    for row in tables.trial_rows:
        row["plan_sha256"] = "a" * 64
    frozen = Contrast.pair(OFF, K1, label="KoLeo", plans=("a" * 64,))
    assert len(cell_blocks(tables.trials, frozen).blocks) == 7
    extended = replace(frozen, plans=("a" * 64, "c" * 64))
    tables.row(K1, 7)["plan_sha256"] = "c" * 64
    assert len(cell_blocks(tables.trials, extended).blocks) == 7
    tables.row(K1, 7)["plan_sha256"] = "a" * 64
    tables.row(K1, 2)["plan_sha256"] = "b" * 64
    tables.row(K1, 3)["plan_sha256"] = None
    with pytest.raises(Refused) as error:
        cell_blocks(tables.trials, frozen)
    assert len(error.value.faults) == 2
    assert "block 2): ran under the plan bbbbbbbbbbbb, but the plan here is aaaaaaaaaaaa" in error.value.faults[0]
    with pytest.raises(Refused, match="the plan here is nothing recorded"):
        cell_blocks(tables.trials, replace(frozen, plans=()))


def test_all_reasons_come_at_once(make_factorial: Make) -> None:
    tables = make_factorial({OFF: 0.9, K1: 0.93})
    tables.row(K1, 2)["seed"] = 99
    tables.row(K1, 3).update(end_reason="oom", test_auc=None)
    tables.row(K1, 4)["data_sha256"], tables.row(OFF, 4)["data_sha256"] = "new", "old"
    with pytest.raises(Refused) as error:
        cell_blocks(tables.trials, Contrast.pair(OFF, K1, label="KoLeo"))
    assert ["oom" in error.value.faults[0], "seeds" in error.value.faults[1], "data" in error.value.faults[2]] == [
        True
    ] * 3
