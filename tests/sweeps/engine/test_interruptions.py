"""Killed at any point, a sweep goes on where it was: nothing lost, nothing doubled, no number changed."""

import importlib
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune.execution.tune_controller import TuneController

from embedding_core.training import checkpoint
from sweeps.cli import session
from sweeps.cli.main import BUDGET_SPENT, INTERRUPTED, main
from sweeps.design import Design
from sweeps.results import files, store
from trainables.embedding import EmbeddingTrainable

pytestmark = pytest.mark.ray

SAMPLES, EPOCHS, POINTS, REPLICATES = 8, 8, 4, 2
TUNED = REPLICATES * 2 * POINTS
"""Trials of the tunings: of two cells each."""
PATIENCE_S = 300.0
ONE = ("--max-concurrent", "1")
"""A process of a trial that starts costs more than what it trains."""
MARK = "KOLEO_TEST_DRIVER"

Curve = list[dict[str, Any]]

SCRIPT = '''
"""A sweep outside the repository."""

import sys

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Levels, Preset, Range

DESIGN = Design(
    name="outside",
    question="Does it go on?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when={"koleo": (True,)}),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
    ),
    arms=(Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})),
    estimands=(Estimand(code="E1", name="koleo", factor="koleo", label="KoLeo"),),
    fixed={"batch_size": 32, "subset": 96, "embedding_dim": 16, "lr": 1e-3, "views": "none"},
    presets={
        "quick": Preset(purpose="seconds", dataset="digits", samples=8, epochs=8, blocks=2, confirm="drop-in"),
        "whole": Preset(
            purpose="all stages",
            dataset="digits",
            samples=8,
            points=4,
            epochs=8,
            replicates=2,
            confirm="best of tune",
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(DESIGN))
'''


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain for {what}."
        time.sleep(0.02)


def processes(chosen: Callable[[Path], bool]) -> list[int]:
    """Ids of the processes whose folder in /proc is chosen."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if chosen(folder):
                    found.append(int(folder.name))
            except (OSError, IndexError):
                continue  # ended meanwhile
    return found


def marked(mark: str) -> list[int]:
    """Processes of the driver that was started under this mark, and what it left behind."""
    return processes(lambda folder: f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"))


def descends_from(folder: Path, ancestor: int) -> bool:
    pid = int(folder.name)
    while pid > 1 and pid != ancestor:
        pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


# Ray titles an actor's process after the method it runs, and after its class between two of them.
ACTOR_TITLES = (b"ray::ResourceTrainable", b"ray::EmbeddingTrainable")


def trial_processes() -> list[int]:
    """Processes of trials of this process's own Ray; one that is changing its title may be missed."""

    def at_work(folder: Path) -> bool:
        title = (folder / "cmdline").read_bytes()
        return title.startswith(ACTOR_TITLES) and descends_from(folder, os.getpid())

    return processes(at_work)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("outside") / "outside_sweep.py"
    file.write_text(SCRIPT)
    return file


