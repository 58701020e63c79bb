"""Sections of tables that claim no effect."""

from typing import Any

from sweeps.analysis.document import Section
from sweeps.analysis.report import table_sections
from sweeps.analysis.stats.stored_plan import PlannedCell, StoredPlan

OFF, ON1 = "koleo=off", "koleo=on,accum_steps=1"


def column(section: Section, table: int, name: str) -> dict[str, str]:
    """One column of a table, by the names of its rows."""
    found = section.tables[table]
    return {row[0]: row[found.header.index(name)] for row in found.rows}


def test_tuned_settings_flag_the_edges(staged_plan: dict[str, Any]) -> None:
    plan = StoredPlan(
        cells=tuple(PlannedCell(cell_id=cell["cell_id"], blocks=7) for cell in staged_plan["cells"]),
        nuisance=staged_plan["nuisance"],
        tuned=staged_plan["tuned"],
    )
    found = table_sections.tuned(plan, [])
    assert found.heading == "Tuned settings"
    assert column(found, 0, OFF) == {
        "koleo weight": "–",
        "lr": ".00123",
        "margin": ".410",
        "from trial": "t00003",
        "its validation AUC": ".921",
    }
    assert column(found, 0, ON1)["koleo weight"] == ".000210 (lowest tried)"
    assert found.paragraphs[0].startswith(f"The best is the outermost value tried in: {ON1}. ")
    assert table_sections.tuned(StoredPlan(), []).tables == []
