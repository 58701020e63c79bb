"""The arithmetic of a forecast, with rates that are given."""

from dataclasses import replace
from typing import Any

import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.cli.forecast import duration
from sweeps.cli.forecast.duration import duration_of, interleaved, makespan
from sweeps.cli.forecast.rates import Evaluation, Kind, Rates, evaluation_kind, nearest
from sweeps.cli.forecast.workload import Work, kind_of, workload_of
from sweeps.design import Design
from sweeps.design.design import Settings
from sweeps.design.plan import Plan
from sweeps.koleo_accum import DESIGN


@pytest.fixture(autouse=True)
def _no_overheads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRIVER_STARTS", "STAGE_STARTS", "REPORT_STARTS", "TRIAL_S", "ROW_S"):
        monkeypatch.setattr(duration, name, 0.0)


def rates_for(plan: Plan, rate_of: Any, evaluation: Evaluation) -> Rates:
    """Images per second by `rate_of(config)`."""
    configs = [work.config for stage in workload_of(plan).values() for work in stage]
    return Rates(
        images_per_s={kind_of(plan, config): rate_of(config) for config in configs},
        evaluations={evaluation_kind(config): evaluation for config in configs},
        process_s=10.0,
        host_bytes=0,
        gpu_bytes=0,
    )


NOTHING = Evaluation(setup_s=0, validation_s=0, checkpoint_s=0)


def seconds_of(plan: Plan, rates: Rates, *, at_once: int = 1) -> duration.Duration:
    return duration_of(plan, workload_of(plan), rates, lambda config: 1000, at_once=at_once)


def test_each_kind_of_cell_takes_its_own_time(tiny: Design) -> None:
    plan = Plan.of(tiny, {"preset": "designed", "stages": "confirm", "epochs": 3, "blocks": 2, "replicates": 1})
    found = seconds_of(plan, rates_for(plan, lambda c: 500.0 if c.accum_steps == 1 else 250.0, NOTHING))
    slow = sum(cell.levels.get("accum_steps", 1) != 1 for cell in plan.cells)
    quick = len(plan.cells) - slow
    assert slow > 0
    assert found.stages["confirm"] == pytest.approx(2 * 3 * (2.0 * quick + 4.0 * slow))
    assert found.total_s == pytest.approx(found.stages["confirm"])
    assert found.most_s == found.total_s


