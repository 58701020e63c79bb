"""StudySearch against the SQLite study it writes, without Ray: how runs end, what a resume hands out."""

import math
import resource
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from benchmarks.fuzz_studies import empty_database
from embedding_core.config.train_config import TrainConfig
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.design.runs import tune_runs
from sweeps.engine.machines import filesystems
from sweeps.engine.search.asha import Rungs, milestones
from sweeps.engine.search.optuna_study import CONSTRAINT, _connect, open_study, reconcile
from sweeps.engine.search.searchers import StudySearch
from sweeps.koleo_accum import DESIGN
from sweeps.results.rows import cast
from sweeps.results.schema import TRIALS
from trainables.run_label import RunLabel, from_flat, trial_name

RUNGS = (100, 300, 600)
LABEL = {"study_id": "s", "stage": "search", "block": 0, "checkpoint_dir": "/checkpoints"}


class Driver:
    """One start of a driver on the study in `file`."""

    def __init__(
        self,
        file: Path,
        *,
        design: Design = DESIGN,
        preset: str = "quick",
        attempts: dict[str, int] | None = None,
        finished: Collection[str] = (),
        retried: Collection[str] = (),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        plan = Plan.of(design, {"preset": preset})
        self.study = open_study(file, seed=0, first_trials=plan.preset.first_trials)
        self.search = StudySearch(
            plan.design,
            self.study,
            outcome=plan.outcome,
            base=plan.search_base,
            rungs=RUNGS,
            label=LABEL,
            attempts=attempts or {},
            finished=finished,
            retried=retried,
            pause=pause,
        )

    def start(self, ray_id: str) -> tuple[TrainConfig, RunLabel]:
        suggested = self.search.suggest(ray_id)
        assert suggested is not None
        return from_flat(suggested)

    def row(self, ray_id: str, images_seen: int, val_auc: float) -> None:
        self.search.on_trial_result(ray_id, {"images_seen": images_seen, "val_auc": val_auc, "end_reason": None})

    def end(self, ray_id: str, images_seen: int, val_auc: float, end_reason: str | None) -> None:
        """As Tune tells it first, then the recorder; without a reason ASHA has stopped it."""
        last = {"images_seen": images_seen, "val_auc": val_auc, "end_reason": end_reason}
        self.search.on_trial_complete(ray_id, last)
        self.store(ray_id, end_reason or "asha_stopped", images_seen, val_auc)

    def die(self, ray_id: str, end_reason: str) -> None:
        """Likewise."""
        self.search.on_trial_complete(ray_id, error=True)
        self.store(ray_id, end_reason, None, None)

    def store(self, ray_id: str, end_reason: str, images_seen: int | None, value: float | None) -> None:
        row = {"end_reason": end_reason, "images_seen": images_seen, "final_val_auc": value}
        self.search.on_stored({"ray_trial_id": ray_id, **row})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "optuna.db"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return empty_database(tmp_path_factory.mktemp("schema"))


@pytest.fixture
def driver(file: Path, schema: bytes) -> Driver:
    file.write_bytes(schema)
    return Driver(file)


def stored(file: Path) -> list[FrozenTrial]:
    """The study as another process reads it."""
    storage = RDBStorage(f"sqlite:///{file}", skip_compatibility_check=True, skip_table_creation=True)
    return optuna.load_study(study_name=None, storage=storage).get_trials()


def test_a_completed_run_has_its_last_value_at_images_seen(driver: Driver, file: Path) -> None:
    driver.start("r")
    driver.row("r", 300, 0.7)
    driver.row("r", 600, 0.9)
    driver.end("r", 900, 0.8, "completed")
    (trial,) = stored(file)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.8)
    assert trial.intermediate_values == {300: 0.7, 600: 0.9, 900: 0.8}


def test_between_rungs_the_study_is_told_nothing(driver: Driver, file: Path) -> None:
    driver.start("r")
    for images_seen in range(50, 900, 50):
        driver.row("r", images_seen, images_seen / 1000)
    (trial,) = stored(file)
    assert trial.intermediate_values == {rung: rung / 1000 for rung in RUNGS}


def test_a_last_value_that_is_not_finite_leaves_the_last_one_that_was(driver: Driver, file: Path) -> None:
    driver.start("r")
    driver.row("r", 400, 0.7)
    driver.row("r", 500, math.nan)
    driver.end("r", 500, math.nan, None)
    (trial,) = stored(file)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {400: 0.7})


