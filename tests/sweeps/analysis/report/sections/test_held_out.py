"""Accuracy beside raw pixels, classes, colour."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from embedding_core.views.view_tables import SHOWN_NEIGHBOURS
from sweeps.analysis.document import Section, Table
from sweeps.analysis.report.sections.held_out import accuracy, shortcut
from sweeps.analysis.stats.description import held_out

Make = Callable[..., Any]
CURRICULUM, ARCFACE = "loss=mined,mining=curriculum,margin=.5", "loss=arcface"


def column(table: Table, name: str) -> dict[str, str]:
    return {row[0]: row[table.header.index(name)] for row in table.rows}


def plain(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def test_accuracy_stands_beside_raw_pixels(make_arms: Make) -> None:
    sweep = make_arms()
    found = accuracy(sweep.trials, sweep.evaluations, sweep.groups, [CURRICULUM, ARCFACE])
    table = found.tables[0]
    own = [row["test_fitted_svm_accuracy"] for row in sweep.tables.trial_rows if row["cell_id"] == ARCFACE]
    svm = column(table, "fitted SVM")
    assert svm[ARCFACE] == f"{plain(np.mean(own), 4)} ± {plain(np.std(own, ddof=1), 4)}"
    assert svm["raw pixels"] == ".5500"
    assert column(table, "classified right") == {CURRICULUM: "–", ARCFACE: table.rows[1][1], "raw pixels": "–"}
    assert column(table, "unseen: R@1")["raw pixels"] == ".4000"
    assert column(table, "leave-one-out kNN")["raw pixels"] == ".4000"
    assert column(table, "n") == {CURRICULUM: "3", ARCFACE: "3", "raw pixels": ""}
    sweep.tables.row(ARCFACE, 1)["test_map_at_r"] = None
    again = accuracy(sweep.trials, sweep.evaluations, sweep.groups, [ARCFACE]).tables[0]
    assert column(again, "MAP@R")[ARCFACE].endswith(" (2)")


def test_classes_are_those_of_the_classifier_cells(make_arms: Make) -> None:
    sweep = make_arms()
    by_class = accuracy(sweep.trials, sweep.evaluations, sweep.groups, [CURRICULUM, ARCFACE, "loss=softmax"]).tables[1]
    assert by_class.header == ["classified right, by class", "images", ARCFACE, "loss=softmax"]
    trials = {row["trial_id"] for row in sweep.tables.trial_rows if row["cell_id"] == ARCFACE}
    own = [r["value"] for r in sweep.tables.group_rows if r["trial_id"] in trials and r["class_id"] == 3]
    assert by_class.rows[3] == ["class 3", "53", plain(np.mean(own), 4), by_class.rows[3][3]]


def test_as_many_neighbours_are_shown_as_the_views_hold() -> None:
    assert held_out.SHOWN_NEIGHBOURS == SHOWN_NEIGHBOURS


def test_colour_is_a_paired_difference(make_arms: Make) -> None:
    sweep = make_arms()
    found = shortcut(sweep.trials, sweep.evaluations, [CURRICULUM, ARCFACE])
    assert [table.header[0] for table in found.tables] == ["unseen classes", "test split"]
    loss = column(found.tables[1], "grey less colour")
    assert loss[CURRICULUM] == "-.030 [-.030, -.030]"
    assert loss[ARCFACE] == "-.090 [-.090, -.090]"
    sweep.evaluation_rows = [row for row in sweep.evaluation_rows if row["metric"] != "hit_rate_grey"]
    assert shortcut(sweep.trials, sweep.evaluations, [ARCFACE]) == Section("Colour")


@pytest.mark.parametrize("missing", [True, False])
def test_a_sweep_that_measured_none_of_it_has_no_section(make_confirm: Make, make_arms: Make, missing: bool) -> None:
    tables, evaluations = make_confirm(blocks=2), make_arms(blocks=1).evaluations
    empty = evaluations.slice(0, 0) if missing else evaluations
    found = accuracy(tables.trials, empty, tables.groups, ["koleo=off", "koleo=on"])
    assert found == Section("Accuracy")
