from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from embedding_core.config import TrainConfig
from sweeps.analysis.contrasts import Refused, cell_blocks, effect_by_epoch, levels_of, paired_effect_from_trials
from sweeps.analysis.estimates import paired_effect

CELLS = {"control_cell": "koleo=off", "treatment_cell": "koleo=on"}
Make = Callable[..., Any]


def row_of(tables: Any, cell: str, block: int) -> dict[str, Any]:
    return next(r for r in tables.trial_rows if (r["cell_id"], r["block"]) == (cell, block))


def refused(tables: Any, match: str) -> None:
    with pytest.raises(Refused, match=match):
        cell_blocks(tables.trials, **CELLS)


def test_known_effect_is_recovered_in_block_order(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.02, blocks=12)
    effect, blocks = paired_effect_from_trials(tables.trials, **CELLS)
    assert blocks.blocks == tuple(range(1, 13))
    assert blocks.control.tolist() == [row_of(tables, "koleo=off", b)["test_auc"] for b in range(1, 13)]
    assert effect.ci_low <= 0.02 <= effect.ci_high
    assert effect.verdict == "beyond"
    assert not blocks.failed


def test_row_order_does_not_matter_and_swapping_labels_flips(make_confirm: Make) -> None:
    trials = make_confirm().trials
    shuffled = trials.take(np.random.default_rng(0).permutation(trials.num_rows))
    effect, _ = paired_effect_from_trials(trials, **CELLS)
    assert paired_effect_from_trials(shuffled, **CELLS)[0] == effect
    swapped, _ = paired_effect_from_trials(trials, control_cell="koleo=on", treatment_cell="koleo=off")
    assert (swapped.estimate, swapped.ci_low, swapped.ci_high) == (-effect.estimate, -effect.ci_high, -effect.ci_low)


def test_search_rows_are_refused(make_confirm: Make, make_search: Make) -> None:
    refused(make_search(), "adaptive sample: 59 rows")
    refused(make_search(tables=make_confirm()), "adaptive sample")
    with pytest.raises(Refused, match="adaptive sample"):
        effect_by_epoch(make_search().curves, make_search().trials, **CELLS)


def test_stages_are_not_mixed(make_confirm: Make) -> None:
    tables = make_confirm()
    tables.trial_rows[0]["stage"] = "tune"
    refused(tables, "within one stage, but got confirm, tune")
    with pytest.raises(Refused, match="needs the column `stage`"):
        cell_blocks(tables.trials.drop_columns(["stage"]), **CELLS)


def test_incomplete_blocks_are_listed_with_their_endings(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2).update(end_reason="oom", test_auc=None)
    tables.trial_rows.remove(row_of(tables, "koleo=off", 5))
    with pytest.raises(Refused) as error:
        cell_blocks(tables.trials, **CELLS)
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
        cell_blocks(tables.trials, control_cell="koleo=of", treatment_cell="koleo=on")
    with pytest.raises(Refused, match="Did you mean `test_auc`"):
        cell_blocks(tables.trials, outcome="test_auk", **CELLS)
    row_of(tables, "koleo=on", 4)["seed"] = 99
    refused(tables, "Block 4 is not paired")


def test_one_block_is_refused(make_confirm: Make) -> None:
    with pytest.raises(Refused, match="at least two blocks"):
        paired_effect_from_trials(make_confirm(blocks=1).trials, **CELLS)


def test_divergence_counts_as_chance_with_a_sensitivity(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.0)
    row_of(tables, "koleo=on", 6).update(end_reason="diverged", test_auc=None)
    effect, blocks = paired_effect_from_trials(tables.trials, **CELLS)
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
    found = effect_by_epoch(tables.curves, tables.trials, **CELLS)
    assert [e.epoch for e in found] == [1, 2, 3, 4, 5]
    third = {r["trial_id"]: r["val_auc"] for r in tables.curve_rows if r["epoch"] == 3}
    arms = [[third[row_of(tables, cell, b)["trial_id"]] for b in range(1, 8)] for cell in CELLS.values()]
    assert found[2].effect == paired_effect(*arms)
    lost = row_of(tables, "koleo=on", 1)
    lost.update(end_reason="diverged", test_auc=None)
    kept = [r for r in tables.curve_rows if r["trial_id"] != lost["trial_id"] or r["epoch"] < 4]
    tables.curve_rows = kept
    after = effect_by_epoch(tables.curves, tables.trials, **CELLS)
    assert [e.epoch for e in after] == [1, 2, 3, 4, 5]
    assert [a.effect == b.effect for a, b in zip(found, after, strict=True)] == [True, True, True, False, False]


def test_levels_of_a_label() -> None:
    assert levels_of("koleo=on,accum_steps=4") == {"koleo": "on", "accum_steps": "4"}
    assert levels_of("baseline") == {}


def test_empty_table_is_refused(make_confirm: Make) -> None:
    empty: pa.Table = make_confirm().trials.slice(0, 0)
    with pytest.raises(Refused, match="cells with trials: none"):
        cell_blocks(empty, **CELLS)


@pytest.mark.parametrize("column", ["data_sha256", "split_sha256", "test_sha256"])
def test_blocks_on_other_data_are_refused(make_confirm: Make, column: str) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)[column] = "a file replaced between two starts"
    row_of(tables, "koleo=off", 4)[column] = "the file as it was"
    refused(tables, f"Block 4 is not paired: its {column} differ")


def test_hashes_that_were_not_recorded_refuse_nothing(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)["test_sha256"] = None
    assert 4 in cell_blocks(tables.trials, **CELLS).blocks
