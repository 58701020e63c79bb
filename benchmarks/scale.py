"""What a large sweep costs beyond its training: the driver, the gaps between trials, the report.

    python benchmarks/scale.py [--part driver] [--part search] [--part live] [--part wall] [--part report] [--trials N]
        [--sweep results/NAME]

driver: a listed plan of no-op trials with 10 reports each through the real engine, a tenth of the trials and all of
them, each in a driver of its own. Time per trial is counted from the first trial's end to the last one's, so that
starting Ray does not hide growth; memory is the driver's peak above what it held before the sweep. Targets: time and
memory per trial grow <= 1.3 x.
search: the same with the study and ASHA, fewer trials; the sampler's work grows with what it has seen. No target.
live: `--at-once` trials of 500 epochs of 10 s, played through the real searcher, ASHA, callback and recorder, with
`--known` ended before; see `played.py`. Targets: the driver's processor time is <= 60 % of a core, and <= 5 % of the
epochs are answered more than half a second late.
wall: a real sweep on digits, as many runs at once as the machine has cores: from the first trial's start to the last
one's end, over (sum of the trials' training time / runs at once). Target: <= 1.15.
report: the report of a sweep of `--trials` trials x 50 epochs, composed and written, and that of each finished sweep
that `--sweep` names (drawn into a copy), each in a process of its own, loading included. Target: <= 3 s of processor
time.

Ray's processes are niced by 15: beside other work their wall times mean nothing, unless RAY_worker_niceness=0.
"""

import argparse
import logging
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import analysis
import numpy as np
import orchestration
import played
import pyarrow as pa
import pyarrow.compute as pc
import ray
from machine import machine_class

from sweeps.engine.machines.cluster import DRIVER_ENVIRONMENT
from sweeps.results import scan, store
from sweeps.results.store import Store
from trainables.embedding import EmbeddingTrainable

TARGET_GROWTH, TARGET_WALL, TARGET_REPORT_S = 1.3, 1.15, 3.0
TARGET_SHARE, TARGET_DELAYED = 60.0, 5.0
"""Percent."""

EPOCHS = 10
GROWTH = 10
SEARCH_SHARE = 5
"""The search part takes a fifth of the trials: its sampler is the slower the more it has seen."""

WALL_TRIALS, WALL_EPOCHS = 40, 60

RENDER = "import sys; from sweeps.analysis.report.compose import render_sweep; render_sweep(sys.argv[1])"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one sweep of no-op trials."""

    wall_s: float
    """Per trial, between the first end and the last."""

    cpu_s: float
    """Processor time of the driver likewise, which other work on the machine leaves alone."""

    first_s: float
    """The same over the first tenth of the trials."""

    last_s: float
    """Over the last tenth."""

    memory_mib: float
    """Peak of the driver above what it held before the sweep."""


class Clocked(Store):
    """Notes when each trial was written."""

    ends: ClassVar[list[tuple[float, float]]] = []
    """Wall and processor seconds."""

    def publish(self, table: str, stage: str, content: pa.Table) -> Path | None:
        """As `Store.publish`, through which the driver's buffer writes."""
        if table == "trials":
            self.ends += [(time.perf_counter(), time.process_time())] * content.num_rows
        return super().publish(table, stage, content)