EPOCHS, AT_ONCE = 8, 3


def replayed(tiny: Design, told_at: Collection[int]) -> list[tuple[TrainConfig, str, int]]:
    """Settings, ending and last epoch of each trial of a search by TPE and ASHA, some of which diverge or die."""
    plan = Plan.of(tiny, {})
    sampler = optuna.samplers.TPESampler(
        seed=0, n_startup_trials=5, multivariate=True, group=True, constant_liar=True, n_ei_candidates=8
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    search = StudySearch(
        plan.design, study, outcome=plan.outcome, base=plan.search_base, rungs=told_at, label=LABEL, attempts={},
        finished=(),
    )  # fmt: skip
    rungs = Rungs(milestones(1, EPOCHS), 2)
    found, running, begun = [], [], 0
    while len(found) < 30:
        while len(running) < AT_ONCE:
            suggested = search.suggest(f"r{begun}")
            assert suggested is not None
            running.append([f"r{begun}", *from_flat(suggested), 0])
            begun += 1
        one = running.pop(0)
        ray_id, config, label, epoch = one
        epoch += 1
        value = -((math.log10(config.lr) + 3) ** 2) + epoch / EPOCHS + 0.1 * math.sin(7 * begun + epoch)
        decision = rungs.decide(label.trial_id, epoch, value)
        if decision is None or not decision.stop:
            search.on_trial_result(ray_id, {"images_seen": epoch, "val_auc": value})
        if config.lr > 5e-3 and epoch == 3:
            reason, value = ("diverged", math.nan) if begun % 2 else ("preempted", value)
        elif decision is not None and decision.stop:
            reason = "asha_stopped"
        elif epoch == EPOCHS:
            reason = "completed"
        else:
            running.append([ray_id, config, label, epoch])
            continue
        row = {"ray_trial_id": ray_id, "end_reason": reason, "images_seen": epoch, "final_val_auc": value}
        search.on_stored(row)
        found.append((config, reason, epoch))
    return found


def test_tpe_and_asha_decide_as_if_the_study_were_told_every_epoch(tiny: Design) -> None:
    every_epoch = replayed(tiny, range(1, EPOCHS + 1))
    assert replayed(tiny, milestones(1, EPOCHS)) == every_epoch
    assert {"completed", "asha_stopped"} <= {reason for _, reason, _ in every_epoch}


@pytest.mark.parametrize("end_reason", [None, "collapsed"])
def test_stopped_and_collapsed_runs_are_pruned_with_their_values(
    driver: Driver, file: Path, end_reason: str | None
) -> None:
    driver.start("r")
    driver.row("r", 300, 0.7)
    driver.end("r", 600, 0.6, end_reason)
    (trial,) = stored(file)
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {300: 0.7, 600: 0.6}
    assert not constraint(trial)


def constraint(trial: FrozenTrial) -> dict[str, float]:
    return {name: value for name, value in trial.constraints.items() if value > 0}


@pytest.mark.parametrize("end_reason", ["diverged", "oom"])
def test_runs_without_a_finite_end_are_pruned_and_infeasible(driver: Driver, file: Path, end_reason: str) -> None:
    driver.start("r")
    driver.row("r", 300, 0.7)
    driver.store("r", end_reason, 600 if end_reason == "diverged" else 300, math.nan)
    (trial,) = stored(file)
    assert trial.state == TrialState.PRUNED
    assert constraint(trial) == {CONSTRAINT: 1.0}
    assert trial.intermediate_values == {300: 0.7}


def test_a_run_that_ends_before_any_row_is_not_left_running(driver: Driver, file: Path) -> None:
    driver.start("r")
    driver.store("r", "oom", None, None)
    driver.start("e")
    driver.die("e", "error")
    assert [trial.state for trial in stored(file)] == [TrialState.PRUNED, TrialState.FAIL]


def test_the_study_and_the_table_give_a_death_the_same_name(driver: Driver, file: Path) -> None:
    """To Tune all deaths are errors; that of the host's memory says something about the settings."""
    for ray_id, reason in (("o", "oom"), ("p", "preempted")):
        driver.start(ray_id)
        driver.row(ray_id, 300, 0.7)
        driver.die(ray_id, reason)
    oom, preempted = stored(file)
    assert (oom.state, oom.intermediate_values) == (TrialState.PRUNED, {300: 0.7})
    assert oom.constraints == {CONSTRAINT: 1.0}
    assert (preempted.state, preempted.intermediate_values) == (TrialState.FAIL, {300: 0.7})


def test_too_little_memory_on_a_share_of_a_gpu_says_nothing_about_the_settings(driver: Driver, file: Path) -> None:
    driver.start("r")
    driver.end("r", 300, math.nan, "oom_shared")
    (trial,) = stored(file)
    assert (trial.state, constraint(trial)) == (TrialState.FAIL, {})


@pytest.mark.slow
def test_infeasible_runs_teach_the_sampler(tmp_path: Path, tiny: Design) -> None:
    """Where every rate above 1e-3, half of the range, diverges, TPE turns to lower ones; FAIL would not tell it."""

    def bad_rates(name: str, tell: Callable[[Driver, str], None]) -> int:
        driver = Driver(tmp_path / name, design=tiny)
        bad = []
        for i in range(30):
            config, _ = driver.start(f"r{i}")
            bad.append(config.lr > 1e-3)
            tell(driver, f"r{i}") if bad[-1] else driver.end(f"r{i}", 300, 0.8, "completed")
        return sum(bad[15:])

    diverged = bad_rates("diverged.db", lambda driver, name: driver.end(name, 300, math.nan, "diverged"))
    failed = bad_rates("failed.db", lambda driver, name: driver.die(name, "error"))
    assert diverged <= 0.5 * failed


def test_an_interrupted_run_is_handed_out_again_first_as_it_was(driver: Driver, file: Path) -> None:
    started = [driver.start(f"r{i}") for i in range(3)]
    driver.end("r1", 900, 0.8, "completed")
    driver.row("r2", 300, 0.7)
    driver.search.on_trial_complete("r2")  # Ray's way of ending what it interrupts
    assert [trial.state for trial in stored(file)] == [TrialState.RUNNING, TrialState.COMPLETE, TrialState.RUNNING]

    again = Driver(file, attempts={"t00001": 1, "t00002": 1}, finished={"t00001"})
    first, second, third = (again.start(name) for name in ("x", "y", "z"))
    assert [label.trial_id for _, label in (first, second, third)] == ["t00000", "t00002", "t00003"]
    assert [config for config, _ in (first, second)] == [started[0][0], started[2][0]]
    assert [label.attempt for _, label in (first, second, third)] == [1, 2, 1]
    assert first[1] == started[0][1]

    # It sends its rows again, then ends: each value is there once, as first reported.
    again.row("y", 300, 0.1)
    again.row("y", 600, 0.9)
    again.end("y", 900, 0.8, "completed")
    trial = stored(file)[2]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.8)
    assert trial.intermediate_values == {300: 0.7, 600: 0.9, 900: 0.8}


