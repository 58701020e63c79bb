"""Sections made of tables and sentences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.document import Section, compact
from sweeps.analysis.published import study1
from sweeps.analysis.published.beside import beside
from sweeps.analysis.report import suggestion, table_sections
from sweeps.analysis.stats.stored_plan import PlannedCell, StoredPlan
from sweeps.results.schema import EVALUATIONS, VIEWS

Make = Callable[..., Any]
OFF, ON1, ON4 = "koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"


def column(section: Section, table: int, name: str) -> dict[str, str]:
    """One column of a table, by the names of its rows."""
    found = section.tables[table]
    return {row[0]: row[found.header.index(name)] for row in found.rows}


# What the search alone would have suggested


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
        "Read naively, koleo=on differs from koleo=off by -.135 by the mean of all last values, +.005 by the mean of "
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
    assert any(
        line.startswith("Read naively, accum_steps=4 differs from accum_steps=1 by +.030") for line in found.paragraphs
    )
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


# Tuned settings


def test_tuned_settings_flag_the_edges(sweep_plan: dict[str, Any]) -> None:
    plan = StoredPlan(
        cells=tuple(PlannedCell(cell_id=cell["cell_id"], blocks=7) for cell in sweep_plan["cells"]),
        nuisance=sweep_plan["nuisance"],
        tuned=sweep_plan["tuned"],
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


def test_a_table_of_many_cells_lies_down() -> None:
    few = compact("stage", ["a", "b"], {"x": ["1", "2"], "y": ["3", "4"]})
    assert few[0].header == ["stage", "x", "y"]
    many = compact("stage", ["a", "b"], {name: ["1", "2"] for name in "uvwxyz"})
    assert (many[0].header, many[0].rows[0]) == (["stage", "a", "b"], ["u", "1", "2"])


# Study 1


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