@pytest.fixture(scope="module")
def design(script: Path) -> Design:
    spec = importlib.util.spec_from_file_location("outside_sweep", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded: Design = module.DESIGN
    return loaded


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`driver(*command)` -> its process; whatever it leaves behind is ended with the test."""
    marks, started = [], []

    def start(*command: str) -> subprocess.Popen[str]:
        marks.append(uuid.uuid4().hex)
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (tmp_path / "driver.log").open("a") as log:
            process = subprocess.Popen(
                command, env=environment | {MARK: marks[-1]},
                stdout=log, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(PATIENCE_S)
    for mark in marks:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        wait_for("the end of what the driver started", lambda mark=mark: not marked(mark))


NOT_REPEATED = {"ray_trial_id", "study_id", "plan_sha256", "node_id", "argv", "started_at", "ended_at", "wall_s",
                "gpu_s", "elapsed_s", "train_s", "attempt"}  # fmt: skip
"""Columns with ids and times, in which a sweep that was killed may differ from one that was not."""


def told(folder: Path, table: str) -> list[dict[str, Any]]:
    """Rows of tune and confirm without ids and times."""
    rows = [row for stage in ("tune", "confirm") for row in store.read(folder, table, stage=stage).to_pylist()]
    return [{k: v for k, v in row.items() if k not in NOT_REPEATED} for row in rows]


def interrupted_in(patch: pytest.MonkeyPatch, where: str, number: int, when: Callable[[], bool] = lambda: True) -> None:
    """A signal comes as soon as a function of the engine is called and `when` holds: no trial runs then."""
    module, _, name = where.rpartition(".")
    act = getattr(importlib.import_module(module), name)

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        if when():
            os.kill(os.getpid(), number)
        return act(*arguments, **keywords)

    patch.setattr(where, interrupted)


def check_token(log: str) -> None:
    """The command that a sweep prints beside its dashboard's address shows the token which that one asks for."""
    line = re.search(r"Ray dashboard: (http://\S+), token: (.+)", log)
    assert line is not None, log
    shown = subprocess.run(shlex.split(line[2]), capture_output=True, text=True, timeout=PATIENCE_S, check=True)

    def jobs(**headers: str) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{line[1]}/api/jobs/", headers=headers)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    assert jobs() == HTTPStatus.UNAUTHORIZED
    assert jobs(Authorization=f"Bearer {shown.stdout.split()[-1]}") == HTTPStatus.OK


def test_a_sweep_that_is_stopped_or_killed_in_each_of_its_stages_ends_as_if_nobody_had_touched_it(
    design: Design,
    script: Path,
    driver: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    study_states: Callable[[Path], dict[str, str]],
    check_whole: Callable[[Path], None],
    start_ray: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGTERM in the search, SIGKILL while settings are proposed, Ctrl-C between stages, SIGTERM during the report."""
    folder, calm = tmp_path / "results" / "hurt", tmp_path / "results" / "calm"
    argv = ["--preset", "whole", "--results", str(folder.parent), "--name"]

    def log_of() -> str:
        return (tmp_path / "driver.log").read_text()

    first = driver(sys.executable, str(script), "--local", *argv, folder.name)
    wait_for("the dashboard's address", lambda: first.poll() is not None or "Ray dashboard: " in log_of())
    check_token(log_of())
    wait_for("a first trial's end", lambda: first.poll() is not None or ended(folder) >= 1)
    # Past its first rung: from there on its rows are in the store, and another start is another attempt.
    wait_for("a trial at work", lambda: first.poll() is not None or stored(folder, "curves") - stored(folder, "trials"))
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE_S) == INTERRUPTED
    done = stored(folder, "trials")
    begun = stored(folder, "curves") - done
    assert done
    log = log_of()
    assert "Interrupted; no result is lost. Go on with: " in log
    assert "Traceback" not in log
    assert Counter(study_states(folder).values())["RUNNING"] >= 1

    second = driver(*shlex.split(log.rpartition("Go on with: ")[2]))  # as it was told
    # Half of the points are the plan's; what TPE proposes then depends on the trials that have ended.
    wait_for("a proposal", lambda: second.poll() is not None or len(stored(folder, "trials", "tune")) > TUNED // 2)
    second.kill()
    assert second.wait(PATIENCE_S) == -signal.SIGKILL
    check_whole(folder)
    tuned = stored(folder, "trials", "tune")
    assert TUNED // 2 < len(tuned) < TUNED

    # Tune installs handlers for good, which then set a flag at which nobody looks.
    start_ray(num_cpus=2)
    resume = [*argv, folder.name, "--resume", *ONE]
    with monkeypatch.context() as patch:
        all_tuned = lambda: len(stored(folder, "trials", "tune")) == TUNED  # noqa: E731
        interrupted_in(patch, "sweeps.engine.runner.keep_best", signal.SIGINT, all_tuned)
        assert main(design, [*resume, "--time-budget", "1h"]) == INTERRUPTED
    assert "no result is lost. Go on with" in capsys.readouterr().err
    assert not stored(folder, "trials", "confirm")
    with monkeypatch.context() as patch:
        interrupted_in(patch, "sweeps.cli.messages.compose", signal.SIGTERM)
        assert main(design, resume) == INTERRUPTED
    assert not (folder / "report.html").exists()
    assert main(design, resume) == 0
    assert (folder / "report.html").exists()

    assert main(design, [*argv, calm.name, "--stages", "tune,confirm", *ONE]) == 0
    for table in ("trials", "curves", "rungs", "evaluations", "eval_groups"):
        assert told(folder, table) == told(calm, table), table
    every = store.read(folder, "trials", attempts="all").to_pylist()
    stages = Counter(row["stage"] for row in every)
    assert stages == {"search": SAMPLES, "tune": TUNED, "confirm": 2 * REPLICATES}, "nothing lost or doubled"
    attempts = {(row["stage"], row["trial_id"]): row["attempt"] for row in every}
    assert {attempts["search", trial_id] for trial_id in done} == {1}
    assert all(attempts["search", trial_id] >= 2 for trial_id in begun)
    assert {attempts["tune", trial_id] for trial_id in tuned} == {1}
    assert {attempts["confirm", trial_id] for trial_id in stored(folder, "trials", "confirm")} == {1}


class Stuck(EmbeddingTrainable):
    """Is in its second epoch for ever."""

    def step(self) -> dict[str, Any]:
        if self.iteration == 1:
            (Path(self.config["checkpoint_dir"]).parent / "stuck").touch()
            time.sleep(10 * PATIENCE_S)
        return super().step()


def test_the_end_of_the_time_budget_does_not_wait_for_the_end_of_an_epoch(
    design: Design,
    tmp_path: Path,
    start_ray: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tune gives a trial ten seconds, which is all that a sweep may take to end; here, more than can be missed."""
    start_ray(num_cpus=2)
    start = TuneController.__init__

    def patient(controller: Any, *arguments: Any, **keywords: Any) -> None:
        start(controller, *arguments, **keywords)
        controller._actor_force_cleanup_timeout = 2 * PATIENCE_S

    monkeypatch.setattr(TuneController, "__init__", patient)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(session, "Sweep", partial(session.Sweep, trainable=Stuck))
    asked: list[float] = []

    def spend() -> None:
        wait_for("an epoch that does not end", (tmp_path / "stuck" / "stuck").exists)
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGALRM)  # as the clock does when the budget is spent

    spender = threading.Thread(target=spend)
    spender.start()
    argv = ["--results", str(tmp_path), "--name", "stuck", "--stages", "search", "--time-budget", "1h", *ONE]
    assert main(design, argv) == BUDGET_SPENT
    assert time.monotonic() - asked[0] < PATIENCE_S
    spender.join()
    assert "The time budget of 1 h is spent; no result is lost." in capsys.readouterr().err


def rows(folder: Path, table: str, stage: str) -> list[dict[str, Any]]:
    """Of all attempts, as a reader finds them while a driver writes; none before there is a store."""
    there = files.holds_sweep(folder)
    return store.read(folder, table, stage=stage, attempts="all").to_pylist() if there else []


def ended(folder: Path) -> int:
    """Final rows of the search."""
    return len(rows(folder, "trials", "search"))


def stored(folder: Path, table: str, stage: str = "search") -> set[str]:
    """Trials of a stage with rows in a table."""
    return {row["trial_id"] for row in rows(folder, table, stage)}


def checkpoints(folder: Path) -> int:
    return len(list((folder / "checkpoints" / "search").glob("t*.pt")))


@pytest.fixture
def check_whole(
    study_states: Callable[[Path], dict[str, str]],
    state_of_ending: dict[str, str],
    loop_curve: Callable[..., Curve],
    stored_curve: Callable[..., Curve],
) -> Callable[[Path], None]:
    """`check_whole(folder)`: every search trial ended once, study and tables agree, all curves as if never hurt."""

    def check(folder: Path) -> None:
        trials = store.read(folder, "trials", stage="search").to_pylist()
        assert [row["trial_id"] for row in trials] == [f"t{i:05d}" for i in range(SAMPLES)]
        assert ended(folder) == SAMPLES  # one final row each, over all attempts
        assert {row["end_reason"] for row in trials} <= {"completed", "asha_stopped"}
        assert study_states(folder) == {row["trial_id"]: state_of_ending[row["end_reason"]] for row in trials}
        keys = [(r["trial_id"], r["epoch"]) for r in store.read(folder, "curves", stage="search").to_pylist()]
        assert keys == [(row["trial_id"], epoch) for row in trials for epoch in range(1, row["last_epoch"] + 1)]
        for row in trials:
            assert row["config_seen_sha256"] == row["config_sha256"]
            assert stored_curve(folder, "search", row["trial_id"]) == loop_curve(row)

    return check


def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(
    design: Design, tmp_path: Path, check_whole: Callable[[Path], None], start_ray: Callable[..., None]
) -> None:
    start_ray(num_cpus=2)
    folder = tmp_path / "hurt"
    killed: list[int] = []
    reached: Curve = []

    def found() -> bool:
        killed.extend(trial_processes())
        return bool(killed)

    def kill() -> None:
        wait_for("a first checkpoint", lambda: checkpoints(folder) == 1)
        wait_for("the trial's process", found)
        reached.extend(checkpoint.read(folder / "checkpoints" / "search" / "t00000.pt")["rows"])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    argv = ["--results", str(tmp_path), "--name", "hurt", "--stages", "search", "--save-every", "epoch", *ONE]
    assert main(design, argv) == 0
    killer.join()
    assert len(killed) == 1
    check_whole(folder)
    trials = store.read(folder, "trials").to_pylist()
    assert (trials[0]["end_reason"], trials[0]["last_epoch"]) == ("completed", EPOCHS)  # nobody to compare it with
    assert {row["attempt"] for row in trials} == {1}
    # The clock reading of the first time, sent before or not: read from the checkpoint, not computed again.
    curve = store.read(folder, "curves", stage="search").to_pylist()
    readings = {row["epoch"]: row["elapsed_s"] for row in curve if row["trial_id"] == "t00000"}
    assert reached
    assert {row["epoch"]: row["elapsed_s"] for row in reached}.items() <= readings.items()
