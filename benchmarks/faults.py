"""Sweeps whose driver or trial processes are killed outright at random moments, and what is lost by it: nothing.

    python benchmarks/faults.py [--kills 100] [--seed 0] [--driver-share .25] [--results DIR]

A driver that was killed is started again with `--resume`, until its sweep is complete; sweep after sweep, until the
kills are spent. What a killed driver leaves behind is ended first in half of the cases; in the others the next driver
starts beside it, though not for long: on one machine Ray's processes end with their driver. As many drivers are asked
to stop (SIGINT, SIGTERM, SIGHUP), at any moment or between two stages, and must obey within ten seconds. pyarrow,
DuckDB and polars scan the store all the while. The confirmation of each sweep is then held against that of the same
plan run in peace, row by row; of the search, whose sampler sees trials end in another order, completeness and agreement
with Optuna's database are checked. To run in pieces, give each its own seed.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import optuna
import polars as pl
import pyarrow.dataset as ds
from machine import machine_class

from sweeps.engine.search.optuna_study import latest
from sweeps.results import store
from sweeps.results.endings import INFRASTRUCTURE
from trainables.run_label import trial_name

SWEEP = Path(__file__).parents[1] / "sweeps" / "koleo_accum.py"
SAMPLES, BLOCKS, EPOCHS = 16, 4, 10
RUNS = {"search": SAMPLES, "confirm": 4 * BLOCKS}
"""By stage; the preset confirms four cells."""
PAUSE_S = (1.0, 9.0)
"""Between a start or a kill and the next kill, in seconds, drawn evenly."""
LEFT_ALONE_SHARE = 0.5
"""Of the killed drivers, those whose processes are not ended before the next one starts."""
SAVE_EVERY = "0.5s"
"""A few epochs: what was killed goes on from a checkpoint, and has some rows to compute again."""
SCAN_EVERY_S = 0.2
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SHARE = 0.5
"""Of the drivers that are hit, those that are asked."""
STOPS_S = 10.0
BETWEEN_S = 30.0
"""How long the end of the search is waited for, to ask between two stages, in half of the cases."""
MARK = "KOLEO_BENCHMARK_DRIVER"
TRIAL_TITLES = (b"ray::ResourceTrainable", b"ray::EmbeddingTrainable")
TIMING = ("trial_id", "attempt", "stage", "elapsed_s", "train_s")
ZEROS = (
    "trials lost", "trials beyond the plan", "trials doubled", "rows lost", "rows sent otherwise", "rows different",
    "seen otherwise than asked", "Optuna disagrees", "stops disobeyed",
)  # fmt: skip
STATE_OF = {"completed": "COMPLETE", "error": "FAIL", "preempted": "FAIL"}
"""Optuna's state by ending; any other is PRUNED."""


class Driver:
    """One start of a sweep's command line and everything that it has started."""

    def __init__(self, folder: Path, seed: int, stages: str) -> None:
        self._mark = uuid.uuid4().hex
        resume = ["--resume"] if (folder / "plan.json").exists() else []
        command = [
            sys.executable, str(SWEEP), "--local", "--results", str(folder.parent), "--name", folder.name,
            "--stages", stages, "--samples", str(SAMPLES), "--replicates", "1", "--blocks", str(BLOCKS),
            "--epochs", str(EPOCHS), "--train-triplets", "192", "--set", "views=none", "--seed", str(seed),
            "--save-every", SAVE_EVERY, *resume,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=environment | {MARK: self._mark}, stdout=log, stderr=log, start_new_session=True
            )

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