@pytest.mark.slow
def test_what_the_study_knows_and_the_table_does_not_is_run_again_under_its_id(driver: Driver, file: Path) -> None:
    """The table has been put back to what it was earlier, say."""
    started = [driver.start(f"r{i}") for i in range(3)]
    driver.end("r0", 900, 0.8, "completed")
    driver.row("r1", 300, 0.7)
    driver.end("r1", 600, 0.6, None)
    before = stored(file)

    again = Driver(file, finished=set())
    handed_out = [again.start(name) for name in ("x", "y", "z")]
    assert handed_out == started
    again.row("x", 300, 0.5)  # of a checkpoint; the study is not told twice
    again.end("x", 900, 0.8, "completed")
    again.row("y", 300, 0.7)
    again.end("y", 600, 0.6, None)
    again.die("y", "error")
    after = stored(file)
    assert [(t.state, t.value, t.intermediate_values) for t in after[:2]] == [
        (t.state, t.value, t.intermediate_values) for t in before[:2]
    ]
    assert again.start("w")[1].trial_id == "t00003"


def test_what_the_table_knows_and_the_study_does_not_is_told(driver: Driver, file: Path) -> None:
    endings = ["completed", "asha_stopped", "collapsed", "diverged", "oom", "error"]
    for i, _ in enumerate(endings):
        driver.start(f"r{i}")
        driver.row(f"r{i}", 300, 0.5)
    driver.start("still running")
    rows = [
        {
            "trial_id": trial_name(i),
            "attempt": 1,
            "end_reason": reason,
            "images_seen": None if reason == "oom" else 600,
            "final_val_auc": math.nan if reason in ("diverged", "oom") else 0.8,
        }
        for i, reason in enumerate(endings)
    ]
    again = open_study(file, seed=0, first_trials=())
    ended = {trial_name(i) for i in range(len(endings))}
    reconcile(again, DESIGN, cast("trials", rows), ended, measure="final_val_auc")
    reconcile(again, DESIGN, cast("trials", rows), ended, measure="final_val_auc")  # once more changes nothing
    trials = stored(file)
    assert [t.state for t in trials] == [
        TrialState.COMPLETE, *[TrialState.PRUNED] * 4, TrialState.FAIL, TrialState.RUNNING
    ]  # fmt: skip
    assert [bool(constraint(t)) for t in trials] == [False, False, False, True, True, False, False]
    assert trials[0].value == 0.8
    assert trials[1].intermediate_values == {300: 0.5, 600: 0.8}
    waiting = Driver(file, finished=ended)
    assert waiting.start("x")[1].trial_id == trial_name(len(endings))


