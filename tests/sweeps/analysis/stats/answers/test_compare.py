"""Two sweeps side by side: the difference and its interval against scipy, and what refuses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy import stats

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.report.comparison import comparison
from sweeps.analysis.stats.answers.compare import Sweep, compare, config_differences, only_in
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.analysis.stats.reading.stored_plan import Contrast, StoredPlan
from sweeps.commands.report import main

Make = Callable[..., Any]
KOLEO = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")


def recorded(tables: Any, *, seeds_from: int = 0, **columns: Any) -> Any:
    """The rows with hashes of the data, seeds moved, and other columns replaced."""
    for row in tables.trial_rows:
        config = TrainConfig(**{**config_of(row), "seed": row["block"] + seeds_from})
        row |= {**config.to_flat(), "config_json": config.to_json(), "config_sha256": config.sha256}
        row |= {"config_seen_sha256": config.sha256, "data_sha256": "d1" * 32, "test_sha256": "7e" * 32, **columns}
    return tables


def config_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in TrainConfig().to_flat() if name in row}


def sweep(name: str, tables: Any) -> Sweep:
    return Sweep(name, findings(tables.trials, tables.curves, StoredPlan(contrasts=(KOLEO,))), tables.trials)


def effects(tables: Any) -> np.ndarray:
    outcome = {(r["cell_id"], r["block"]): r["test_auc"] for r in tables.trial_rows}
    blocks = sorted({block for _, block in outcome})
    return np.array([outcome["koleo=on", b] - outcome["koleo=off", b] for b in blocks])


def test_sweeps_with_seeds_of_their_own_are_independent(make_confirm: Make) -> None:
    first = recorded(make_confirm(effect=0.02))
    second = recorded(make_confirm(effect=-0.02, blocks=9, seed=5), seeds_from=100)
    (pair,) = compare(sweep("a", first), sweep("b", second))
    expected = stats.ttest_ind(effects(second), effects(first), equal_var=False).confidence_interval(0.95)
    assert pair.method == "Welch"
    assert pair.difference is not None
    assert (pair.difference.ci_low, pair.difference.ci_high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert pair.sentence.startswith("The effect of KoLeo on AUC in b less that in a: -.0")
    assert pair.sentence.endswith("(7 seeds and 9 seeds; Welch, exploratory).")
    (back,) = compare(sweep("b", second), sweep("a", first))
    assert back.difference is not None
    assert back.difference.estimate == pytest.approx(-pair.difference.estimate, abs=1e-15)


def test_sweeps_of_the_same_seeds_are_paired_by_them(make_confirm: Make) -> None:
    first, second = recorded(make_confirm(effect=0.02)), recorded(make_confirm(effect=0.021, seed=3))
    (pair,) = compare(sweep("a", first), sweep("b", second))
    expected = stats.ttest_1samp(effects(second) - effects(first), 0).confidence_interval(0.95)
    assert pair.method == "paired by seed"
    assert pair.difference is not None
    assert (pair.difference.ci_low, pair.difference.ci_high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert pair.sentence.endswith("(7 seeds; paired by seed, exploratory).")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"test_sha256": "00" * 32}, "the test splits differ (7e7e7e7e7e7e and 000000000000)"),
        ({"dataset": "mnist"}, "the data sets differ (digits and mnist)"),
        ({"data_sha256": None}, "which training images were used is not recorded"),
        ({"seeds_from": 3}, "4 units are in both sweeps, others in one: neither pairs nor independent"),
    ],
)
def test_what_refuses_a_difference_leaves_the_estimates_side_by_side(
    other: dict[str, Any], said: str, make_confirm: Make
) -> None:
    (pair,) = compare(sweep("a", recorded(make_confirm())), sweep("b", recorded(make_confirm(seed=2), **other)))
    assert pair.difference is None
    assert said in pair.sentence


def replicated(name: str, made: Any) -> Sweep:
    confirm = made.trials.filter(pc.equal(made.trials["stage"], "confirm"))
    return Sweep(name, findings(made.trials, made.curves, made.stored), confirm)


@pytest.mark.slow
def test_replicates_are_the_units_of_sweeps_that_have_them(make_factorial: Make) -> None:
    first, second = make_factorial(replicates=6), make_factorial(replicates=6, seed=9)
    pairs = compare(replicated("a", first), replicated("b", second))
    assert [one.method for one in pairs] == ["paired by seed"] * 4
    on, off = (
        [made.values(f"koleo={arm},accum_steps=1").mean(axis=1) + made.values(f"koleo={arm},accum_steps=4").mean(axis=1)
         for made in (first, second)] for arm in ("on", "off")
    )  # fmt: skip
    units = ((on[1] - off[1]) - (on[0] - off[0])) / 2
    expected = t_interval(units)
    assert pairs[0].difference is not None
    assert (pairs[0].difference.estimate, pairs[0].difference.ci_low) == pytest.approx(
        (expected.estimate, expected.ci_low)
    )
    fewer = compare(replicated("a", first), replicated("b", make_factorial(replicates=5)))
    assert "5 units are in both sweeps, others in one" in fewer[0].sentence


def test_two_single_tunings_say_that_they_are(make_factorial: Make) -> None:
    first, second = (make_factorial(replicates=1, blocks=5, seed=seed) for seed in (0, 1))
    pair = compare(replicated("a", first), replicated("b", second))[0]
    assert "(at one tuning: 5 seeds; paired by seed, exploratory)" in pair.sentence


def test_sweeps_judged_by_different_outcomes_stand_in_one_row(make_factorial: Make) -> None:
    first, second = (replicated(name, make_factorial(replicates=5, outcome=name)) for name in ("auc", "recall_at_1"))
    pairs = compare(first, second)
    assert len(pairs) == 4
    assert only_in(first, second) == []
    for pair in pairs:
        assert pair.difference is None
        assert pair.first.contrast.estimand == pair.second.contrast.estimand
        assert f"auc: {pair.first.sentence} recall_at_1: {pair.second.sentence}" in pair.sentence
    assert pairs[0].sentence.startswith("KoLeo, judged by test AUC in auc, by test recall at 1 in recall_at_1. auc: ")
    report = comparison(first, second)
    assert report.first is not None
    assert report.first.table is not None
    row = report.first.table.rows[0]
    assert report.first.table.header[1::2] == [f"{first.name}: test AUC", f"{second.name}: test recall at 1"]
    assert [row[i].count("test ") for i in (1, 3)] == [0, 0]
    assert len(row) == 5, "no column for differences that nobody can have"
    assert report.first.note.count("5 tunings x ") == 2


def test_settings_that_differ_are_named_by_cell(make_confirm: Make) -> None:
    second = make_confirm()
    for row in second.trial_rows:
        if row["koleo"]:
            row["koleo_weight"] = 0.05
    found = config_differences(sweep("a", recorded(make_confirm())), sweep("b", recorded(second)))
    assert found == {"koleo=on": ["koleo_weight: 0.1, 0.05"]}


@pytest.mark.slow
def test_what_each_replicate_tunes_for_itself_is_no_difference_of_the_sweeps(make_factorial: Make) -> None:
    one, other = (make_factorial(replicates=4, seed=seed) for seed in (0, 9))
    for made, first in ((one, 0.001), (other, 0.002)):
        for row in made.tables.trial_rows:
            config = config_of(row) | {"lr": first * row["replicate"], "epochs": 5}
            row["config_json"] = TrainConfig.from_flat(config).to_json()
    assert config_differences(replicated("a", one), replicated("b", other)) == {}
    for row in other.tables.trial_rows:
        row["config_json"] = (
            row["config_json"].replace('"epochs":5', '"epochs":7').replace('"epochs": 5', '"epochs": 7')
        )
    found = config_differences(replicated("a", one), replicated("b", other))
    assert len(found) == 4
    assert {tuple(lines) for lines in found.values()} == {("epochs: 5, 7",)}


@pytest.mark.slow
def test_the_command_line_writes_a_folder_of_its_own(
    make_confirm: Make,
    plan: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = recorded(make_confirm()).write(tmp_path / "one", plan=plan)
    second = recorded(make_confirm(seed=4), seeds_from=20).write(tmp_path / "two", plan=plan)
    before = sorted(first.rglob("*")) + sorted(second.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert main([str(first), str(second)]) == 0
    assert capsys.readouterr().out.strip() == "compare-one-two/report.html"
    text = Path("compare-one-two/report.md").read_text(encoding="utf-8")
    assert "Side by side" in text
    assert "Cells of the same name ran the same settings, seeds aside." in text
    assert sorted(first.rglob("*")) + sorted(second.rglob("*")) == before
    assert main([str(first), str(second), str(first)]) == 2
    assert main([str(first), "--output", "out"]) == 2
    assert main([str(first), str(tmp_path / "nowhere")]) == 2
