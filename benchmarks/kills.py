"""Hurts a sweep at random and resumes it each time: `faults.py` and `torture.py` show it, `hurt_counts.py` counts."""

import json
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from hurt_driver import Driver, kill
from hurt_sweep import SIGNAL

SWEEP = Path(__file__).with_name("hurt_sweep.py")
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


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that was done to a sweep."""

    what: str
    """`trial killed`, `driver killed`, `terminal closed`, or the signal that it was asked by."""
    where: str = ""
    """What the driver was doing between its stages; empty: any moment."""
    took_s: float | None = None
    """Seconds until a driver had ended that was asked to; None: it was not asked."""

    @property
    def is_late(self) -> bool:
        """Whether a driver took longer to end than it may."""
        return self.took_s is not None and self.took_s > STOPS_S


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
        try:
            self.check(driver.process.wait())
        finally:
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
    with ExitStack() as started:  # whatever ends this generator, no driver outlives it
        for way in ways:
            planned = _signal_in(PLACES[way], draw, sweep.folder.with_suffix(".signalled")) if way in PLACES else {}
            driver = sweep.start(**({SIGNAL: json.dumps(planned)} if planned else {}))
            started.callback(driver.clear)
            on_trials = () if sweep.address else _on_trials(driver, draw, early)  # a cluster's are not this driver's
            on_driver = _signalled(driver, way, planned) if planned else _on_driver(driver, way, draw)
            struck = False
            for blow in islice(chain(on_trials, on_driver), most):
                most, struck = most - 1, blow.what != TRIAL_KILLED
                yield blow
            if not struck:  # it goes on to the end of its sweep
                sweep.check(driver.process.wait())
                most = 0
            if not most or draw.random() >= LEFT_ALONE_SHARE:
                driver.clear()
            if not most:
                break
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