def kill(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@dataclass(slots=True)
class Readers:
    """Scans a store with one engine after the other until told to stop."""

    folder: Path
    scans: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def scan(self) -> None:
        """One scan per engine and turn."""
        engines: dict[str, Callable[[Path], Any]] = {
            "pyarrow": lambda curves: ds.dataset(curves, format="parquet").to_table(columns=["trial_id", "val_auc"]),
            "duckdb": lambda curves: duckdb.connect().execute(
                "select trial_id, val_auc from read_parquet(?, union_by_name = true)", [f"{curves}/**/*.parquet"]
            ).fetchall(),
            "polars": lambda curves: pl.read_parquet(f"{curves}/**/*.parquet", columns=["trial_id", "val_auc"]),
            "store.read": lambda curves: store.read(self.folder, "curves"),
        }  # fmt: skip
        curves = self.folder / "v1" / "curves"
        with ThreadPoolExecutor(1) as pool:
            while not self.stopped.wait(SCAN_EVERY_S):
                for name, read in engines.items() if any(curves.rglob("*.parquet")) else ():
                    error = pool.submit(read, curves).exception()
                    self.scans[name] += 1
                    self.errors += [] if error is None else [f"{name}: {error!r}"]


def between_stages(folder: Path) -> bool:
    """Whether the search has ended and no trial of the confirmation has been heard of."""
    ended = len(list(folder.glob("v1/trials/stage=search/*.parquet")))
    return ended >= SAMPLES and not list(folder.glob("v1/curves/stage=confirm/*.parquet"))


def obeyed(driver: Driver, folder: Path, draw: random.Random) -> bool:
    """Ask a driver to stop; whether it did so in time."""
    if draw.random() < 0.5:
        deadline = time.monotonic() + BETWEEN_S
        while driver.process.poll() is None and time.monotonic() < deadline and not between_stages(folder):
            time.sleep(0.02)
    driver.process.send_signal(draw.choice(STOPS))
    try:
        driver.process.wait(STOPS_S)
    except subprocess.TimeoutExpired:
        driver.process.kill()
        driver.process.wait()
        return False
    return True


def hurt(
    folder: Path, seed: int, draw: random.Random, left: int, driver_share: float, found: Counter[str]
) -> Counter[str]:
    """Run a sweep to its end under at most `left` kills and stops; these by kind."""
    kills: Counter[str] = Counter()
    driver = Driver(folder, seed, "search,confirm")
    left_alone: list[Driver] = []
    while driver.process.poll() is None:
        if kills.total() >= left:
            driver.process.wait()
            break
        time.sleep(draw.uniform(*PAUSE_S))
        if driver.process.poll() is not None:
            break
        if draw.random() < driver_share:
            if draw.random() < STOP_SHARE:
                kills["stopped"] += 1
                found["stops disobeyed"] += not obeyed(driver, folder, draw)
            else:
                driver.process.kill()
                driver.process.wait()
                kills["driver"] += 1
            if draw.random() < LEFT_ALONE_SHARE:
                left_alone.append(driver)
            else:
                driver.clear()
            driver = Driver(folder, seed, "search,confirm")
        elif trials := driver.trials():
            kills["worker"] += kill(draw.choice(trials))
    for one in (*left_alone, driver):
        one.clear()
    return kills


def in_peace(folder: Path, seed: int) -> None:
    """Run what is left of a sweep, or the confirmation of a new one, without a kill."""
    stages = "search,confirm" if folder.exists() else "confirm"
    driver = Driver(folder, seed, stages)
    driver.process.wait()
    driver.clear()


def compared(folder: Path, calm: Path) -> Counter[str]:
    """Trials and rows planned, lost, doubled and different.

    A trial that goes on sends the rows of its checkpoint again, under the same attempt or the next, and the same ones.
    """
    found: Counter[str] = Counter()
    for stage, planned in RUNS.items():
        trials = store.read(folder, "trials", stage=stage).to_pylist()
        ended = [row for row in trials if row["end_reason"] not in INFRASTRUCTURE]
        finals = Counter(
            row["trial_id"]
            for row in store.read(folder, "trials", stage=stage, attempts="all").to_pylist()
            if row["end_reason"] not in INFRASTRUCTURE
        )
        sent = store.read(folder, "curves", stage=stage, attempts="all").to_pylist()
        contents = {((row["trial_id"], row["epoch"]), repr(untimed(row))) for row in sent}
        curves = {key for key, _ in contents}
        expected = {(row["trial_id"], epoch) for row in trials for epoch in range(1, row["last_epoch"] + 1)}
        found["trials planned"] += planned
        found["trials ended"] += len(ended)
        names = planned_ids(stage, folder)
        found["trials lost"] += planned - len(names & {row["trial_id"] for row in ended})
        found["trials beyond the plan"] += len({row["trial_id"] for row in trials} - names)
        found["trials doubled"] += sum(count - 1 for count in finals.values())
        found["rows expected"] += len(expected)
        found["rows lost"] += len(expected - curves)
        found["rows sent again"] += len(sent) - len(curves)
        found["rows sent otherwise"] += len(contents) - len(curves)
        found["seen otherwise than asked"] += sum(row["config_seen_sha256"] != row["config_sha256"] for row in ended)
    ours, theirs = ({(r["trial_id"], r["epoch"]): r for r in rows_of(one)} for one in (folder, calm))
    found["rows of a calm run"] += len(theirs)
    found["rows different"] += sum(untimed(ours.get(key, {})) != untimed(row) for key, row in theirs.items())
    found["Optuna disagrees"] += disagreements(folder)
    return found


def planned_ids(stage: str, folder: Path) -> set[str]:
    """Trials that a stage is to have: the plan's indices, or the first that the study has begun."""
    if stage != "search":
        return {trial_name(number) for number in range(RUNS[stage])}
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'optuna.db'}")
    return set(sorted(latest(study))[: RUNS[stage]])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The confirmation's curves."""
    rows: list[dict[str, Any]] = store.read(folder, "curves", stage="confirm").to_pylist()
    return rows


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """A row without ids and timing."""
    return {name: value for name, value in row.items() if name not in TIMING}


