"""Killed at any point, a sweep goes on where it was: nothing lost, nothing doubled, no number changed."""

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.main import BUDGET_SPENT, INTERRUPTED, main
from sweeps.design import Design
from sweeps.results import store

pytestmark = pytest.mark.ray

SAMPLES, EPOCHS = 8, 16
PATIENCE_S = 300.0
STOPS_S = 60.0
"""In which a stop is obeyed; a machine with nothing else to do needs ten for Ray to end."""
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
    fixed={"batch_size": 32, "subset": 192, "embedding_dim": 16, "lr": 1e-3, "views": "none"},
    presets={
        "quick": Preset(purpose="seconds", dataset="digits", samples=8, epochs=16, blocks=2, confirm="drop-in"),
        "six": Preset(
            purpose="replicates", dataset="digits", points=4, epochs=8, replicates=6, confirm="best of tune"
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


def test_mid_search_and_again_then_resumed(
    design: Design,
    script: Path,
    driver: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    study_states: Callable[[Path], dict[str, str]],
    check_whole: Callable[[Path], None],
    start_ray: Callable[..., None],
) -> None:
    """Ctrl-C, then a resume whose driver is killed outright, then a resume to the end."""
    folder = tmp_path / "results" / "hurt"
    argv = ["--results", str(folder.parent), "--name", folder.name]

    first = driver(sys.executable, str(script), "--local", *argv, "--stages", "search")
    wait_for("a first trial's end", lambda: first.poll() is not None or ended(folder) >= 1)
    # Past its first rung: from there on its rows are in the store, and another start is another attempt.
    wait_for("a trial at work", lambda: first.poll() is not None or stored(folder, "curves") - stored(folder, "trials"))
    first.send_signal(signal.SIGINT)
    assert first.wait(PATIENCE_S) == INTERRUPTED
    done = stored(folder, "trials")
    begun = stored(folder, "curves") - done
    log = (tmp_path / "driver.log").read_text()
    assert "Traceback" not in log
    states = Counter(study_states(folder).values())
    assert states["RUNNING"] >= 1
    before = ended(folder)
    assert 1 <= before < SAMPLES

    second = driver(*shlex.split(log.rpartition("Go on with: ")[2]))  # as it was told
    wait_for("a further trial's end", lambda: second.poll() is not None or ended(folder) > before)
    second.kill()
    assert second.wait(PATIENCE_S) == -signal.SIGKILL
    assert ended(folder) < SAMPLES
    assert Counter(study_states(folder).values())["RUNNING"] >= 1

    start_ray(num_cpus=2)
    assert main(design, [*argv, "--resume"]) == 0
    check_whole(folder)
    attempts = {row["trial_id"]: row["attempt"] for row in store.read(folder, "trials", stage="search").to_pylist()}
    assert {attempts[trial_id] for trial_id in done} == {1}
    assert begun
    assert all(attempts[trial_id] >= 2 for trial_id in begun)


NOT_REPEATED = {"ray_trial_id", "study_id", "plan_sha256", "node_id", "argv", "started_at", "ended_at", "wall_s",
                "gpu_s", "elapsed_s", "train_s", "attempt"}  # fmt: skip
"""Columns with ids and times, in which a sweep that was killed may differ from one that was not."""


def told(folder: Path, table: str, **others: Any) -> list[dict[str, Any]]:
    """Rows of tune and confirm without ids and times."""
    rows = store.read(folder, table, **others).to_pylist()
    return [{k: v for k, v in row.items() if k not in NOT_REPEATED} for row in rows]


def test_in_the_third_of_six_replicates_then_resumed(
    design: Design,
    script: Path,
    driver: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    start_ray: Callable[..., None],
) -> None:
    """What TPE proposes and what ASHA stops afterwards are as in the sweep that nobody touched."""
    folder, calm = tmp_path / "results" / "hurt", tmp_path / "results" / "calm"
    argv = ["--preset", "six", "--results", str(folder.parent), "--name"]
    first = driver(sys.executable, str(script), "--local", *argv, folder.name)
    third = {f"t{number:05d}" for number in range(2 * 2 * 4, 3 * 2 * 4)}  # trials of both cells
    wait_for("the third replicate", lambda: first.poll() is not None or third & stored(folder, "trials", "tune"))
    first.kill()
    assert first.wait(PATIENCE_S) == -signal.SIGKILL
    done = stored(folder, "trials", "tune")
    assert third & done
    assert len(done) < 6 * 2 * 4
    start_ray(num_cpus=2)
    assert main(design, [*argv, folder.name, "--resume"]) == 0
    assert main(design, [*argv, calm.name]) == 0
    for table in ("trials", "curves", "rungs", "evaluations", "eval_groups"):
        assert told(folder, table) == told(calm, table), table
    every = store.read(folder, "trials", attempts="all").to_pylist()
    assert Counter(row["stage"] for row in every) == {"tune": 6 * 2 * 4, "confirm": 6 * 2}, "nothing lost or doubled"
    assert {row["attempt"] for row in every if row["stage"] == "tune" and row["trial_id"] in done} == {1}


@pytest.mark.parametrize(
    ("flags", "number", "status", "says"),
    [
        ((), signal.SIGTERM, INTERRUPTED, "Interrupted; no result is lost."),
        (("--time-budget", "30s"), None, BUDGET_SPENT, "The time budget of 30 s is spent; no result is lost."),
    ],
    ids=["terminated", "time budget"],
)
def test_an_orderly_end(
    script: Path,
    driver: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    study_states: Callable[[Path], dict[str, str]],
    flags: tuple[str, ...],
    number: int | None,
    status: int,
    says: str,
) -> None:
    """A job that is stopped, or whose time is up, in the middle of a search that would take for ever."""
    folder = tmp_path / "results" / "stopped"
    argv = ["--results", str(folder.parent), "--name", folder.name, "--stages", "search", "--epochs", "1000000"]
    argv += ["--save-every", "epoch"]
    process = driver(sys.executable, str(script), "--local", *argv, *flags)
    if number is not None:
        wait_for("a trial at work", lambda: process.poll() is not None or checkpoints(folder) > 0)
        process.send_signal(number)
    assert process.wait(PATIENCE_S) == status
    log = (tmp_path / "driver.log").read_text()
    assert says in log
    assert "Traceback" not in log
    if number is not None:
        endings = set(store.read(folder, "trials")["end_reason"].to_pylist())
        assert endings <= {"collapsed"}  # one may have, by itself; nothing says that the others were stopped
        assert "RUNNING" in study_states(folder).values()


SLOW = """
import pathlib, time
from sweeps.cli import messages
from sweeps.engine import runner

def slow(act):
    def slowly(*arguments, **keywords):
        pathlib.Path(sys.argv[sys.argv.index("--results") + 1], "begun").touch()
        time.sleep(3600)
        return act(*arguments, **keywords)
    return slowly

if "--resume" not in sys.argv:
    {where} = slow({where})

"""
"""Comes before the last lines of `SCRIPT`: something between two stages, or after the last, takes very long."""


@pytest.mark.parametrize(
    ("where", "number", "status"),
    [
        ("runner.keep_best", signal.SIGINT, INTERRUPTED),
        ("messages.compose", signal.SIGTERM, INTERRUPTED),
    ],
    ids=[
        "Ctrl-C between stages",
        "SIGTERM during the report",
    ],
)
def test_an_orderly_end_while_no_trial_runs(
    driver: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    where: str,
    number: int,
    status: int,
) -> None:
    """Tune keeps the handlers that it has installed, which then set a flag at which nobody looks."""
    results, script = tmp_path / "results", tmp_path / "slow_sweep.py"
    results.mkdir()
    script.write_text(SCRIPT.replace("if __name__", SLOW.format(where=where) + "if __name__"))
    argv = [sys.executable, str(script), "--local", "--results", str(results), "--name", "slow"]
    size = ["--samples", "2", "--epochs", "2", "--replicates", "1"]
    process = driver(*argv, *size, "--time-budget", "1h")
    wait_for("what takes so long", lambda: process.poll() is not None or (results / "begun").exists())
    process.send_signal(number)
    assert process.wait(STOPS_S) == status
    log = (tmp_path / "driver.log").read_text()
    assert "no result is lost. Go on with" in log
    assert "Traceback" not in log
    assert driver(*argv, "--resume").wait(PATIENCE_S) == 0
    assert (results / "slow" / "report.html").exists()
    rows = store.read(results / "slow", "trials", attempts="all").to_pylist()
    assert Counter(row["stage"] for row in rows) == {"search": 2, "confirm": 4}, "nothing lost or run twice"


def ended(folder: Path) -> int:
    """Search trials with a final row."""
    return len(list((folder / "v1" / "trials" / "stage=search").glob("*.parquet")))


def stored(folder: Path, table: str, stage: str = "search") -> set[str]:
    """Trials of a stage with rows in a table."""
    return {file.name[:6] for file in (folder / "v1" / table / f"stage={stage}").glob("*.parquet")}


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

    def found() -> bool:
        killed.extend(trial_processes())
        return bool(killed)

    def kill() -> None:
        wait_for("a first checkpoint", lambda: checkpoints(folder) == 1)
        wait_for("the trial's process", found)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    argv = ["--results", str(tmp_path), "--name", "hurt", "--stages", "search", "--max-concurrent", "1"]
    argv += ["--save-every", "epoch"]
    assert main(design, argv) == 0
    killer.join()
    assert len(killed) == 1
    check_whole(folder)
    trials = store.read(folder, "trials").to_pylist()
    assert (trials[0]["end_reason"], trials[0]["last_epoch"]) == ("completed", EPOCHS)  # nobody to compare it with
    assert {row["attempt"] for row in trials} == {1}
    sent = store.read(folder, "curves", stage="search", attempts="all").to_pylist()
    readings = [row["elapsed_s"] for row in sent if (row["trial_id"], row["epoch"]) == ("t00000", 1)]
    # Sent twice with the clock reading of the first time: read from the checkpoint, not computed again.
    assert len(readings) == 2
    assert len(set(readings)) == 1
