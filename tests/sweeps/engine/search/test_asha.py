"""ASHA's decisions against numbers worked out by hand and against Ray's own bracket."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket

from sweeps.engine.search.asha import Decision, Exemption, ImagesSeenASHA, Rungs, RungsByStudy, milestones

Report = tuple[str, int, float]


def decisions(rungs: Rungs, reports: list[Report]) -> list[tuple[float | None, bool]]:
    made = [rungs.decide(*report) for report in reports]
    return [(decision.cutoff, decision.stop) for decision in made if decision is not None]


def test_halving_by_hand() -> None:
    # eta 2: the cutoff is the median of those before; a value equal to it goes on.
    reports = [("a", 10, 0.5), ("b", 10, 0.7), ("c", 10, 0.6), ("d", 10, 0.59), ("e", 10, 0.595)]
    expected = [(None, False), (0.5, False), (0.6, False), (0.6, True), (0.595, False)]
    made = decisions(Rungs([10, 20], 2), reports)
    assert [stop for _, stop in made] == [stop for _, stop in expected]
    assert [cutoff for cutoff, _ in made] == pytest.approx([cutoff for cutoff, _ in expected], nan_ok=False)


def test_eta_four_keeps_the_best_quarter() -> None:
    # The cutoff is the 75th percentile: of .1 .2 .3 .4 .5 it is .4.
    rungs = Rungs([10], 4, replay=[Decision(str(i), 10, i / 10, None, False) for i in range(1, 6)])
    below, at = rungs.decide("x", 10, 0.39), Rungs([10], 4, replay=[]).decide("y", 10, 0.0)
    assert below is not None
    assert below.cutoff == pytest.approx(0.4)
    assert below.stop
    assert at == Decision("y", 10, 0.0, None, False)


def test_rungs_are_separate() -> None:
    rungs = Rungs([10, 20], 2)
    assert decisions(rungs, [("a", 10, 0.9), ("a", 20, 0.9), ("b", 20, 0.8), ("c", 10, 0.95)]) == [
        (None, False),
        (None, False),
        (0.9, True),
        (0.9, False),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stops_and_enters_no_cutoff(value: float) -> None:
    rungs = Rungs([10], 2)
    first = rungs.decide("bad", 10, value)
    assert first is not None
    assert (first.cutoff, first.stop) == (None, True)
    assert rungs.decide("good", 10, 0.1) == Decision("good", 10, 0.1, None, False)


def test_between_rungs_nothing_is_decided_and_nothing_remembered() -> None:
    rungs = Rungs([10, 20], 2)
    assert rungs.decide("early", 9, 0.9) is None
    assert rungs.decide("late", 15, 0.9) is None
    assert rungs.decide("nan", 21, math.nan) is None
    assert rungs.decide("b", 10, 0.1) == Decision("b", 10, 0.1, None, False)


def test_asked_again_it_repeats_itself() -> None:
    rungs = Rungs([10], 2)
    first = rungs.decide("a", 10, 0.5)
    rungs.decide("b", 10, 0.9)
    assert rungs.decide("a", 10, 0.1) == first
    # Not counted twice: the cutoff stays the median of .5 and .9.
    again = rungs.decide("c", 10, 0.69)
    assert again is not None
    assert again.cutoff == pytest.approx(0.7)


def test_stopped_names_the_decision_that_stopped() -> None:
    rungs = Rungs([10, 20], 2)
    decisions(rungs, [("a", 10, 0.5), ("b", 10, 0.6), ("a", 20, 0.9), ("b", 20, 0.8)])
    assert rungs.ended("b") == Decision("b", 20, 0.8, 0.9, True)
    assert rungs.ended("a") is None
    assert rungs.ended("never seen") is None


def test_an_exempt_trial_goes_on_and_is_judged_no_more() -> None:
    rungs = Rungs([10, 20], 2, exempt=Exemption(1.0, seed=0))
    decisions(rungs, [("a", 10, 0.5), ("a", 20, 0.5)])
    assert rungs.decide("b", 10, 0.4) == Decision("b", 10, 0.4, 0.5, stop=False, exempt=True)
    assert rungs.decide("b", 20, 0.9) is None
    later = rungs.decide("c", 20, 0.5)
    assert later is not None
    assert later.cutoff == 0.5  # not the median with .9
    assert rungs.ended("b") == Decision("b", 10, 0.4, 0.5, stop=False, exempt=True)


def test_an_exempt_trial_that_is_not_finite_stops_all_the_same() -> None:
    decision = Rungs([10], 2, exempt=Exemption(1.0, seed=0)).decide("a", 10, math.nan)
    assert decision is not None
    assert (decision.stop, decision.exempt) == (True, False)


def test_exemption_is_a_share_drawn_by_seed_and_trial() -> None:
    trials = [f"t{i:05d}" for i in range(4000)]
    drawn = [Exemption(0.2, seed=3).holds(trial) for trial in trials]
    assert abs(sum(drawn) / len(trials) - 0.2) < 4 * math.sqrt(0.2 * 0.8 / len(trials))
    assert drawn == [Exemption(0.2, seed=3).holds(trial) for trial in trials]
    assert drawn != [Exemption(0.2, seed=4).holds(trial) for trial in trials]
    assert not any(Exemption(0.0, seed=3).holds(trial) for trial in trials)


def test_decisions_come_back_from_their_rows() -> None:
    for stop, exempt in ((False, False), (True, False), (False, True)):
        decision = Decision("a", 10, 0.4, 0.5, stop, exempt)
        assert Decision.of_row(decision.row()) == decision


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[int, list[Report]]:
    """eta, and reports at the rungs 1, eta, eta^2 of up to eight trials in any order."""
    eta = draw(st.sampled_from([2, 3, 4]))
    values = draw(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=8))
    turns = draw(st.permutations([trial for trial in range(len(values)) for _ in range(3)]))
    reached = [0] * len(values)
    reports = []
    for trial in turns:
        reports.append((f"t{trial}", eta ** reached[trial], values[trial][reached[trial]]))
        reached[trial] += 1
    return eta, reports


@given(sweeps())
@settings(deadline=None, derandomize=True)
def test_same_stops_as_rays_bracket(sweep: tuple[int, list[Report]]) -> None:
    eta, reports = sweep
    stock = _Bracket(1, eta**2, eta, 0, stop_last_trials=False)
    ours = Rungs(sorted(rung for rung, _ in stock._rungs), eta)
    stopped: set[str] = set()
    for trial_id, rung, value in reports:
        if trial_id not in stopped:
            expected = stock.on_result(SimpleNamespace(trial_id=trial_id), rung, value)  # type: ignore[arg-type]
            decision = ours.decide(trial_id, rung, value)
            assert decision is not None
            assert decision.stop == (expected == "STOP")
            stopped |= {trial_id} if decision.stop else set()


@given(sweeps(), st.data())
@settings(deadline=None, derandomize=True)
def test_replayed_is_as_never_interrupted(sweep: tuple[int, list[Report]], data: st.DataObject) -> None:
    eta, reports = sweep
    rungs = [1, eta, eta**2]
    whole = Rungs(rungs, eta)
    expected = [whole.decide(*report) for report in reports]
    cut = data.draw(st.integers(0, len(reports)))
    # Through the rows of the `rungs` table, as a resume reads them; all trials send their rows again.
    rows = [decision.row() for decision in expected[:cut] if decision is not None]
    resumed = Rungs(rungs, eta, replay=[Decision.of_row(row) for row in rows])
    assert [resumed.decide(*report) for report in reports] == expected


def test_a_row_of_the_rungs_table_says_what_was_not_finite() -> None:
    row = Decision("a", 10, math.nan, None, True).row()
    assert (row["decision"], row["is_finite"]) == ("stop", False)
    back = Decision.of_row({**row, "value": None})  # the store holds null
    assert math.isnan(back.value)
    assert back.stop


@pytest.mark.parametrize(
    ("epoch_images", "epochs", "expected"),
    [
        (100, 20, (500, 1000)),  # nobody is judged in the first quarter, nor at the end
        (100, 4, (100, 200)),
        (100, 10, (200, 400, 800)),
        (100, 2, (100,)),
        (100, 1, ()),
        (3 * 1149, 15, (3 * 3447, 6 * 3447, 12 * 3447)),
    ],
)
def test_milestones(epoch_images: int, epochs: int, expected: tuple[int, ...]) -> None:
    assert milestones(epoch_images, epochs) == expected


@pytest.mark.parametrize(
    ("eta", "grace", "expected"),
    [(3, 0.1, (300, 900, 2700)), (4, 0.5, (1500,)), (2, 1.0, ()), (2, 0.001, (100, 200, 400, 800, 1600))],
)
def test_milestones_of_another_eta_and_grace(eta: int, grace: float, expected: tuple[int, ...]) -> None:
    assert milestones(100, 30, eta=eta, grace=grace) == expected


def test_a_trial_is_compared_with_those_of_its_own_study_alone() -> None:
    """What another cell or replicate has reached stops nobody; each study decides as it would alone."""
    reports = [("a1", 0.9), ("b1", 0.2), ("a2", 0.5), ("b2", 0.3), ("b3", 0.1), ("a3", 0.95)]
    study_of = {name: name[0] for name, _ in reports}
    together = RungsByStudy(study_of, {study: Rungs([10], 2) for study in ("a", "b")})
    alone = {study: Rungs([10], 2) for study in ("a", "b")}
    for name, value in reports:
        assert together.decide(name, 10, value) == alone[study_of[name]].decide(name, 10, value)
    assert [name for name, _ in reports if together.ended(name) is not None] == ["a2", "b3"]


def result(images_seen: int, value: float) -> dict[str, Any]:
    return {"images_seen": images_seen, "val_recall_at_1": value, "val_auc": 1.0 - value}


def test_the_scheduler_stops_by_our_ids_and_leaves_the_last_row_alone() -> None:
    stored: dict[str, Decision] = {}

    def store(trial: Any, made: Decision) -> bool:
        stored[trial.config["trial_id"]] = made
        return True

    scheduler = ImagesSeenASHA(Rungs([10], 2), store, metric="val_recall_at_1")
    trials = [SimpleNamespace(trial_id=f"ray{i}", config={"trial_id": f"t0000{i}"}) for i in range(3)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, trials[0], result(10, 0.9)) == "CONTINUE"
    assert scheduler.on_trial_result(None, trials[1], result(5, 0.1)) == "CONTINUE"
    assert scheduler.on_trial_result(None, trials[1], result(10, 0.1)) == "STOP"
    assert stored["t00001"] == Decision("t00001", 10, 0.1, 0.9, True)
    scheduler.on_trial_complete(None, trials[1], result(10, 0.1))
    scheduler.on_trial_complete(None, trials[2], result(10, 0.95))
    # The one that ended at a rung by itself enters no cutoff.
    late = SimpleNamespace(trial_id="ray3", config={"trial_id": "t00003"})
    scheduler.on_trial_add(None, late)
    scheduler.on_trial_result(None, late, result(10, 0.6))
    assert stored["t00003"].cutoff == pytest.approx(0.5)


def test_a_decision_that_cannot_be_stored_stops_nobody() -> None:
    rungs = Rungs([10], 2, replay=[Decision("t00000", 10, 0.9, None, False)])
    scheduler = ImagesSeenASHA(rungs, lambda *_: False, metric="val_recall_at_1")
    trial: Any = SimpleNamespace(trial_id="ray1", config={"trial_id": "t00001"})
    assert scheduler.on_trial_result(None, trial, result(10, 0.1)) == "CONTINUE"
