import shlex
from collections.abc import Callable
from typing import Any

import pytest

from embedding_core.config.parsing import parse_value
from embedding_core.config.train_config import TrainConfig
from sweeps.analysis.stats.description import descriptive
from sweeps.analysis.stats.description.importances import EVALUATORS, search_importances

Make = Callable[..., Any]


def test_endings_count_every_trial_once(make_search: Make, make_confirm: Make) -> None:
    tables = make_confirm(tables=make_search(n=60))
    rows = descriptive.endings(tables.trials, tables.curves)
    assert sum(row["total"] for row in rows) == 60 + 14
    assert sum(row["diverged"] for row in rows) == 1
    assert [row["unfinished"] for row in rows if row["cell_id"] == descriptive.UNKNOWN_CELL] == [1]
    assert "oom" not in rows[0]
    assert descriptive.trials_by_stage(tables.trials, tables.curves) == {"search": 60, "confirm": 14}


def test_the_same_id_in_two_stages_is_two_trials(make_search: Make, make_confirm: Make) -> None:
    tables = make_confirm(tables=make_search(n=3))
    tables.trial_rows = [r for r in tables.trial_rows if r["stage"] == "search"]
    assert ("confirm", "t00000") in descriptive.unfinished(tables.trials, tables.curves)
    assert ("search", "t00000") not in descriptive.unfinished(tables.trials, tables.curves)


def test_best_is_the_highest_completed_and_its_command_rebuilds_it(make_search: Make) -> None:
    tables = make_search()
    stopped = next(r for r in tables.trial_rows if r["end_reason"] == "asha_stopped")
    stopped["final_val_auc"] = 0.999
    best = descriptive.best_by_arm(tables.trials)
    completed = [r for r in tables.trial_rows if r["end_reason"] == "completed"]
    top = max(completed, key=lambda r: r["final_val_auc"])
    assert (best[0].trial_id, best[0].value) == (top["trial_id"], top["final_val_auc"])
    words = shlex.split(best[0].command)
    assert words.pop(0) == f"OMP_NUM_THREADS={top['cpu_threads']}"
    assert words[:3] == ["python", "-m", "embedding_core.train"]
    pairs = [word.partition("=") for word in words[3:]]
    config = TrainConfig.from_flat({name: parse_value(name, text) for name, _, text in pairs})
    assert config.sha256 == top["config_sha256"]


def test_censoring(make_search: Make) -> None:
    rows = descriptive.censoring(make_search().trials)
    assert sum(row["n"] for row in rows) == 59
    assert all(row["share"] == row["stopped"] / row["n"] and row["median_epoch"] <= 3 for row in rows)


def test_cost_adds_up(make_confirm: Make) -> None:
    off, on = descriptive.cost(make_confirm().trials)
    assert (off["n"], off["wall_s"], off["mean_wall_s"], on["gpu_s"], on["images_seen"]) == (7, 28.0, 4.0, 7.0, 42000)


def test_provenance_names_every_value(make_confirm: Make) -> None:
    tables = make_confirm()
    tables.trial_rows[0]["cpu_threads"] = 4
    pairs = dict(descriptive.provenance(tables.trials, tables.curves))
    assert (pairs["cpu_threads"], pairs["trials in confirm"], pairs["schema_version"]) == ("2; 4", "14", "1")


@pytest.mark.slow
def test_importances_find_the_setting_that_decides(make_search: Make) -> None:
    given = search_importances(make_search(n=80).trials)
    assert [item.evaluator for item in given] == list(EVALUATORS)
    for item in given:
        assert max(item.shares, key=lambda name: item.shares[name]) == "lr"
        assert "koleo_weight" not in item.shares
        assert sum(item.shares.values()) == pytest.approx(1)
    share, n = given[0].conditional["koleo_weight"]
    assert 0 <= share <= 1
    assert 10 <= n < given[0].n
    assert search_importances(make_search(n=80).trials) == given


def test_importances_say_why_not(make_search: Make) -> None:
    few = search_importances(make_search(n=8).trials)
    assert all(not item.shares and "at least 10 are needed" in item.reason for item in few)
    tables = make_search()
    for row in tables.trial_rows:
        row["final_val_auc"] = 0.9
    assert {item.reason for item in search_importances(tables.trials)} == {"all trials have the same outcome"}
    tables = make_search(n=24)
    for item in search_importances(tables.trials):
        assert item.shares
        assert item.reason.startswith("koleo_weight: ")
