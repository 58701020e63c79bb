from collections.abc import Callable
from typing import Any

import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.document import Section
from sweeps.analysis.report.sections import suggestion

Make = Callable[..., Any]


def column(section: Section, table: int, name: str) -> dict[str, str]:
    """One column of a table, by the names of its rows."""
    found = section.tables[table]
    return {row[0]: row[found.header.index(name)] for row in found.rows}


def searched(tables: Any, values: dict[str, list[tuple[float, str]]]) -> Any:
    index = 0
    for cell, trials in values.items():
        config = TrainConfig(koleo=cell == "koleo=on", koleo_weight=0.1 if cell == "koleo=on" else None)
        for auc, reason in trials:
            tables.add("search", index, cell, 0, config, end_reason=reason, final_val_auc=auc)
            index += 1
    return tables.trials


@pytest.fixture
def starved(make_confirm: Make) -> Any:
    """KoLeo's arm had fewer trials, most of them stopped early; its only completed trial did well."""
    off = [(0.90, "completed"), (0.92, "completed"), (0.80, "asha_stopped")]
    on = [(0.915, "completed"), (0.70, "asha_stopped"), (0.60, "asha_stopped")]
    return searched(make_confirm(blocks=0), {"koleo=off": off, "koleo=on": on})


def test_the_search_is_read_in_three_ways_beside_what_was_confirmed(starved: Any) -> None:
    found = suggestion.section(starved, ("KoLeo left AUC equivalent.", -0.001, 0.006))
    assert found.paragraphs[0] == (
        "Read naively, KoLeo differs from KoLeo off by -.135 by the mean of all last values, +.005 by the mean of "
        "completed trials, -.005 by the best trial. The readings disagree even in sign."
    )
    assert found.paragraphs[1] == suggestion.WHY_NOT
    assert found.paragraphs[2] == (
        "Paired runs, on the test split: KoLeo left AUC equivalent. Outside that interval lie the mean of all last "
        "values and the best trial of the search."
    )
    assert column(found, 0, "koleo=on") == {
        "trials": "3",
        "completed": "1",
        "mean of all last values": ".738",
        "mean of completed trials": ".915",
        "best trial": ".915",
    }


def test_numbers_of_accumulation_steps_are_read_likewise_over_all_arms(make_confirm: Make) -> None:
    tables = make_confirm(blocks=0)
    for index, (steps, auc) in enumerate([(1, 0.90), (4, 0.94), (2, 0.80), (4, 0.92)]):
        on = bool(index % 2)
        config = TrainConfig(koleo=on, koleo_weight=0.1 if on else None, accum_steps=steps)
        row = tables.add("search", index, f"koleo={'on' if on else 'off'}", 0, config, final_val_auc=auc)
        row["end_reason"] = "completed"
    found = suggestion.section(tables.trials, None, ("Accumulation lowered AUC.", -0.02, -0.01))
    assert any(line.startswith("Read naively, K=4 differs from K=1 by +.030") for line in found.paragraphs)
    assert column(found, 1, "accum_steps=4")["mean of completed trials"] == ".930"
    assert column(found, 1, "accum_steps=2")["trials"] == "1"


def test_an_arm_that_completed_nothing_has_no_such_reading(make_confirm: Make) -> None:
    values = {"koleo=off": [(0.9, "completed")], "koleo=on": [(0.8, "asha_stopped")]}
    found = suggestion.section(searched(make_confirm(blocks=0), values), None)
    assert found.paragraphs[0].endswith("by -.100 by the mean of all last values.")
    assert found.paragraphs[-1].startswith("No paired runs have confirmed")
    assert column(found, 0, "koleo=on")["best trial"] == "–"


def test_one_arm_or_none_suggests_nothing(make_confirm: Make) -> None:
    assert not suggestion.section(make_confirm().trials, None).paragraphs
    alone = searched(make_confirm(blocks=0), {"koleo=off": [(0.9, "completed")]})
    assert not suggestion.section(alone, None).tables
