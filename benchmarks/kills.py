"""Hurts a sweep at random, resumes it each time, and counts what was lost: `faults.py` and `torture.py` show it."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import optuna
from hurt_sweep import SIGNAL

from sweeps.commands import replay
from sweeps.engine.search.optuna_study import latest
from sweeps.results import store
from sweeps.results.endings import INFRASTRUCTURE
from trainables.run_label import trial_name

SWEEP = Path(__file__).with_name("hurt_sweep.py")
MARK = "KOLEO_BENCHMARK_DRIVER"
TRIAL_TITLES = (b"ray::ResourceTrainable", b"ray::EmbeddingTrainable", b"ray::FailsOnSickNodes")
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPS_S = 10.0
"""In which a driver is to have ended after it was asked to."""
PATIENCE_S = 120.0
"""After which one that has not is killed."""
PAUSE_S = (0.0, 4.0)
"""Before each blow, drawn evenly: from the driver's start, or from when its trials are at work."""
TRIALS_FIRST = (0, 1, 2)
"""Processes of trials that are killed before something happens to their driver."""
LEFT_ALONE_SHARE = 0.5
"""Of the killed drivers, those whose processes are not ended before the next one starts."""
SAVE_EVERY = "0.5s"
"""A few epochs: what was killed goes on from a checkpoint, and has some rows to compute again."""
COMPLETE = (0, 1)
"""Exit status of a driver that has run its sweep to the end, and what has failed by then is told."""
PLACES = {
    "reading rows": "sweeps.results.store.read",
    "writing splits": "sweeps.engine.records.split_files.write",
    "tidying checkpoints": "trainables.checkpoint_store.CheckpointStore.tidy",
    "keeping the best model": "sweeps.engine.runner.keep_best",
    "compacting tables": "sweeps.results.store.compact",
    "writing the report": "sweeps.cli.messages.compose",
}
"""What goes on between two stages or after the last one, by the function that does it."""
TRIAL_KILLED = "trial killed"
STATE_OF = {"completed": "COMPLETE", "error": "FAIL", "preempted": "FAIL"}
"""Optuna's state by ending; any other is PRUNED."""
ZEROS = (
    "trials lost", "trials beyond the plan", "trials doubled", "rows lost", "rows sent otherwise", "rows different",
    "seen otherwise than asked", "Optuna disagrees",
)  # fmt: skip


class Driver:
    """One start of a sweep's command line, on a terminal of its own, and everything that it has started."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self._mark = uuid.uuid4().hex
        self._terminal, theirs = os.openpty()
        self._hang_up = threading.Event()
        given = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], env=given | environment | {MARK: self._mark},
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        self._screen = threading.Thread(target=self._show, args=(log,), daemon=True)
        self._screen.start()

    def _show(self, log: Path) -> None:
        """Copy what is printed to `log` until the terminal is closed, here or by all who have it."""
        with log.open("ab") as file:
            while not self._hang_up.is_set():
                if select.select([self._terminal], [], [], 0.05)[0]:
                    try:
                        file.write(os.read(self._terminal, 2**16))
                        file.flush()
                    except OSError:
                        break
        os.close(self._terminal)

    def close_terminal(self) -> None:
        """As when its window is closed: SIGHUP comes to all in the foreground, and whatever is printed fails."""
        self._hang_up.set()
        self._screen.join()

    def ended(self, seconds: float) -> bool:
        """Whether it has ended by itself within these seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def processes(self, chosen: Callable[[Path], bool] = lambda folder: True) -> list[int]:
        """Ids of this start's processes that are chosen by their folder in /proc."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                marked = f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                if folder.name.isdigit() and marked and chosen(folder):
                    found.append(int(folder.name))
            except OSError:
                continue  # ended meanwhile, or no process
        return found

    def trials(self) -> list[int]:
        """Ids of the processes that train."""
        return self.processes(lambda folder: (folder / "cmdline").read_bytes().startswith(TRIAL_TITLES))

    def clear(self) -> None:
        """End what a killed driver leaves behind; Ray's own processes go by themselves, but not at once."""
        while left := self.processes():
            for pid in left:
                kill(pid)
            time.sleep(0.1)
        self.close_terminal()