def test_no_other_settings_get_the_number_of_a_trial_that_has_left_anything(file: Path) -> None:
    """As on a new machine, where a copy of the study is older than the checkpoints in a bucket."""
    study = open_study(file, seed=0, first_trials=())
    reconcile(study, DESIGN, cast("trials", []), set(), measure="final_val_auc", begun=["t00000", "t00003"])
    assert Driver(file).start("x")[1].trial_id == "t00004"


@pytest.mark.slow
@pytest.mark.parametrize("end_reason", ["error", "preempted", "diverged", "oom", "oom_shared"])
def test_a_retried_run_is_a_further_trial_with_its_parameters_and_our_id(
    driver: Driver, file: Path, end_reason: str
) -> None:
    config, label = driver.start("r0")
    driver.end("r0", 300, math.nan if end_reason in ("diverged", "oom") else 0.6, end_reason)
    driver.start("r1")
    driver.end("r1", 900, 0.7, "completed")
    first = stored(file)[0]

    again = Driver(file, attempts={"t00000": 1}, finished={"t00001"}, retried={"t00000"})
    assert again.start("x") == (config, replace(label, attempt=2))
    assert [trial.state for trial in stored(file)] == [first.state, TrialState.COMPLETE, TrialState.RUNNING]

    # The driver dies; the next one goes on with the retry, and does not retry once more what it has retried.
    third = Driver(file, attempts={"t00000": 2}, finished={"t00001"}, retried={"t00000"})
    assert third.start("y") == (config, replace(label, attempt=3))
    third.row("y", 300, 0.5)
    third.end("y", 900, 0.8, "completed")
    unchanged, _, retry = stored(file)
    assert (unchanged.state, unchanged.params) == (first.state, first.params)
    assert (retry.state, retry.value, retry.params) == (TrialState.COMPLETE, 0.8, first.params)
    assert retry.intermediate_values == {300: 0.5, 900: 0.8}
    assert third.start("z")[1].trial_id == "t00003"  # Optuna's next number

    # Its row was not written: it runs again, and the study, which knows, is told nothing.
    fourth = Driver(file, attempts={"t00000": 3}, finished={"t00001", "t00003"}, retried={"t00000"})
    assert fourth.start("w")[1].trial_id == "t00000"
    fourth.end("w", 900, 0.1, "completed")
    assert len(stored(file)) == 4
    assert stored(file)[2].value == 0.8


def test_study_1_begins_with_its_published_best(file: Path) -> None:
    first = Driver(file, preset="study1")
    config, label = first.start("r0")
    published = DESIGN.presets["study1"].first_trials[0]
    assert label.trial_id == "t00000"
    assert {name: getattr(config, name) for name in published} == published
    assert (config.koleo_weight, config.backbone, config.triplets) == (None, "vgg11", "study")
    # Reopened, it is not queued again.
    second, label = Driver(file, preset="study1", finished={"t00000"}).start("r1")
    assert label.trial_id == "t00001"
    assert {name: getattr(second, name) for name in published} != published


