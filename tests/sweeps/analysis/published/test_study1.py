"""Ours beside the figures of study 1."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sweeps.analysis.document import Section
from sweeps.analysis.published import study1
from sweeps.analysis.published.beside import beside
from sweeps.results.schema import EVALUATIONS, VIEWS

Make = Callable[..., Any]


def column(section: Section, table: int, name: str) -> dict[str, str]:
    """One column of a table, by the names of its rows."""
    found = section.tables[table]
    return {row[0]: row[found.header.index(name)] for row in found.rows}


def photographed(make_confirm: Make, **columns: Any) -> Any:
    tables = make_confirm(blocks=3)
    for row in tables.trial_rows:
        row |= {"dataset": "cifar10", "backbone": "small_cnn", "triplets": "disjoint", **columns}
    for row in tables.curve_rows:
        row |= {"val_intra": 0.2 if row["trial_id"] in ("t00000", "t00002", "t00004") else 0.5, "val_inter": 1.0}
    return tables


def beside_study_1(tables: Any) -> Section:
    empty = {"evaluations": EVALUATIONS.empty_table(), "views": VIEWS.empty_table()}
    return beside(study1.STUDY, tables.trials, tables.curves, ["koleo=off", "koleo=on"], **empty)


def test_ours_stands_beside_the_published_figures(make_confirm: Make) -> None:
    tables = photographed(make_confirm)
    found = beside_study_1(tables)
    rows = {cell: [r for r in tables.trial_rows if r["cell_id"] == cell] for cell in ("koleo=off", "koleo=on")}
    mean = {cell: f"{np.mean([r['test_auc'] for r in own]):.4f}".removeprefix("0") for cell, own in rows.items()}
    without, koleo, k4 = (column(found, 0, name) for name in ("without KoLeo", "KoLeo", "KoLeo, K=4"))
    published = "AUC, published"
    assert (without[published], koleo[published], k4[published]) == (".9538", ".9433", ".9486")
    assert (without["test AUC"], koleo["test AUC"]) == (mean["koleo=off"], mean["koleo=on"])
    assert (without["within / between classes"], koleo["within / between classes"]) == (
        ".2000 / 1.0000",
        ".5000 / 1.0000",
    )
    assert k4["within / between classes, published"] == ".4854 / 1.0279"
    assert (without["our runs"], k4["our runs"], k4["test AUC"]) == ("3", "0", "–")
    assert "backbone small_cnn (study: vgg11)" in found.paragraphs[1]
    assert "epochs 5 (study: 15)" in found.paragraphs[1]
    assert "triplets disjoint (study: study)" in found.paragraphs[1]
    assert "lr" not in found.paragraphs[1]


@pytest.mark.parametrize("columns", [{"dataset": "digits"}, {"loss": "semihard"}])
def test_published_figures_are_for_the_same_question_alone(make_confirm: Make, columns: dict[str, str]) -> None:
    tables = photographed(make_confirm, **columns)
    assert beside_study_1(tables) == Section("Beside study 1")
