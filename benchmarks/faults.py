"""Sweeps that are hurt at random moments, over and over, and what is lost by it: nothing.

    python benchmarks/faults.py [--kills 100] [--seed 0] [--results DIR]

Processes of trials are killed. Drivers are killed, interrupted (SIGINT, SIGTERM, SIGHUP), at any moment or in what they
do between two stages, or have their terminal closed; they are started again with `--resume`, until their sweep is
complete; sweep after sweep, until the kills are spent. What a killed driver leaves behind is ended first in half of the
cases; in the others the next driver starts beside it, though not for long: on one machine Ray's processes end with
their driver. One more sweep runs on a cluster of two nodes of which one fails every trial. pyarrow, DuckDB and polars
scan the store all the while. Every trial is then trained once more, undisturbed, and its rows compared with the stored
ones, bit by bit. To run in pieces, give each its own seed.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import optuna
import polars as pl
import pyarrow.dataset as ds
from hurt_counts import ZEROS, counted
from hurt_sweep import SICK
from kills import PLACES, Blow, Hurt, hurt
from machine import machine_class
from ray.cluster_utils import Cluster

from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT
from sweeps.results import store

SAMPLES, BLOCKS, EPOCHS = 16, 4, 10
BETWEEN_SHARE = 0.4
"""Of the drivers, those that are asked to end between two stages."""
EARLY_SHARE = 0.25
"""Of the drivers, those that something happens to before trials are at work."""
SCAN_EVERY_S = 0.2
ON_SICK_NODES = 3
"""Drivers that are hurt in the sweep on a cluster."""
LATE, READER_ERRORS = "stops that took longer", "errors of readers"


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

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Scan while the block runs."""
        reading = threading.Thread(target=self.scan)
        reading.start()
        try:
            yield
        finally:
            self.stopped.set()
            reading.join()


def drawn(draw: random.Random) -> Iterator[str]:
    """What happens to one start of a driver after the other."""
    while True:
        between = draw.random() < BETWEEN_SHARE
        yield draw.choice(list(PLACES)) if between else draw.choice(("kill", "signal", "signal", "terminal"))


@contextmanager
def sick_cluster() -> Iterator[tuple[str, str]]:
    """Address of a Ray cluster of a head without CPUs and two nodes, and the id of the node that fails every trial."""
    os.environ.update(DRIVER_ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        sick = cluster.add_node(num_cpus=1, env_vars={SICK: "1"})
        cluster.add_node(num_cpus=1)
        yield cluster.address, sick.node_id
    finally:
        cluster.shutdown()


def on_nodes(sweep: Hurt, sick: str) -> Counter[str]:
    """Trials by the node that they ended on."""
    rows = store.read(sweep.folder, "trials", attempts="all").to_pylist()
    errors = [row for row in rows if row["end_reason"] == "error"]
    elsewhere = sum(row["node_id"] != sick for row in errors)
    ended = sum(row["node_id"] == sick for row in rows) - (len(errors) - elsewhere)
    return Counter({"errors on the sick node": len(errors), "errors elsewhere": elsewhere, "ended there": ended})


class Record:
    """What has happened, and what has been found."""

    def __init__(self) -> None:
        self.blows: list[Blow] = []
        self.found: Counter[str] = Counter()
        self.errors: list[str] = []
        self.sweeps = 0
        self._began = time.perf_counter()

    def run(self, sweep: Hurt, draw: random.Random, ways: Iterable[str], most: int = sys.maxsize) -> None:
        """Hurt one sweep under readers, and count."""
        readers = Readers(sweep.folder)
        with readers.beside():
            for blow in hurt(sweep, draw, ways, early=EARLY_SHARE, most=most):
                self.blows.append(blow)
                took = "" if blow.took_s is None else f", over after {blow.took_s:.1f} s"
                where = f" while {blow.where}" if blow.where else ""
                print(f"{time.perf_counter() - self._began:6.0f} s  {blow.what}{where}{took}", flush=True)
        self.sweeps += 1
        self.found.update(counted(sweep))  # `+=` would drop the zeros
        self.found.update(readers.scans)
        self.errors += readers.errors

    def table(self) -> dict[str, float]:
        """Everything to be printed, by its name."""
        stops = [blow.took_s for blow in self.blows if blow.took_s is not None]
        return {
            "sweeps": self.sweeps,
            **Counter(f"{blow.what}{' between stages' if blow.where else ''}" for blow in self.blows),
            "stops": len(stops),
            "median stop, s": median(stops) if stops else 0.0,
            "longest stop, s": max(stops, default=0.0),
            LATE: sum(blow.is_late for blow in self.blows),
            **self.found,
            READER_ERRORS: len(self.errors),
        }


def main() -> int:
    """Print the table; 1 if anything is not zero that should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="and stops, before the sweep on a cluster")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, the victims and the sweeps")
    parser.add_argument("--results", type=Path, help="keep the sweeps here")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results = (arguments.results or Path(tempfile.mkdtemp())).resolve()
    results.mkdir(parents=True, exist_ok=True)
    draw, record = random.Random(arguments.seed), Record()
    print(f"{machine_class()}; --kills {arguments.kills} --seed {arguments.seed}", flush=True)

    def sweep_of(name: str, address: str = "") -> Hurt:
        return Hurt(results / name, 1000 * arguments.seed + record.sweeps, SAMPLES, BLOCKS, EPOCHS, address)

    while (left := arguments.kills - len(record.blows)) > 0:
        record.run(sweep_of(f"hurt-{record.sweeps}"), draw, drawn(draw), left)
    with sick_cluster() as (address, sick):
        sweep = sweep_of("sick", address)
        record.run(sweep, draw, islice(drawn(draw), ON_SICK_NODES))
        record.found.update(on_nodes(sweep, sick))
    table = record.table()
    for name, value in table.items():
        print(f"{name:32} {value:8.1f}" if isinstance(value, float) else f"{name:32} {value:6}")
    print(*dict.fromkeys(record.errors), sep="\n")
    if arguments.results is None:
        shutil.rmtree(results)
    return int(any(table[name] for name in (*ZEROS, LATE, "errors elsewhere", "ended there", READER_ERRORS)))


if __name__ == "__main__":
    sys.exit(main())