@pytest.mark.slow
def test_every_suggestion_is_a_configuration_labelled_by_its_cell(file: Path) -> None:
    driver = Driver(file)
    for i in range(20):
        config, label = driver.start(f"r{i}")  # TrainConfig and RunLabel refuse what they do not know
        assert label.cell_id == ("koleo=on" if config.koleo else "koleo=off")
        assert (config.koleo_weight is not None) == config.koleo
        assert (label.trial_id, label.block, label.origin) == (trial_name(i), 0, "sampled")
        driver.end(f"r{i}", 300, 0.5 + config.lr, "completed")
    conditional = [("koleo_weight" in t.params) == t.params["koleo"] for t in stored(file)]
    assert all(conditional)
    assert {t.params["koleo"] for t in stored(file)} == {False, True}


@pytest.mark.slow
def test_the_same_seed_suggests_the_same(tmp_path: Path) -> None:
    def suggestions(name: str) -> list[TrainConfig]:
        driver = Driver(tmp_path / name)
        configs = []
        for i in range(12):
            configs.append(driver.start(f"r{i}")[0])
            driver.end(f"r{i}", 300, configs[-1].margin, "completed")
        return configs

    assert suggestions("a.db") == suggestions("b.db")


@pytest.mark.slow
def test_a_random_search_goes_by_no_value(tmp_path: Path) -> None:
    def asked(name: str, values: Callable[[int], float]) -> list[dict[str, Any]]:
        study = open_study(tmp_path / name, seed=0, first_trials=(), searcher="random")
        trials = [study.ask({"x": FloatDistribution(0, 1)}) for _ in range(12)]
        for number, trial in enumerate(trials):
            study.tell(trial, values(number))
        return [trial.params for trial in (*trials, study.ask({"x": FloatDistribution(0, 1)}))]

    assert asked("up.db", float) == asked("down.db", lambda number: -float(number))


def test_an_ending_is_told_once_its_row_is_stored(driver: Driver, file: Path) -> None:
    """A driver that is killed in between finds a trial to go on with, and none that has ended without a row."""
    driver.start("r")
    driver.search.on_trial_complete("r", {"images_seen": 900, "val_auc": 0.8, "end_reason": "completed"})
    assert [trial.state for trial in stored(file)] == [TrialState.RUNNING]
    driver.store("r", "completed", 900, 0.8)
    assert [trial.state for trial in stored(file)] == [TrialState.COMPLETE]


def test_write_ahead_log_lets_the_dashboard_read_meanwhile(driver: Driver, file: Path) -> None:
    driver.start("r")
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_commit_is_on_the_disk_before_it_returns(file: Path) -> None:
    """3 is EXTRA: each commit is on the disk, the removal of a rollback journal included."""
    assert _connect(str(file)).execute("PRAGMA synchronous").fetchone() == (3,)


