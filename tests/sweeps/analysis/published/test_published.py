"""Ours beside the figures of studies 2 to 4."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from embedding_core.config.train_config import TrainConfig
from embedding_core.losses import functional
from sweeps.analysis.document import Section, Table
from sweeps.analysis.published import study1, study2, study3, study4
from sweeps.analysis.published.beside import STUDIES, beside
from sweeps.analysis.published.study import Study
from sweeps.analysis.report.compose import compose

Make = Callable[..., Any]
CURRICULUM, ARCFACE = "loss=mined,mining=curriculum,margin=.5", "loss=arcface"
CALTECH = {"dataset": "caltech101", "loss": "nt_xent", "batch_size": 200}


def column(table: Table, name: str) -> dict[str, str]:
    return {row[0]: row[table.header.index(name)] for row in table.rows}


def laid(study: Study, sweep: Any, cells: Iterable[str] | None = None) -> Section:
    """The section; of all cells unless some are named."""
    every = dict.fromkeys(row["cell_id"] for row in sweep.tables.trial_rows)
    where = {"evaluations": sweep.evaluations, "views": sweep.views}
    return beside(study, sweep.trials, sweep.curves, list(cells or every), **where)


def four(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def test_the_bounds_beside_study_4_are_those_of_the_loss() -> None:
    for n in (2, 200, 512):
        assert study4.floor(n) == pytest.approx(functional.nt_xent_floor(n, 0.5))
        assert study4.chance(n) == pytest.approx(functional.nt_xent_chance(n))


# Study 2


def test_probes_and_accuracy_stand_beside_study_2(make_arms: Make) -> None:
    arms = {"mining=curriculum,margin=.2": {"loss": "mined", "mining": "curriculum", "margin": 0.2}}
    arms |= {CURRICULUM: {"loss": "mined", "mining": "curriculum", "margin": 0.5}}
    sweep = make_arms(arms | {ARCFACE: {"loss": "arcface", "margin": 0.5}}, dataset="plankton", unseen_classes=3)
    found = laid(study2.STUDY, sweep)
    accuracy, probes = found.tables
    own = [row["test_accuracy"] for row in sweep.tables.trial_rows if row["cell_id"] == ARCFACE]
    assert accuracy.rows == [["ArcFace", ".9706", four(float(np.mean(own))), "3"]]
    assert column(probes, "triplet curriculum, published")["SVC (RBF), 1,000 labels"] == ".655"
    assert column(probes, "ArcFace, published")["kNN, 3,000 labels"] == ".780"
    trials = {row["trial_id"] for row in sweep.tables.trial_rows if row["cell_id"] == CURRICULUM}
    linear = {"split": "unseen", "metric": "probe_linear", "k": 30}
    values = [
        r["value"]
        for r in sweep.evaluation_rows
        if r["trial_id"] in trials and linear.items() <= {**r, "k": r.get("k")}.items()
    ]
    ours = column(probes, "triplet curriculum, ours")["linear SVM, 30 labels"]
    assert ours == f"{np.mean(values):.3f}".removeprefix("0")
    assert f"triplet curriculum: {CURRICULUM} (3 runs)" in found.paragraphs[1]  # at the study's margin, not at .2
    assert "dataset plankton (study: FlowCamNet, private)" in found.paragraphs[2]
    assert "backbone small_cnn (study: efficientnet_v2_s)" in found.paragraphs[2]
    assert "unseen_classes" not in found.paragraphs[2]


def test_tunings_give_study_2_intervals_and_collapse_is_counted(make_arms: Make) -> None:
    random = "loss=mined,mining=random,margin=.5"
    arms = {CURRICULUM: {"loss": "mined", "mining": "curriculum", "margin": 0.5}}
    sweep = make_arms(arms | {random: {"loss": "mined", "mining": "random", "margin": 0.5}}, dataset="plankton")
    rows = sweep.tables.trial_rows
    for row in rows:
        row["replicate"], row["collapsed"] = row["block"], row["cell_id"] == random and row["block"] == 2
    of_curriculum = {row["trial_id"]: row["replicate"] for row in rows if row["cell_id"] == CURRICULUM}
    wanted = {"split": "unseen", "metric": "probe_svc", "k": 100}
    values = [
        row["value"] for row in sweep.evaluation_rows
        if row["trial_id"] in of_curriculum and wanted.items() <= {**row, "k": row.get("k")}.items()
    ]  # fmt: skip
    mean, half = np.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    collapse, probes = laid(study2.STUDY, sweep).tables
    ours = column(probes, "triplet curriculum, ours")["SVC (RBF), 100 labels"]
    assert ours == f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]".replace("0.", ".")
    assert collapse.rows == [["triplets without mining", "yes", f"1 of {len(values)} runs"]]


# Study 3


def test_phases_and_classifiers_stand_beside_study_3(make_arms: Make) -> None:
    base = {"loss": "semihard", "dataset": "mnist", "margin": 1.0, "distance": "sql2", "freeze_epochs": 4}
    arms = {"fallback=farthest": base, "fallback=nearest": base | {"fallback": "nearest", "freeze_epochs": 0}}
    sweep = make_arms(arms)
    found = laid(study3.STUDY, sweep, arms)
    (table,) = found.tables
    assert table.rows[0][:4] == ["published", ".0792", ".0572", "about .993 (this or kNN)"]
    losses = {
        epoch: np.mean(
            [
                next(r["val_loss"] for r in sweep.tables.curve_rows if (r["trial_id"], r["epoch"]) == (t, epoch))
                for t in (row["trial_id"] for row in sweep.tables.trial_rows if row["cell_id"] == "fallback=farthest")
            ]
        )
        for epoch in (4, 12)
    }
    assert table.rows[1][1:3] == [four(losses[4]), four(losses[12])]
    assert column(table, "validation loss, frozen")["fallback=nearest"] == "–"
    svm = [row["test_fitted_svm_accuracy"] for row in sweep.tables.trial_rows if row["cell_id"] == "fallback=nearest"]
    assert column(table, "fitted SVM")["fallback=nearest"] == four(float(np.mean(svm)))
    assert "margin" not in found.paragraphs[1]
    assert "fallback farthest, nearest (study: farthest)" in found.paragraphs[1]


# Study 4


@pytest.mark.parametrize(("n", "floor", "chance"), [(200, 4.005, 5.99), (512, 4.937, 6.93), (256, 4.249, 6.236)])
def test_the_bounds_of_nt_xent(n: int, floor: float, chance: float) -> None:
    assert study4.floor(n) == pytest.approx(floor, abs=1e-3)
    assert study4.chance(n) == pytest.approx(chance, abs=5e-3)
    similarities = np.full((2 * n, 2 * n), 0.0) + np.eye(2 * n)
    pairs = np.arange(2 * n) ^ 1
    similarities[np.arange(2 * n), pairs] = 1.0
    logits = np.where(np.eye(2 * n, dtype=bool), -np.inf, similarities / 0.5)
    by_hand = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(2 * n), pairs]
    assert study4.floor(n) == pytest.approx(by_hand.mean())


def test_the_loss_stands_beside_its_floor_and_study_4(make_arms: Make, with_views: Make) -> None:
    sweep = make_arms({"augmentation=simclr": CALTECH, "similarity=dot": CALTECH | {"similarity": "dot"}})
    with_views(sweep)
    for row in sweep.tables.curve_rows:
        if row["trial_id"] == sweep.tables.row("similarity=dot", 1)["trial_id"]:
            row["loss_floor"] = None
    found = laid(study4.STUDY, sweep)
    (table,) = found.tables
    above = column(table, "above the floor")
    assert above["published: ResNet-50, Caltech-101, batch 200"] == ".087"
    assert above["published: AlexNet, STL-10, if batch 512"] == ".093"
    trials = {row["trial_id"] for row in sweep.tables.trial_rows if row["cell_id"] == "augmentation=simclr"}
    ends = [r for r in sweep.tables.curve_rows if r["trial_id"] in trials and r["epoch"] == 12]
    assert above["augmentation=simclr"] == four(float(np.mean([r["loss_base"] - r["loss_floor"] for r in ends])))
    assert column(table, "floor")["augmentation=simclr"] == four(math.log(1 + 398 * math.exp(-2)))
    assert column(table, "nearest, fifth neighbour") == {
        "published: AlexNet, STL-10, if batch 256": ".91, .88",
        "published: AlexNet, STL-10, if batch 512": ".91, .88",
        "published: ResNet-50, Caltech-101, batch 200": ".84, .34",
        "augmentation=simclr": ".90, .70",
        "similarity=dot": ".90, .70",
    }
    assert "optimizer adam (study: sgd)" in found.paragraphs[1]


# Where they stand


def test_other_data_or_losses_are_not_compared(make_arms: Make) -> None:
    sweep = make_arms()  # digits
    for study in STUDIES.values():
        assert laid(study, sweep) == Section(f"Beside {study.name}")


def test_runs_of_another_kind_are_left_aside_or_end_the_comparison(make_arms: Make) -> None:
    """Study 3 is compared with what fits it, study 1, which no plan has to name, with sweeps of its own kind alone."""
    fitting = {"loss": "semihard", "dataset": "mnist", "margin": 1.0, "distance": "sql2"}
    sweep = make_arms({"fallback=farthest": fitting, "loss=softmax": {"loss": "softmax", "dataset": "mnist"}})
    assert [row[0] for row in laid(study3.STUDY, sweep).tables[0].rows] == ["published", "fallback=farthest"]
    triplets = {"loss": "triplet", "dataset": "cifar10"}
    assert laid(study1.STUDY, make_arms({"koleo=off": triplets})).tables
    mixed = make_arms({"koleo=off": triplets, "loss=softmax": {"loss": "softmax", "dataset": "cifar10"}})
    assert laid(study1.STUDY, mixed) == Section("Beside study 1")
    assert laid(study1.STUDY, mixed, ["koleo=off"]).tables


def test_a_run_that_failed_before_its_first_epoch_is_counted(make_arms: Make) -> None:
    sweep = make_arms({"koleo=off": {"loss": "triplet", "dataset": "cifar10"}})
    lost = sweep.tables.row("koleo=off", 2)
    lost |= {"end_reason": "diverged", "test_auc": None}
    sweep.tables.curve_rows = [row for row in sweep.tables.curve_rows if row["trial_id"] != lost["trial_id"]]
    without = column(laid(study1.STUDY, sweep).tables[0], "without KoLeo")
    kept = [row["test_auc"] for row in sweep.tables.trial_rows if row["test_auc"] is not None]
    assert (without["our runs"], without["test AUC"]) == ("3", four(float(np.mean(kept))))


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_is_whole(study: Study) -> None:
    """Its settings are fields of a configuration, and what was published stands in one of its tables."""
    assert {*study.settings, *study.runs} <= set(TrainConfig().to_flat())
    measures = {name for table in study.tables for name in table.measures}
    for arm in study.arms:
        assert set(arm.ours or {}) <= set(TrainConfig().to_flat())
        assert arm.published
        assert set(arm.published) <= measures


def test_the_plan_names_the_study(make_arms: Make, tmp_path: Path) -> None:
    for named, shown in (("study4", True), ("study3", False), ("", False)):
        sweep = make_arms({"augmentation=simclr": CALTECH}, blocks=2)
        sweep.plan = {"study_id": "simclr", "published": named}
        report = compose(sweep.write(tmp_path / (named or "none")))
        assert ("Beside study 4" in [section.heading for section in report.sections]) == shown
