"""Probes by the number of labels."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sweeps.analysis.document import Section, Table
from sweeps.analysis.figures.labels import label_data
from sweeps.analysis.report.sections import few_labels
from sweeps.analysis.stats.intervals.effects import t_interval

Make = Callable[..., Any]
CURRICULUM, ARCFACE = "loss=mined,mining=curriculum,margin=.5", "loss=arcface"


def column(table: Table, name: str) -> dict[str, str]:
    return {row[0]: row[table.header.index(name)] for row in table.rows}


def plain(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def test_tables_give_half_the_interval(make_arms: Make) -> None:
    sweep = make_arms(blocks=5)
    data = label_data(sweep.evaluations, sweep.trials, [ARCFACE, CURRICULUM], split="unseen", dataset="digits")
    assert data is not None
    own = sweep.values(ARCFACE, split="unseen", metric="probe_linear", k=1000)
    tables = few_labels.label_tables(data)
    assert [table.header[0] for table in tables] == [
        f"{name}, unseen classes" for name in ("SVC (RBF)", "linear SVM", "kNN")
    ]
    half = t_interval(own).ci_high - np.mean(own)
    assert column(tables[1], "1,000 labels")[ARCFACE] == f"{plain(np.mean(own), 3)} ± {plain(half, 3)}"


def test_unseen_classes_come_first_and_one_block_has_no_interval(make_arms: Make) -> None:
    sweep = make_arms(blocks=1)
    found = few_labels.section(sweep.evaluations, sweep.trials, [ARCFACE], dataset="digits")
    assert [picture.name for picture in found.pictures] == ["labels-unseen", "labels-test"]
    assert "±" not in "".join(found.tables[0].rows[0])
    sweep.evaluation_rows = []
    empty = few_labels.section(sweep.evaluations, sweep.trials, [ARCFACE], dataset="digits")
    assert empty == Section(few_labels.HEADING)
