"""Settings that cells run with: of one replicate, over several, and at the edges of their ranges."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sweeps.analysis.document import Section
from sweeps.analysis.report.sections.settings import section
from sweeps.analysis.stats.reading.plan_reader import plan_of
from sweeps.analysis.stats.reading.stored_plan import StoredPlan

Make = Callable[..., Any]
OFF, ON1 = "koleo=off", "koleo=on,accum_steps=1"
CELL = "koleo=on,accum_steps=4"


def column(found: Section, table: int, name: str) -> dict[str, str]:
    """The numbers of a cell, which is a column of a narrow table and a row of a wide one."""
    shown = found.tables[table]
    if name not in shown.header:
        (row,) = (row for row in shown.rows if row[0] == name)
        return dict(zip(shown.header, row, strict=True))
    return {row[0]: row[shown.header.index(name)] for row in shown.rows}


def test_an_old_plan_flags_no_edges(staged_plan: dict[str, Any]) -> None:
    found = section(plan_of(staged_plan), "validation AUC", [])
    assert found.heading == "Tuned settings"
    assert column(found, 0, OFF) == {
        "koleo weight": "–",
        "lr": ".00123",
        "margin": ".410",
        "from trial": "t00003",
        "its validation AUC": ".921",
    }
    assert column(found, 0, ON1)["koleo weight"] == ".000210"
    assert found.paragraphs == []  # the outermost of eight points is no edge of the range


def test_replicates_have_a_median_with_a_range_and_a_row_each(make_factorial: Make) -> None:
    made = make_factorial(replicates=5)
    for i, own in enumerate(made.plan["tuned"]):
        for found in own.values():
            found["edges"] = {}
        own[CELL]["edges"] = {"lr": "high"} if i < 2 else {}
    shown = section(made.stored, "validation AUC", [])
    rates = [own[CELL]["settings"]["lr"] for own in made.plan["tuned"]]
    text = column(shown, 0, CELL)["lr"]
    assert [float(x.strip("[],")) for x in text.split()] == [
        float(f"{x:.3g}") for x in (np.median(rates), min(rates), max(rates))
    ]
    assert "KoLeo, K=4: lr at the high end in 2 of 5 replicates." in shown.paragraphs[-1]
    details = shown.tables[1]
    own = [row for row in details.rows if row[0] == CELL]
    assert [row[1] for row in own] == ["1", "2", "3", "4", "5"]
    assert [row[details.header.index("lr")].endswith("(high end)") for row in own] == [True, True, False, False, False]
    assert [row[-2] for row in own] == [tuned[CELL]["trial_id"] for tuned in made.plan["tuned"]]


def test_without_an_edge_it_says_so_and_without_settings_nothing(make_factorial: Make) -> None:
    made = make_factorial(replicates=1, blocks=2)
    for found in made.plan["tuned"][0].values():
        found["edges"] = {}
    assert section(made.stored, "validation AUC", []).paragraphs == ["No best setting is at an edge of its range."]
    assert section(StoredPlan(), "validation AUC", []).tables == []
