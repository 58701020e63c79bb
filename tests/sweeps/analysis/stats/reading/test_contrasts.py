"""From rows to one contrast per replicate: values by hand, what is paired with what, and every refusal."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.stats.intervals.effects import paired_effect, replicated_effect, t_interval
from sweeps.analysis.stats.reading.contrasts import cell_runs, effect_by_epoch
from sweeps.analysis.stats.reading.pairing import Place, place_faults
from sweeps.analysis.stats.reading.refusals import Refused, Unfinished
from sweeps.analysis.stats.reading.stored_plan import Contrast

KOLEO = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")
OFF1, OFF4, ON1, ON4 = (f"koleo={koleo},accum_steps={k}" for koleo in ("off", "on") for k in (1, 4))
Make = Callable[..., Any]


def row_of(tables: Any, cell: str, block: int) -> dict[str, Any]:
    row: dict[str, Any] = tables.row(cell, block)
    return row


def refused(tables: Any, match: str) -> None:
    with pytest.raises(Refused, match=match):
        cell_runs(tables.trials, KOLEO)


def of_stage(made: Any, stage: str) -> pa.Table:
    return made.trials.filter(pc.equal(made.trials["stage"], stage))


def reconfigured(row: dict[str, Any], **changes: Any) -> None:
    """As if the run had been asked for, and had run, with other settings."""
    config = TrainConfig.from_flat(json.loads(row["config_json"]) | changes)
    row |= {**config.to_flat(), "config_json": config.to_json(), "config_sha256": config.sha256}
    row["config_seen_sha256"] = config.sha256


def test_values_are_contrasts_of_means_over_blocks_by_replicate(make_factorial: Make) -> None:
    made = make_factorial(replicates=5, blocks=3)
    contrast = made.stored.contrasts[3]
    runs = cell_runs(of_stage(made, "confirm"), contrast)
    assert runs.outcomes.shape == (5, 4, 3)
    by_hand = sum(weight * made.values(cell).mean(axis=1) for cell, weight in contrast.weights.items())
    assert runs.values == pytest.approx(by_hand, abs=1e-15)
    assert runs.treatment - runs.control == pytest.approx(by_hand / 2, abs=1e-15)
    assert runs.counted() == "5 tunings x 3 seeds"
    effect = runs.effect(sesoi=0.003, family=4)
    assert effect == replicated_effect(runs.outcomes, weights=runs.weights, sesoi=0.003, family=4)
    assert (effect.n, effect.unit, effect.blocks) == (5, "replicate", 3)
    flipped = cell_runs(
        of_stage(made, "confirm"), replace(contrast, weights={c: -w for c, w in contrast.weights.items()})
    )
    again = flipped.effect(sesoi=0.003, family=4)
    assert (again.estimate, again.ci_low, again.ci_high) == (-effect.estimate, -effect.ci_high, -effect.ci_low)


def test_one_tuning_has_its_blocks_as_units_and_is_a_pilot(make_factorial: Make) -> None:
    made = make_factorial(replicates=1, blocks=12)
    runs = cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])
    effect = runs.effect()
    assert (runs.values.size, effect.unit, effect.verdict) == (12, "block", "pilot")
    assert runs.counted() == "at one tuning: 12 seeds"


def test_new_drop_in_folders_have_a_seed_per_replicate(make_factorial: Make) -> None:
    made = make_factorial(replicates=7, blocks=1, points=0)
    runs = cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])
    assert (runs.values.size, runs.effect().unit, runs.counted()) == (7, "replicate", "7 seeds")


def test_blocks_of_old_drop_in_folders_count_as_replicates_where_each_has_its_split(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.02, blocks=12)
    runs = cell_runs(tables.trials, KOLEO)
    assert runs.control.tolist() == [row_of(tables, "koleo=off", b)["test_auc"] for b in range(1, 13)]
    effect = runs.effect()
    assert effect.ci_low <= 0.02 <= effect.ci_high
    assert (effect.unit, effect.verdict, runs.counted()) == ("replicate", "beyond", "12 seeds")
    for cells in runs.places:
        assert len(cells) == 1
    for row in tables.trial_rows:
        row["split_sha256"] = "5" * 64
    shared = cell_runs(tables.trials, KOLEO)
    assert (shared.effect().unit, shared.effect().verdict) == ("block", "pilot")
    assert shared.counted() == "at one split: 12 seeds"
    assert shared.values.tolist() == runs.values.tolist()


def test_blocks_of_an_old_tuned_folder_are_seeds_at_one_tuning(make_confirm: Make) -> None:
    runs = cell_runs(make_confirm(origin="best of tune").trials, KOLEO)
    assert (runs.effect().unit, runs.effect().verdict) == ("block", "pilot")
    assert runs.counted() == "at one tuning: 7 seeds"


def test_row_order_does_not_matter(make_confirm: Make) -> None:
    trials = make_confirm().trials
    shuffled = trials.take(np.random.default_rng(0).permutation(trials.num_rows))
    assert cell_runs(shuffled, KOLEO).effect() == cell_runs(trials, KOLEO).effect()


def test_common_points_are_paired_within_replicates(make_factorial: Make) -> None:
    made = make_factorial(replicates=4, points=5)
    contrast = replace(made.stored.contrasts[0], outcome="final_val_auc")
    runs = cell_runs(of_stage(made, "tune"), contrast)
    assert runs.outcomes.shape == (4, 4, 5)
    assert runs.counted() == "4 replicates x 5 points"
    rows = {(r["cell_id"], r["replicate"], r["point"]): r for r in made.tables.trial_rows if r["stage"] == "tune"}
    by_hand = [
        np.mean([sum(w * rows[c, r, p]["final_val_auc"] for c, w in contrast.weights.items()) for p in range(5)])
        for r in range(1, 5)
    ]
    assert runs.values == pytest.approx(by_hand)
    reconfigured(rows[ON4, 2, 3], lr=0.00777)
    with pytest.raises(Refused, match="Replicate 2, point 3 is not paired: its lr differ"):
        cell_runs(of_stage(made, "tune"), contrast)


def test_search_rows_are_refused(make_confirm: Make, make_search: Make) -> None:
    refused(make_search(), "adaptive sample: 59 rows")
    refused(make_search(tables=make_confirm()), "adaptive sample")
    with pytest.raises(Refused, match="adaptive sample"):
        effect_by_epoch(make_search().curves, cell_runs(make_confirm().trials, KOLEO), stage="search")


def test_stages_are_not_mixed(make_confirm: Make, make_factorial: Make) -> None:
    tables = make_confirm()
    tables.trial_rows[0]["stage"] = "tune"
    refused(tables, "within one stage, but got confirm, tune")
    with pytest.raises(Refused, match="needs the column `stage`"):
        cell_runs(tables.trials.drop_columns(["stage"]), KOLEO)
    made = make_factorial(replicates=3)
    tuning = next(r for r in made.tables.trial_rows if r["stage"] == "tune" and r["cell_id"] == ON1)
    tuning["stage"] = "confirm"
    with pytest.raises(Refused, match="a block of the tuning is none of the confirmation"):
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])


def test_incomplete_replicates_are_listed_with_their_endings(make_factorial: Make) -> None:
    made = make_factorial(replicates=4, blocks=2)
    made.row(ON1, 2, 1).update(end_reason="oom", test_auc=None)
    made.tables.trial_rows.remove(made.row(OFF4, 4, 2))
    with pytest.raises(Refused) as error:
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])
    assert f"`{ON1}` replicate 2, block 1 (oom, no test_auc)" in str(error.value)
    assert "Replicate 4 has not finished (1 run); `--resume` goes on." in str(error.value)


def test_a_replicate_that_is_missing_altogether_is_incomplete(make_factorial: Make) -> None:
    made = make_factorial(replicates=4, blocks=1)
    made.tables.trial_rows = [r for r in made.tables.trial_rows if r["replicate"] != 3]
    with pytest.raises(Unfinished) as error:
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])
    assert error.value.faults == ("Replicate 3 has not finished (4 runs); `--resume` goes on.",)


@pytest.mark.parametrize("reason", ["oom", "error", "preempted", "user"])
def test_infrastructure_failures_are_not_data(make_confirm: Make, reason: str) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2).update(end_reason=reason, test_auc=None)
    refused(tables, f"block 2 \\({reason}")


def test_what_was_not_measured_is_not_to_be_run_again(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2).update(test_auc=None)
    with pytest.raises(
        Refused, match="Completed without test_auc, which was not measured there: `koleo=on` block 2"
    ) as e:
        cell_runs(tables.trials, Contrast.pair("koleo=off", "koleo=on", label="KoLeo"))
    assert "run again" not in str(e.value)


def test_duplicate_runs_are_refused(make_confirm: Make, make_factorial: Make) -> None:
    tables = make_confirm()
    tables.trial_rows.append(row_of(tables, "koleo=on", 3) | {"trial_id": "t00099"})
    refused(tables, "`koleo=on` has 2 runs in block 3")
    made = make_factorial(replicates=3)
    made.tables.trial_rows.append(made.row(ON1, 2, 1) | {"trial_id": "t99999"})
    with pytest.raises(Refused, match="has 2 runs in replicate 2, block 1"):
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])


def test_config_that_did_not_run_is_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    row = row_of(tables, "koleo=on", 3)
    row["config_seen_sha256"] = "f" * 64
    refused(tables, f"`{row['trial_id']}`.*label/config mismatch.*ran ffffffffffff\\.$")
    row["config_seen_differences"] = "`margin` is 0.2, not 0.4"
    refused(tables, "ran ffffffffffff.*: `margin` is 0.2, not 0.4.$")
    row["config_seen_sha256"] = None
    refused(tables, "ran nothing recorded")


def test_mislabelled_cell_is_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:  # the arms swapped, as in a published study
        row["cell_id"] = {"koleo=on": "koleo=off", "koleo=off": "koleo=on"}[row["cell_id"]]
    refused(tables, "mislabelled, `koleo` is (True|False) in the run")


def test_runs_of_a_cell_differ_by_seed_alone_within_a_replicate(make_confirm: Make, make_factorial: Make) -> None:
    tables = make_confirm()
    reconfigured(row_of(tables, "koleo=off", 4), lr=1e-3)
    refused(tables, r"`koleo=off` may differ by `seed` alone, but differ in lr \(0.0005, 0.001\)")
    made = make_factorial(replicates=3, blocks=2)
    reconfigured(made.row(ON1, 2, 1), lr=0.00777)
    with pytest.raises(Refused, match=f"`{ON1}` in replicate 2 may differ by `seed` alone, but differ in lr"):
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])
    reconfigured(made.row(ON1, 2, 1), lr=made.row(ON1, 2, 2)["lr"], split_seed=77)
    with pytest.raises(Refused, match="may differ by `seed` alone, but differ in split_seed"):
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])


def test_replicates_differ_by_seeds_and_tuned_settings_alone(make_factorial: Make) -> None:
    made = make_factorial(replicates=3, blocks=2)
    contrast = made.stored.contrasts[0]
    assert contrast.nuisances == ("koleo_weight", "lr", "margin")
    assert len({made.row(ON1, r)["lr"] for r in (1, 2, 3)}) == 3  # tuned anew
    cell_runs(of_stage(made, "confirm"), contrast)
    for block in (1, 2):
        reconfigured(made.row(ON1, 2, block), epochs=6)
    with pytest.raises(Refused, match=r"what each tunes \(koleo_weight, lr, margin\), but differ in epochs \(5, 6\)"):
        cell_runs(of_stage(made, "confirm"), contrast)
    with pytest.raises(Refused, match=r"what each tunes \(nothing\), but differ in epochs \(5, 6\), koleo_weight"):
        cell_runs(of_stage(made, "confirm"), replace(contrast, nuisances=()))


def test_unpaired_seeds_and_unknown_names_are_refused(make_confirm: Make, make_factorial: Make) -> None:
    tables = make_confirm()
    with pytest.raises(Refused, match="`koleo=of` has no finished trial; cells with trials: koleo=off, koleo=on"):
        cell_runs(tables.trials, Contrast.pair("koleo=of", "koleo=on", label="KoLeo"))
    with pytest.raises(Refused, match="Did you mean `test_auc`"):
        cell_runs(tables.trials, replace(KOLEO, outcome="test_auk"))
    row_of(tables, "koleo=on", 4)["seed"] = 99
    refused(tables, "Block 4 is not paired: its seeds differ")
    made = make_factorial(replicates=3)
    made.row(ON4, 3, 2)["split_sha256"] = "0" * 64
    with pytest.raises(Refused, match="Replicate 3, block 2 is not paired: its split_sha256 differ"):
        cell_runs(of_stage(made, "confirm"), made.stored.contrasts[0])


def test_a_split_may_be_what_differs_and_is_one_in_each_kind() -> None:
    """Of cells named by their triplets; training file and test images are shared all the same."""
    kinds = {"triplets=study": "study", "triplets=study,koleo=on": "study", "triplets=disjoint": "disjoint"}
    place = Place(1, 1)

    def faults(**changed: str) -> list[str]:
        runs = {
            (cell, place): {"seed": 7, "triplets": kind, "test_auc": 0.9, "end_reason": "completed", "data_sha256": "d",
                            "split_sha256": f"of {kind}", "test_sha256": "t"}
            for cell, kind in kinds.items()
        }  # fmt: skip
        runs["triplets=study", place] |= changed
        return place_faults(runs, [place], tuple(kinds), outcome="test_auc", stage="confirm")

    assert faults() == []
    (fault,) = faults(split_sha256="another")
    assert "Block 1 is not paired: its split_sha256 differ" in fault
    assert "triplets=disjoint" not in fault
    assert "its test_sha256 differ" in faults(test_sha256="another")[0]


def test_one_block_is_refused(make_confirm: Make) -> None:
    with pytest.raises(Refused, match="at least two blocks"):
        cell_runs(make_confirm(blocks=1).trials, KOLEO)


def test_divergence_counts_as_chance_with_a_sensitivity(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.0)
    row_of(tables, "koleo=on", 6).update(end_reason="diverged", test_auc=None)
    runs = cell_runs(tables.trials, KOLEO)
    assert runs.treatment[5] == 0.5
    assert [(cell, place.block, why) for cell, place, why in runs.failed] == [("koleo=on", 6, "diverged")]
    assert (runs.effect().n, runs.effect().estimate < -0.04) == (7, True)
    assert runs.without_failures().size == 6
    assert abs(runs.without_failures().mean()) < 0.01


def test_a_share_counts_as_none_and_a_replicate_keeps_its_other_seeds(make_factorial: Make) -> None:
    made = make_factorial(replicates=4, blocks=2, outcome="recall_at_1")
    made.lose(ON4, 2, 1)
    contrast = made.stored.contrasts[1]
    runs = cell_runs(of_stage(made, "confirm"), contrast)
    on1, on4 = (made.values(cell, "test_recall_at_1") for cell in (ON1, ON4))
    assert np.isnan(on4[1, 0])
    assert runs.values[1] == pytest.approx((0 + on4[1, 1]) / 2 - on1[1].mean())
    left = (on4 - on1).mean(axis=1)
    left[1] = on4[1, 1] - on1[1, 1]
    assert runs.without_failures() == pytest.approx(left)


def test_effect_by_epoch(make_confirm: Make) -> None:
    tables = make_confirm(effect=0.02)
    found = effect_by_epoch(tables.curves, cell_runs(tables.trials, KOLEO))
    assert [e.epoch for e in found] == [1, 2, 3, 4, 5]
    third = {r["trial_id"]: r["val_auc"] for r in tables.curve_rows if r["epoch"] == 3}
    off, on = (
        np.array([third[row_of(tables, cell, b)["trial_id"]] for b in range(1, 8)])
        for cell in ("koleo=off", "koleo=on")
    )
    assert found[2].effect == t_interval(on - off)
    lost = row_of(tables, "koleo=on", 1)
    lost.update(end_reason="diverged", test_auc=None)
    tables.curve_rows = [r for r in tables.curve_rows if r["trial_id"] != lost["trial_id"] or r["epoch"] < 4]
    after = effect_by_epoch(tables.curves, cell_runs(tables.trials, KOLEO))
    assert [e.epoch for e in after] == [1, 2, 3, 4, 5]
    assert [a.effect == b.effect for a, b in zip(found, after, strict=True)] == [True, True, True, False, False]


def test_effect_by_epoch_is_over_replicates(make_factorial: Make) -> None:
    made = make_factorial(replicates=5, blocks=2)
    runs = cell_runs(of_stage(made, "confirm"), made.stored.contrasts[1])
    last = {r["trial_id"]: r["val_auc"] for r in made.tables.curve_rows if r["stage"] == "confirm" and r["epoch"] == 5}
    on1, on4 = (
        np.array([[last[made.row(cell, r, b)["trial_id"]] for b in (1, 2)] for r in range(1, 6)]) for cell in (ON1, ON4)
    )
    found = effect_by_epoch(made.curves, runs)[-1].effect
    expected = t_interval((on4 - on1).mean(axis=1))
    assert (found.estimate, found.ci_low, found.n) == pytest.approx((expected.estimate, expected.ci_low, 5))


def test_empty_table_is_refused(make_confirm: Make) -> None:
    with pytest.raises(Refused, match="cells with trials: none"):
        cell_runs(make_confirm().trials.slice(0, 0), KOLEO)


@pytest.mark.parametrize("column", ["data_sha256", "split_sha256", "test_sha256"])
def test_blocks_on_other_data_are_refused(make_confirm: Make, column: str) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)[column] = "a file replaced between two starts"
    row_of(tables, "koleo=off", 4)[column] = "the file as it was"
    refused(tables, f"Block 4 is not paired: its {column} differ")


@pytest.mark.parametrize("column", ["data_sha256", "test_sha256", "weights_sha256"])
def test_no_interval_is_over_blocks_that_were_run_before_and_after_the_data_changed(
    make_confirm: Make, column: str
) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:
        row[column] = "an image more" if row["block"] > 5 else "as it was"
    refused(tables, "The runs of `koleo=on` are on 2 .*as it was in 5, an image mor in 2")


def test_hashes_that_were_not_recorded_refuse_nothing(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 4)["test_sha256"] = None
    assert cell_runs(tables.trials, KOLEO).values.size == 7


def test_an_interaction_is_a_difference_of_differences(make_factorial: Make) -> None:
    made = make_factorial(replicates=7, blocks=1)
    off1, off4, on1, on4 = (made.values(cell)[:, 0] for cell in (OFF1, OFF4, ON1, ON4))
    effect = cell_runs(of_stage(made, "confirm"), made.stored.contrasts[3]).effect()
    expected = paired_effect(off4 - off1, on4 - on1)
    assert effect.estimate == pytest.approx(expected.estimate)
    assert (effect.ci_low, effect.ci_high) == pytest.approx((expected.ci_low, expected.ci_high))


def test_planned_blocks_decide_what_enters_and_what_is_missing(make_factorial: Make) -> None:
    made = make_factorial(replicates=2, blocks=6)
    contrast = replace(made.stored.contrasts[1], blocks=(1, 2, 3, 4))
    runs = cell_runs(of_stage(made, "confirm"), contrast)
    assert [place.block for place in runs.places[0]] == [1, 2, 3, 4]
    with pytest.raises(Refused) as error:
        cell_runs(of_stage(made, "confirm"), replace(contrast, blocks=tuple(range(1, 8))))
    assert "block 6" not in str(error.value)
    assert "Replicates 1 to 2 have not finished (4 runs)" in str(error.value)


def test_rows_of_another_plan_are_refused(make_confirm: Make) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:
        row["plan_sha256"] = "a" * 64
    frozen = replace(KOLEO, plans=("a" * 64,))
    assert cell_runs(tables.trials, frozen).values.size == 7
    extended = replace(frozen, plans=("a" * 64, "c" * 64))
    row_of(tables, "koleo=on", 7)["plan_sha256"] = "c" * 64
    assert cell_runs(tables.trials, extended).values.size == 7
    row_of(tables, "koleo=on", 7)["plan_sha256"] = "a" * 64
    row_of(tables, "koleo=on", 2)["plan_sha256"] = "b" * 64
    row_of(tables, "koleo=on", 3)["plan_sha256"] = None
    with pytest.raises(Refused) as error:
        cell_runs(tables.trials, frozen)
    assert len(error.value.faults) == 2
    assert "block 2): ran under the plan bbbbbbbbbbbb, but the plan here is aaaaaaaaaaaa" in error.value.faults[0]
    with pytest.raises(Refused, match="the plan here is nothing recorded"):
        cell_runs(tables.trials, KOLEO)


def test_all_reasons_come_at_once(make_confirm: Make) -> None:
    tables = make_confirm()
    row_of(tables, "koleo=on", 2)["seed"] = 99
    row_of(tables, "koleo=on", 3).update(end_reason="oom", test_auc=None)
    row_of(tables, "koleo=on", 4)["data_sha256"], row_of(tables, "koleo=off", 4)["data_sha256"] = "new", "old"
    with pytest.raises(Refused) as error:
        cell_runs(tables.trials, KOLEO)
    assert ["oom" in error.value.faults[0], "seeds" in error.value.faults[1], "data" in error.value.faults[2]] == [
        True
    ] * 3