def main() -> None:
    """Print each part with its target."""
    parts = {"driver": driver, "search": search, "live": live, "wall": wall, "report": report}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=parts, help="may be given several times (default: all)")
    parser.add_argument("--trials", type=int, default=2000, help="of the larger sweep (default: %(default)s)")
    parser.add_argument("--sweep", type=Path, action="append", default=[], help="whose report is drawn, too")
    parser.add_argument("--at-once", type=int, default=1000, help="of the part live (default: %(default)s)")
    parser.add_argument("--known", type=int, default=2000, help="that have ended before it (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="that it plays (default: %(default)s)")
    arguments = parser.parse_args()
    print(machine_class())
    for name in arguments.part or parts:
        print(f"\n{name}", flush=True)
        parts[name](arguments)


def driver(arguments: argparse.Namespace) -> None:
    """Time and memory per trial of a listed plan."""
    trials = arguments.trials
    few, many = growth_of("confirm", trials)
    print(verdict("wall time per trial grows", many.wall_s / few.wall_s, TARGET_GROWTH, "x"))
    print(verdict("the driver's processor time per trial grows", many.cpu_s / few.cpu_s, TARGET_GROWTH, "x"))
    memory = many.memory_mib / trials / (few.memory_mib / (trials // GROWTH))
    print(verdict("memory per trial grows", memory, TARGET_GROWTH, "x"))


def search(arguments: argparse.Namespace) -> None:
    """The same with Optuna's sampler and ASHA."""
    few, many = growth_of("search", arguments.trials // SEARCH_SHARE)
    print(f"processor time per trial grows {many.cpu_s / few.cpu_s:.2f} x, the sampler's included (no target)")


def live(arguments: argparse.Namespace) -> None:
    """Share of a core that the driver takes, and epochs that it keeps waiting."""
    with tempfile.TemporaryDirectory() as folder:
        before = memory_mib("VmRSS")
        of = played.play(
            Path(folder) / "sweep", at_once=arguments.at_once, seconds=arguments.seconds, known=arguments.known
        )
        memory = memory_mib("VmRSS") - before
    print(f"{arguments.at_once:,} trials at once, {arguments.known:,} ended before: {of.rows:,} epochs, "
          f"{of.ended:,} ends in {of.simulated_s:g} s of search")  # fmt: skip
    for what, cpu_s in of.of.most_common():
        print(f"{what:>20}{1000 * cpu_s / of.rows:10.2f} ms of processor time per epoch")
    print(f"the first trials: {1000 * of.started_cpu_s / arguments.at_once:.0f} ms each; {of.files:,} files; "
          f"{memory:.0f} MiB more than before")  # fmt: skip
    print(f"an epoch waited {of.worst_s:.1f} s at most, where an fsync takes {1000 * of.sync_s:.1f} ms")
    print(verdict("the driver's processor time, of a core", 100 * of.cpu_s / of.simulated_s, TARGET_SHARE, "%"))
    late = f"epochs answered more than {played.LATE_S:g} s late"
    print(verdict(late, 100 * of.delayed / of.rows, TARGET_DELAYED, "%"))


def growth_of(stage: str, trials: int) -> tuple[Cost, Cost]:
    """A tenth of the trials and all of them."""
    print(f"{'':8}{'wall ms':>12}{'driver CPU ms':>16}{'first tenth':>14}{'last tenth':>14}{'driver':>10}")
    print(f"{'trials':>8}{'per trial':>12}{'per trial':>16}{'CPU ms':>14}{'CPU ms':>14}{'MiB':>10}")
    costs = []
    for n in (trials // GROWTH, trials):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            cost = pool.submit(cost_of, stage, n).result()
        print(f"{n:8,}{1000 * cost.wall_s:12.1f}{1000 * cost.cpu_s:16.1f}{1000 * cost.first_s:14.1f}"
              f"{1000 * cost.last_s:14.1f}{cost.memory_mib:10.0f}", flush=True)  # fmt: skip
        costs.append(cost)
    return costs[0], costs[1]


def cost_of(stage: str, trials: int) -> Cost:
    """Run one sweep in this process; it must be a fresh one."""
    start_ray()
    with tempfile.TemporaryDirectory() as folder:
        before = memory_mib("VmRSS")
        orchestration.ours(stage, trials, Path(folder), epochs=EPOCHS, writer=Clocked)
        memory = memory_mib("VmHWM") - before
    ray.shutdown()
    ends = np.array(Clocked.ends)
    tenth = max(2, trials // GROWTH)
    return Cost(*per_trial(ends), per_trial(ends[:tenth])[1], per_trial(ends[-tenth:])[1], memory)


def per_trial(ends: np.ndarray) -> tuple[float, float]:
    """Wall and processor seconds from one end to the next, from [trials, 2]."""
    wall_s, cpu_s = (ends[-1] - ends[0]) / (len(ends) - 1)
    return float(wall_s), float(cpu_s)


def wall(arguments: argparse.Namespace) -> None:
    """Wall time of a real sweep over its training time."""
    start_ray()
    at_once = int(ray.cluster_resources()["CPU"])
    with tempfile.TemporaryDirectory() as folder:
        orchestration.ours("confirm", WALL_TRIALS, Path(folder), epochs=WALL_EPOCHS, trainable=EmbeddingTrainable)
        table = store.read(Path(folder) / "sweep", "trials")
    ray.shutdown()
    took = (pc.max(table["ended_at"]).as_py() - pc.min(table["started_at"]).as_py()).total_seconds()
    training = pc.sum(table["wall_s"]).as_py()
    print(f"{table.num_rows} trials on digits, {at_once} at once: {took:.1f} s for {training:.1f} s of training")
    print(verdict("wall / (training / runs at once)", took / (training / at_once), TARGET_WALL, ""))


def report(arguments: argparse.Namespace) -> None:
    """Seconds for the reports of finished sweeps."""
    with tempfile.TemporaryDirectory(dir=analysis.MEMORY if analysis.MEMORY.is_dir() else None) as folder:
        invented = f"{arguments.trials:,} trials x {analysis.EPOCHS} epochs"
        sweeps = {invented: analysis.written(Path(folder) / "sweep", arguments.trials)}
        for i, given in enumerate(arguments.sweep):
            sweeps[given.name] = Path(shutil.copytree(given, Path(folder) / str(i)))
            scan.compact(sweeps[given.name])  # as code of today leaves a sweep
        for name, sweep in sweeps.items():
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-c", RENDER, sweep], check=True)
            wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            figures = len(list((sweep / "figures").glob("*.svg")))
            print(verdict(f"{name}, {figures} figures, {wall:.1f} s by the clock", cpu, TARGET_REPORT_S, "s"))


def start_ray() -> None:
    """A local Ray of this process."""
    os.environ.update(DRIVER_ENVIRONMENT)
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def memory_mib(name: str) -> float:
    """`VmRSS` or `VmHWM`, its peak, of this process (Linux)."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def verdict(what: str, value: float, target: float, unit: str) -> str:
    """A figure, its target, and whether it is met."""
    return f"{what}: {value:.2f} {unit} (target: <= {target:g}: {'met' if value <= target else 'MISSED'})"


if __name__ == "__main__":
    main()
