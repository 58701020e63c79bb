"""Which run of a tuning comes next: studies side by side, each with one run under way, and the same on a resume."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweeps.design.plan import Plan
from sweeps.design.runs import Run, tune_runs
from sweeps.engine.search.cell_study import CellStudy, ShownStudies
from sweeps.engine.search.tuning_search import TuningSearch
from sweeps.engine.watching.audience import Audience
from sweeps.koleo_accum import DESIGN
from sweeps.results.sweep_log import SweepLog
from trainables.run_label import RunLabel, trial_name

PLAN = Plan.of(DESIGN, {"preset": "minimal", "points": 4, "replicates": 2})
RUNS = tune_runs(PLAN)
CELLS = {cell.cell_id: cell for cell in PLAN.factorial.distinct}


def labelled() -> list[tuple[Run, RunLabel]]:
    return [
        (
            run,
            RunLabel(
                study_id="s", stage="tune", cell_id=run.cell_id, trial_id=trial_name(i), block=run.block,
                replicate=run.replicate, origin=run.origin, attempt=1, checkpoint_dir="/c", point=run.point,
            ),
        )
        for i, run in enumerate(RUNS)
    ]  # fmt: skip


class Driver:
    """A start of a driver, with the rows that earlier ones have stored; runs end as a deterministic loop would."""

    def __init__(self, folder: Path, rows: Sequence[dict[str, Any]] = (), again: Sequence[str] = ()) -> None:
        self.rows = {row["trial_id"]: row for row in rows}
        done = [row for row in sorted(rows, key=lambda row: row["trial_id"]) if row["trial_id"] not in again]
        names = [factor.name for factor in PLAN.nuisances]
        kept = {name: {k: self.rows[name][k] for k in names if self.rows[name][k] is not None} for name in again}
        self.search = TuningSearch(
            [pair for pair in labelled() if pair[1].trial_id not in {row["trial_id"] for row in done}],
            {run.study: CellStudy(PLAN, CELLS[run.cell_id], seed=run.replicate) for run in RUNS},
            rows=done,
            settings_of=kept,
            shown=Audience({"shown": lambda: ShownStudies(folder / "optuna.db")}, Console(), SweepLog()),
            metric="val_auc",
        )
        self.under_way: list[dict[str, Any]] = []
        self.asked = 0

    def start(self) -> dict[str, Any] | None:
        config = self.search.suggest(f"ray{self.asked}")
        if config is not None:
            assert self.search.suggest(f"ray{self.asked}") == config, "Tune may ask again"
            self.asked += 1
            self.under_way.append(config)
        return config

    def end(self, config: dict[str, Any], ending: str = "completed") -> None:
        self.under_way.remove(config)
        value = 1 - abs(config["lr"] - 0.001) * 50
        row = {**config, "end_reason": ending, "images_seen": 100, "final_val_auc": value}
        self.rows[config["trial_id"]] = row
        self.search.on_stored(row)

    def run(self, at_once: int, draw: random.Random, most: int = 10**6) -> None:
        """As many runs at once, which end in any order."""
        while len(self.rows) < most:
            while len(self.under_way) < at_once and self.start() is not None:
                pass
            if not self.under_way:
                return
            self.end(draw.choice(self.under_way))


def settings(driver: Driver) -> dict[str, tuple[Any, ...]]:
    return {name: (row["lr"], row["margin"], row["koleo_weight"]) for name, row in driver.rows.items()}


@pytest.fixture
def calm(tmp_path: Path) -> Driver:
    """One run after the other, never interrupted."""
    (tmp_path / "calm").mkdir()
    driver = Driver(tmp_path / "calm")
    driver.run(1, random.Random(0))
    return driver


@pytest.mark.slow
def test_every_run_comes_once_and_a_study_has_one_under_way(tmp_path: Path) -> None:
    driver, draw = Driver(tmp_path), random.Random(1)
    while True:
        while driver.start() is not None:
            pass
        studies = [(config["replicate"], config["cell_id"]) for config in driver.under_way]
        assert len(set(studies)) == len(studies)
        if not driver.under_way:
            break
        driver.end(draw.choice(driver.under_way))
    assert sorted(driver.rows) == [trial_name(i) for i in range(len(RUNS))]
    assert driver.asked == len(RUNS)


def test_as_many_run_at_once_as_there_are_studies(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    started = [driver.start() for _ in range(7)]
    assert [config is not None for config in started] == [True] * 6 + [False]
    assert [config["trial_id"] for config in started[:3] if config] == ["t00000", "t00001", "t00002"]


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "rounds"), [(1, 24), (2, 12), (4, 6), (5, 5), (6, 4)])
def test_no_slot_idles_while_a_study_could_go_on(tmp_path: Path, slots: int, rounds: int) -> None:
    """Six studies of four runs that take one round each."""
    driver = Driver(tmp_path)
    needed = 0
    while True:
        while len(driver.under_way) < slots and driver.start() is not None:
            pass
        if not driver.under_way:
            break
        for config in list(driver.under_way):
            driver.end(config)
        needed += 1
    assert needed == rounds


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2, 6])
def test_what_is_proposed_depends_neither_on_the_order_of_endings_nor_on_the_room(
    calm: Driver, tmp_path: Path, at_once: int
) -> None:
    driver = Driver(tmp_path)
    driver.run(at_once, random.Random(at_once))
    assert settings(driver) == settings(calm)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 7, 15])
def test_nor_on_an_interruption(calm: Driver, tmp_path: Path, most: int) -> None:
    """What was under way when the driver was killed is proposed again with the settings of its checkpoint."""
    killed = Driver(tmp_path)
    killed.run(3, random.Random(2), most=most)
    lost = {config["trial_id"]: config["lr"] for config in killed.under_way}
    again = Driver(tmp_path, list(killed.rows.values()))
    again.run(2, random.Random(3))
    assert settings(again) == settings(calm)
    assert {name: again.rows[name]["lr"] for name in lost} == lost


@pytest.mark.slow
def test_what_infrastructure_ended_is_run_once_more_with_its_settings_after_all_others(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    while (config := driver.start()) is not None or driver.under_way:
        if config is None:
            oldest = driver.under_way[0]
            driver.end(oldest, "error" if oldest["trial_id"] in ("t00002", "t00009") else "completed")
    again = Driver(tmp_path, list(driver.rows.values()), again=["t00002", "t00009"])
    again.run(6, random.Random(0))
    assert settings(again) == settings(driver)
    assert {row["end_reason"] for row in again.rows.values()} == {"completed"}