def test_evaluations_and_overheads_are_counted_where_they_occur(tiny: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.of(tiny, {"stages": "search,confirm", "samples": 1, "epochs": 4, "blocks": 3, "replicates": 1})
    evaluation = Evaluation(setup_s=1.0, validation_s=0.5, checkpoint_s=0.25, held_out_s={"none": 2.0})
    rates = rates_for(plan, lambda config: 1000.0, evaluation)
    trial_s = 1.0 + 4 * (1.0 + 0.5) + 0.25  # one checkpoint, at the end
    assert seconds_of(plan, rates).stages == pytest.approx({"search": trial_s, "confirm": 6 * (trial_s + 2.0)})
    for name, value in {
        "DRIVER_STARTS": 2.0,
        "STAGE_STARTS": 3.0,
        "REPORT_STARTS": 1.0,
        "TRIAL_S": 0.1,
        "ROW_S": 0.01,
    }.items():
        monkeypatch.setattr(duration, name, value)
    more = seconds_of(plan, rates)
    assert (more.start_s, more.report_s) == (20.0, 10.0)
    assert more.stages["search"] == pytest.approx(trial_s + 30.0 + 0.1 + 4 * 0.01)


def test_checkpoints_count_by_the_minute_and_at_most_by_the_epoch(tiny: Design) -> None:
    plan = Plan.of(tiny, {"stages": "confirm", "epochs": 10, "blocks": 1, "replicates": 1})
    saved = Evaluation(setup_s=0, validation_s=0, checkpoint_s=1.0)
    for epoch_s, checkpoints in ((1.0, 1), (20.0, 4), (100.0, 10)):
        rates = rates_for(plan, lambda config, epoch_s=epoch_s: 1000 / epoch_s, saved)
        assert seconds_of(plan, rates).stages["confirm"] == pytest.approx(2 * (10 * epoch_s + checkpoints))


def test_views_count_in_the_first_block_of_each_replicate(tiny: Design) -> None:
    what: Settings = {
        "preset": "designed",
        "stages": "tune,confirm",
        "replicates": 3,
        "blocks": 2,
        "views": "all",
        "tuner": "sobol",
    }
    plan = Plan.of(tiny, what)
    seen = Evaluation(
        setup_s=0, validation_s=0, checkpoint_s=0, held_out_s={"none": 0.0, "all": 5.0}, first_views_s=30.0
    )
    rates = rates_for(plan, lambda config: 1e9, seen)
    found = seconds_of(plan, rates)
    assert found.stages["confirm"] == pytest.approx(3 * len(plan.cells) * 5.0 + 30.0, abs=0.1)
    assert found.stages["tune"] == pytest.approx(0.0, abs=0.1)


def test_a_tuning_runs_no_more_at_once_than_it_has_studies(tiny: Design) -> None:
    plan = Plan.of(tiny, {"preset": "designed", "stages": "tune", "points": 4, "epochs": 1, "replicates": 1})
    rates = rates_for(plan, lambda config: 1000.0, NOTHING)
    cells = len(plan.factorial.distinct)
    assert seconds_of(plan, rates, at_once=100).stages["tune"] == pytest.approx(4.0)
    assert seconds_of(plan, rates, at_once=1).stages["tune"] == pytest.approx(4.0 * cells)
    every = replace(plan, tuner="sobol")
    assert seconds_of(every, rates, at_once=100).stages["tune"] == pytest.approx(1.0)


def test_savings_are_expected_and_the_most_is_told(tiny: Design) -> None:
    plan = Plan.of(tiny, {"stages": "search", "samples": 8, "epochs": 20})
    found = seconds_of(plan, rates_for(plan, lambda config: 1000.0, NOTHING))
    # Of 8, all for 5 epochs, 4.5 for 5 more, 2.75 for the last 10.
    assert found.stages["search"] == pytest.approx(8 * 5 + 4.5 * 5 + 2.75 * 10)
    assert found.longest["search"] == pytest.approx(160)


def test_makespan_is_that_of_first_come_first_served() -> None:
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4
    assert makespan([1, 2], 8) == 2
    assert makespan([], 2) == 0


def test_fractions_of_trials_keep_their_total() -> None:
    config = TrainConfig()
    kinds = [(Work(config, 0.4, 1.0), 10.0), (Work(config, 0.4, 1.0), 20.0), (Work(config, 2.2, 1.0), 5.0)]
    found = interleaved(kinds)
    assert len(found) == 3
    assert sum(found) == pytest.approx(0.4 * 10 + 0.4 * 20 + 2.2 * 5)


def test_a_kind_that_was_not_timed_takes_the_rate_of_the_most_similar() -> None:
    known: dict[Kind, float] = {("a", 1, True): 1.0, ("b", 2, True): 2.0}
    assert nearest(("b", 1, True), {**known, ("b", 1, True): 3.0}) == 3.0
    assert nearest(("b", 2, False), known) == 2.0


@pytest.mark.parametrize("preset", DESIGN.presets)
def test_every_preset_has_all_of_its_trials(preset: str) -> None:
    plan = Plan.of(DESIGN, {"preset": preset})
    works = workload_of(plan)
    planned = {
        "search": plan.samples,
        "tune": plan.replicates * plan.points * len(plan.factorial.distinct),
        "confirm": plan.replicates * plan.blocks * len(plan.cells),
    }
    counted = {stage: sum(work.trials for work in own) for stage, own in works.items()}
    assert counted == pytest.approx({stage: planned[stage] for stage in plan.stages})