def disagreements(folder: Path) -> int:
    """Search trials whose state in Optuna's database is not that of their ending, or that it lacks or has too many."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'optuna.db'}")
    states = {name: trial.state.name for name, trial in latest(study).items()}
    rows = store.read(folder, "trials", stage="search").to_pylist()
    expected = {row["trial_id"]: STATE_OF.get(row["end_reason"], "PRUNED") for row in rows}
    return sum(states.get(trial) != expected.get(trial) for trial in states.keys() | expected.keys())


def main() -> int:
    """Print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments, the victims and the sweeps")
    parser.add_argument("--driver-share", type=float, default=0.25, help="share of kills that hit the driver")
    parser.add_argument("--results", type=Path, help="keep the sweeps here")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results = (arguments.results or Path(tempfile.mkdtemp())).resolve()
    results.mkdir(parents=True, exist_ok=True)
    draw, started = random.Random(arguments.seed), time.perf_counter()
    print(f"{machine_class()}; --kills {arguments.kills} --seed {arguments.seed}", flush=True)
    kills, found, scans, errors = Counter[str](), Counter[str](), Counter[str](), list[str]()
    sweeps = 0
    while kills.total() < arguments.kills:
        seed = 1000 * arguments.seed + sweeps
        folder, calm = results / f"hurt-{seed}", results / f"calm-{seed}"
        readers = Readers(folder)
        reading = threading.Thread(target=readers.scan)
        reading.start()
        kills += hurt(folder, seed, draw, arguments.kills - kills.total(), arguments.driver_share, found)
        in_peace(folder, seed)  # runs again what was killed more often than it is retried
        readers.stopped.set()
        reading.join()
        in_peace(calm, seed)
        found.update(compared(folder, calm))  # `+=` would drop the zeros
        scans, errors, sweeps = scans + readers.scans, errors + readers.errors, sweeps + 1
        print(f"after {sweeps} sweeps and {time.perf_counter() - started:.0f} s: {dict(kills)}", flush=True)
    for name, value in {"sweeps": sweeps, **kills, **found, **scans, "reader errors": len(errors)}.items():
        print(f"{name:28} {value:8}")
    print(*dict.fromkeys(errors), sep="\n")
    if arguments.results is None:
        shutil.rmtree(results)
    return int(bool(errors) or any(found[name] for name in ZEROS))


if __name__ == "__main__":
    sys.exit(main())