@pytest.mark.parametrize("before", [False, True], ids=["new", "from a local disk"])
def test_on_a_network_share_the_study_has_no_write_ahead_log(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    if before:
        with closing(_connect(str(file))) as connection:
            connection.execute("CREATE TABLE t (a)")
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/home / nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    Driver(file).start("r")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert not list(tmp_path.glob("optuna.db-*"))


@pytest.mark.parametrize(
    ("folder", "local"),
    [
        ("/var/results", True),
        ("/home/ada/results", False),
        ("/home/ada/scratch", True),
        ("/home/adam/results", True),
        ("/mnt/a b/results", False),
        ("/mnt/hidden", False),
        ("/mnt/fuse", False),
    ],
)
def test_the_innermost_mount_says_whether_a_folder_is_local(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    mounts = tmp_path / "mounts"
    lines = [
        "/dev/sda1 / ext4 rw 0 0",
        "auto /home/ada autofs rw 0 0",
        "server:/ada /home/ada nfs4 rw 0 0",
        "/dev/sdb1 /home/ada/scratch xfs rw 0 0",
        r"//server/share /mnt/a\040b cifs rw 0 0",
        "/dev/sdc1 /mnt/hidden ext4 rw 0 0",
        "pool@tcp:/l /mnt/hidden lustre rw 0 0",
        "far /mnt/fuse fuse.sshfs rw 0 0",
    ]
    mounts.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    assert filesystems.is_local(Path(folder)) is local


@pytest.mark.parametrize("name", ["plain", "a b", "q?x=1", "per%20cent", "#hash"])
def test_any_folder_name_holds_a_study(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    Driver(folder / "optuna.db").start("r")
    assert (folder / "optuna.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture
def suggest_all(file: Path) -> Callable[[str], list[dict[str, Any]]]:
    def suggest(preset: str) -> list[dict[str, Any]]:
        driver = Driver(file, preset=preset)
        return [driver.start(f"r{i}")[0].to_flat() for i in range(5)]

    return suggest


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(DESIGN.presets))
def test_search_trials_use_block_0_and_leave_the_test_split_alone(
    suggest_all: Callable[[str], list[dict[str, Any]]], preset: str
) -> None:
    flats = suggest_all(preset)
    assert {flat["seed"] for flat in flats} == {0}
    assert {flat["eval_test"] for flat in flats} == {False}
    assert {flat["stop_if_collapsed"] for flat in flats} == {True}


def test_tuning_runs_collapsed_embeddings_to_their_end() -> None:
    """A cell that always collapses is a finding: it is tuned and confirmed like the others."""
    runs = tune_runs(Plan.of(DESIGN, {"preset": "minimal"}))
    assert {(run.fixed["eval_test"], run.fixed["stop_if_collapsed"]) for run in runs} == {(False, False)}


@pytest.mark.slow
def test_a_full_disk_is_waited_out(file: Path) -> None:
    """Each write meets the limit once; the wait lifts it."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    waits = []

    def lift(seconds: float) -> None:
        waits.append(seconds)
        resource.setrlimit(resource.RLIMIT_FSIZE, old)

    driver = Driver(file, pause=lift)
    steps = [
        lambda: driver.start("r"),
        lambda: driver.row("r", 100, 0.6),
        lambda: driver.end("r", 200, 0.7, "completed"),
    ]
    try:
        for step in steps:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, old[1]))
            step()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert len(waits) == len(steps)
    [trial] = [trial for trial in stored(file) if trial.state != TrialState.WAITING]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)
    assert trial.intermediate_values == {100: 0.6, 200: 0.7}


@pytest.mark.parametrize("begun", [0, 1, 2], ids=["the first write", "the second", "the third"])
def test_a_disk_that_fails_while_a_trial_is_handed_out_loses_and_invents_none(
    driver: Driver, file: Path, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    """Of a failed trial to be retried, an interrupted one and a fresh one, whichever write the disk refuses."""
    driver.start("r0")
    driver.end("r0", 300, 0.5, "error")
    driver.start("r1")
    again = Driver(file, attempts={"t00000": 1, "t00001": 1}, pause=lambda seconds: None)
    storage = again.study._storage
    writes = {"left": begun}

    def failing(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **keywords: Any) -> Any:
            done = method(*arguments, **keywords)  # committed, and then the answer is lost
            writes["left"] -= 1
            if writes["left"] == -1:
                raise StorageInternalError("disk I/O error")
            return done

        return write

    for name in ("create_new_trial", "set_trial_param"):
        monkeypatch.setattr(storage, name, failing(getattr(storage, name)))
    assert [again.start(name)[1].trial_id for name in ("x", "y", "z")] == ["t00000", "t00001", "t00003"]
    assert [trial.state.name for trial in stored(file)] == ["FAIL", "RUNNING", "RUNNING", "RUNNING"]
    assert writes["left"] < 0


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1, 3], ids=["gone", "older", "as it was"])
def test_a_study_older_than_the_tables_is_filled_up_from_them(tmp_path: Path, left: int) -> None:
    original = Driver(tmp_path / "optuna.db")
    configs = [original.start(f"r{i}")[0] for i in range(4)]
    endings = ["completed", "asha_stopped", "error"]
    rows = [
        configs[i].to_flat()
        | {"trial_id": trial_name(i), "attempt": 1, "end_reason": ending, "images_seen": 600, "final_val_auc": 0.8}
        for i, ending in enumerate(endings)
    ]
    rows = [{name: row[name] for name in TRIALS.names if name in row} for row in rows]
    older = Driver(tmp_path / "older.db")
    for i in range(left):
        older.start(f"r{i}")
    finished = {"t00000", "t00001"}
    study = open_study(tmp_path / "older.db", seed=0, first_trials=())
    reconcile(study, Plan.of(DESIGN, {}).design, cast("trials", rows), finished, measure="final_val_auc")
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    assert [trial.params for trial in study.get_trials()] == [t.params for t in original.study.get_trials()[:3]]
    again = Driver(tmp_path / "older.db", attempts={"t00002": 1}, finished=finished, retried={"t00002"})
    assert again.start("x")[0] == configs[2]
    assert again.start("y")[1].trial_id == "t00003"  # no id of a finished trial is given to another