def kill(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that was done to a sweep."""

    what: str
    """`trial killed`, `driver killed`, `terminal closed`, or the signal that it was asked by."""
    where: str = ""
    """What the driver was doing between its stages; empty: any moment."""
    took_s: float | None = None
    """Seconds until a driver had ended that was asked to; None: it was not asked."""


@dataclass(frozen=True, slots=True)
class Hurt:
    """A sweep to be hurt: a search and a confirmation on `digits`."""

    folder: Path
    seed: int
    samples: int
    blocks: int
    epochs: int
    address: str = ""
    """Of a Ray cluster; empty: each driver starts a Ray of its own."""

    @property
    def planned(self) -> dict[str, int]:
        """Trials by stage; the preset confirms four cells."""
        return {"search": self.samples, "confirm": 4 * self.blocks}

    def start(self, **environment: str) -> Driver:
        """Begin it, or go on with it."""
        resume = ["--resume"] if (self.folder / "plan.json").exists() else []
        command = [
            sys.executable, str(SWEEP), *(["--address", self.address] if self.address else ["--local"]),
            "--results", str(self.folder.parent), "--name", self.folder.name, "--stages", "search,confirm",
            "--samples", str(self.samples), "--replicates", "1", "--blocks", str(self.blocks),
            "--epochs", str(self.epochs), "--train-triplets", "192", "--set", "views=none", "--seed", str(self.seed),
            "--save-every", SAVE_EVERY, *resume,
        ]  # fmt: skip
        return Driver(command, self.folder.with_suffix(".log"), **environment)

    def finish(self) -> None:
        """Run what is left, be it the report alone, without a blow.

        Raises:
            RuntimeError: the driver gave up.
        """
        driver = self.start()
        self.check(driver.process.wait())
        driver.clear()

    def check(self, status: int) -> None:
        """Raises: RuntimeError: a driver that was neither killed nor asked to stop has ended otherwise than well."""
        if status not in COMPLETE:
            raise RuntimeError(f"The driver ended with {status}: see {self.folder.with_suffix('.log')}.")


def hurt(
    sweep: Hurt, draw: random.Random, ways: Iterable[str], *, early: float = 0, most: int = sys.maxsize
) -> Iterator[Blow]:
    """Run a sweep to its end under blows, each told when it has fallen.

    Args:
        sweep: begun anew, or gone on with.
        draw: of moments and victims.
        ways: what happens to one start of the driver after the other: `kill`, `signal`, `terminal`, or one of PLACES
            that it is signalled in; the start after the last of them is left alone.
        early: share of the starts that something happens to before trials are at work, in [0, 1].
        most: blows.
    """
    left_alone: list[Driver] = []
    for way in ways:
        planned = _signal_in(PLACES[way], draw, sweep.folder.with_suffix(".signalled")) if way in PLACES else {}
        driver = sweep.start(**({SIGNAL: json.dumps(planned)} if planned else {}))
        blows = chain(
            _on_trials(driver, draw, early) if not sweep.address else (),  # those of a cluster are not this driver's
            _signalled(driver, way, planned) if planned else _on_driver(driver, way, draw),
        )
        struck = False
        for blow in islice(blows, most):
            most, struck = most - 1, blow.what != TRIAL_KILLED
            yield blow
        if not struck:  # it goes on to the end of its sweep
            sweep.check(driver.process.wait())
            most = 0
        if most and draw.random() < LEFT_ALONE_SHARE:
            left_alone.append(driver)
        else:
            driver.clear()
        if not most:
            break
    for one in left_alone:
        one.clear()
    sweep.finish()  # what is left, or was killed more often than it is retried


def _signal_in(place: str, draw: random.Random, note: Path) -> dict[str, Any]:
    """Arguments of `hurt_sweep.interrupt_in`."""
    note.unlink(missing_ok=True)
    call, after_s, number = draw.choice((1, 1, 2)), draw.choice((0.0, draw.uniform(0, 0.3))), int(draw.choice(STOPS))
    return {"place": place, "call": call, "after_s": after_s, "number": number, "note": str(note)}


def _on_trials(driver: Driver, draw: random.Random, early: float) -> Iterator[Blow]:
    """Kill some of the processes that train."""
    if draw.random() >= early:
        while not driver.trials() and not driver.ended(0.1):
            pass
    for _ in range(draw.choice(TRIALS_FIRST)):
        if driver.ended(draw.uniform(*PAUSE_S)):
            return
        victims = driver.trials()
        if victims and kill(draw.choice(victims)):
            yield Blow(TRIAL_KILLED)


def _on_driver(driver: Driver, way: str, draw: random.Random) -> Iterator[Blow]:
    """Kill a driver at some moment, or ask it to end and wait until it has; nothing if its sweep ends before."""
    if driver.ended(draw.uniform(*PAUSE_S)):
        return
    if way == "kill":
        driver.process.kill()
        driver.process.wait()
        yield Blow("driver killed")
        return
    number, began = draw.choice(STOPS), time.monotonic()
    if way == "terminal":
        driver.close_terminal()
    else:
        driver.process.send_signal(number)
    if not driver.ended(PATIENCE_S):
        driver.process.kill()
        driver.process.wait()
    yield Blow("terminal closed" if way == "terminal" else number.name, took_s=time.monotonic() - began)


def _signalled(driver: Driver, where: str, planned: dict[str, Any]) -> Iterator[Blow]:
    """Wait for the signal that a driver sends itself, and for its end; nothing if its sweep ends before."""
    note, sent = Path(planned["note"]), None
    while not driver.ended(0.02):
        sent = sent or (float(note.read_text()) if note.exists() else None)
        if sent is not None and time.monotonic() - sent > PATIENCE_S:
            driver.process.kill()
    if note.exists():
        took_s = time.monotonic() - float(note.read_text())
        yield Blow(signal.Signals(planned["number"]).name, where, took_s)


def counted(sweep: Hurt) -> Counter[str]:
    """Trials and rows planned, lost, doubled and different.

    A trial that goes on sends the rows of its checkpoint again, under the same attempt or the next, and the same ones.
    Every trial is then trained again in this process, undisturbed, and its rows compared with those stored.
    """
    found, folder = Counter[str](), sweep.folder
    for stage, planned in sweep.planned.items():
        trials = store.read(folder, "trials", stage=stage).to_pylist()
        ended = [row for row in trials if row["end_reason"] not in INFRASTRUCTURE]
        every = store.read(folder, "trials", stage=stage, attempts="all").to_pylist()
        finals = Counter(row["trial_id"] for row in every if row["end_reason"] not in INFRASTRUCTURE)
        sent = store.read(folder, "curves", stage=stage, attempts="all").to_pylist()
        contents = {((row["trial_id"], row["epoch"]), repr(untimed(row))) for row in sent}
        curves = {key for key, _ in contents}
        expected = {(row["trial_id"], epoch) for row in trials for epoch in range(1, row["last_epoch"] + 1)}
        names = planned_ids(sweep, stage)
        # `update` and not `+=`, which would drop the zeros.
        found.update({
            "trials planned": planned,
            "trials ended": len(ended),
            "trials lost": planned - len(names & {row["trial_id"] for row in ended}),
            "trials beyond the plan": len({row["trial_id"] for row in trials} - names),
            "trials doubled": sum(count - 1 for count in finals.values()),
            "rows expected": len(expected),
            "rows lost": len(expected - curves),
            "rows sent again": len(sent) - len(curves),
            "rows sent otherwise": len(contents) - len(curves),
            "rows different": sum(rows_different(folder, row) for row in ended if row["last_epoch"]),
            "seen otherwise than asked": sum(row["config_seen_sha256"] != row["config_sha256"] for row in ended),
        })  # fmt: skip
    found.update({"Optuna disagrees": disagreements(folder)})
    return found


def planned_ids(sweep: Hurt, stage: str) -> set[str]:
    """Trials that a stage is to have: the plan's indices, or the first that the study has begun."""
    if stage != "search":
        return {trial_name(number) for number in range(sweep.planned[stage])}
    return set(sorted(study_states(sweep.folder))[: sweep.planned[stage]])


def rows_different(folder: Path, trial: dict[str, Any]) -> int:
    """Epochs of a trial from the first whose row is another one when it is trained again, here and undisturbed."""
    found = replay.compared(folder, trial, replay.replay(trial, None))
    return trial["last_epoch"] - found[0].epoch + 1 if found else 0


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `curves` without ids and timing."""
    return {name: row[name] for name in replay.COMPARED}


def study_states(folder: Path) -> dict[str, str]:
    """State in Optuna's database by trial of the search."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'optuna.db'}")
    return {name: trial.state.name for name, trial in latest(study).items()}


def disagreements(folder: Path) -> int:
    """Search trials whose state in Optuna's database is not that of their ending, or that it lacks or has too many."""
    states, rows = study_states(folder), store.read(folder, "trials", stage="search").to_pylist()
    expected = {row["trial_id"]: STATE_OF.get(row["end_reason"], "PRUNED") for row in rows}
    return sum(states.get(trial) != expected.get(trial) for trial in states.keys() | expected.keys())
