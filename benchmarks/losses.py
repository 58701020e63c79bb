"""What the losses cost beside named peers, how that grows, and the memory of the semi-hard loss.

    python benchmarks/losses.py [--rounds 7] [--threads 2]

Forward and backward, float32, random embeddings of 128 numbers. Ours and the peer take turns in one process, each of
at least .3 s of which the fastest call counts; medians over rounds. Peers: lightly's NT-Xent and KoLeo,
pytorch-metric-learning's `BatchEasyHardMiner` with `TripletMarginLoss`, `torch.cdist(z, z).sum()`, and bare `z @ z.T`
with logsumexp, the floor of NT-Xent. The peak is that of a process of its own beyond what it held before.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightly.loss import KoLeoLoss, NTXentLoss
from machine import machine_class
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchEasyHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from embedding_core.losses import koleo, mine, nt_xent, triplet_margin, triplet_semihard

D = 128
WARM_UP = 1
"""Turns that are not counted."""

TURN = 0.3
"""Seconds that a turn lasts at least; the fastest call in it counts, so that another process does not."""

PEAK_ROWS, PEAK_TARGET = 4096, 1024
"""Rows of the semi-hard batch whose memory is measured, and MiB that it may take."""

Run = Callable[[], None]


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ours: Run
    peer: str
    theirs: Run
    target: float | None


def main() -> None:
    """Print memory, ratios and growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="counted turns of ours and peer (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    arguments = parser.parse_args()
    print(f"{machine_class()}; on cpu, {arguments.threads} threads, n = {arguments.rounds} rounds, d = {D}")
    # First, while this process is small: a child's peak may count what its parent held.
    for classes in (1024, 10, 1):
        peak = in_process_of_its_own(peak_mib, classes, arguments.threads)
        print(f"triplet_semihard, B = {PEAK_ROWS}, {classes} classes: peak {peak:.0f} MiB, target <= {PEAK_TARGET} MiB")
    torch.set_num_threads(arguments.threads)
    print("ms forward and backward: medians; ratio: median of the rounds' ratios and their range")
    print(f"{'':36}{'ours':>9}{'peer':>9}{'ratio':>8}{'range':>14}{'target':>9}  peer")
    took = {}
    for row in table():
        took[row.name], line = compare(row, arguments.rounds)
        print(line, flush=True)
    print("growth from n to 4 n rows (16 is quadratic):")
    for name, n in (
        ("nt_xent", 1024),
        ("koleo", 1024),
        ("triplet_semihard 10 classes", 512),
        ("mining 10 classes", 1024),
    ):
        print(f"  {name}: {n} to {4 * n}: x {took[f'{name} {4 * n}'] / took[f'{name} {n}']:.1f}")
    print(f"load average {os.getloadavg()[0]:.1f}: above {arguments.threads} others wanted the cores")


def table() -> list[Row]:
    """Everything that is compared."""
    rows = []
    for n in (512, 1024, 4096):
        ours, lightly, floor = nt_xent_runs(n)
        rows.append(Row(f"nt_xent {n}", ours, "lightly", lightly, 0.7))
        rows.append(Row(f"nt_xent {n} to its floor", ours, "z @ z.T, logsumexp", floor, None))
    for n, target in ((1024, 1.0), (4096, 0.85)):
        z = leaf(n)
        rows.append(Row(f"koleo {n}", step(z, koleo), "lightly", step(z, KoLeoLoss()), target))
    for name, labels, target in labelled(512, target=5.0):
        z = leaf(len(labels))
        ours = step(z, lambda z, labels=labels: triplet_semihard(z, labels))
        cdist = step(z, lambda z: torch.cdist(z, z).sum())
        rows.append(Row(f"triplet_semihard {name}", ours, "cdist(z, z).sum()", cdist, target))
    for name, labels, target in labelled(1024, target=0.5):
        ours, pml = mining_runs(labels)
        rows.append(Row(f"mining {name}", ours, "PML, easy/semihard", pml, target))
    return rows


def labelled(n: int, *, target: float) -> list[tuple[str, Tensor, float | None]]:
    """Name, labels and target of two batches of n rows and of one four times as large."""
    return [
        (f"10 classes {n}", torch.arange(n) % 10, target),
        (f"4 of each class {n}", torch.arange(n) // 4, target),
        (f"10 classes {4 * n}", torch.arange(4 * n) % 10, None),
    ]


def leaf(n: int, seed: int = 0) -> Tensor:
    """Random embeddings."""
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def step(z: Tensor, loss: Callable[[Tensor], Tensor]) -> Run:
    """Forward and backward of `loss` on `z`."""

    def run() -> None:
        z.grad = None
        loss(z).backward()

    return run


def nt_xent_runs(n: int) -> tuple[Run, Run, Run]:
    """Ours, lightly's, and the floor on as many views."""
    z, lightly = leaf(2 * n), NTXentLoss(temperature=0.5)
    unit = F.normalize(leaf(2 * n).detach(), dim=1).requires_grad_()
    return (
        step(z, lambda z: nt_xent(z[:n], z[n:])),
        step(z, lambda z: lightly(z[:n], z[n:])),
        step(unit, lambda z: (z @ z.T).logsumexp(dim=1).mean()),
    )


def mining_runs(labels: Tensor) -> tuple[Run, Run]:
    """Easy positives with semi-hard negatives, squared distances of unit vectors: ours and PML's."""
    distance = LpDistance(power=2)
    miner = BatchEasyHardMiner("easy", "semihard", distance=distance)
    triplet_loss = TripletMarginLoss(margin=0.5, distance=distance, reducer=MeanReducer())

    def ours(z: Tensor) -> Tensor:
        unit = F.normalize(z, dim=1)
        t = mine(unit, labels, positive="easy", negative="semihard", margin=0.5)
        return triplet_margin(*t.embeddings(unit), margin=0.5, distance="sql2")

    n = len(labels)
    return step(leaf(n), ours), step(leaf(n), lambda z: triplet_loss(z, labels, miner(z, labels)))


def compare(row: Row, rounds: int) -> tuple[float, str]:
    """Median seconds of ours, and the line."""
    turns = [(seconds(row.ours), seconds(row.theirs)) for _ in range(WARM_UP + rounds)][WARM_UP:]
    ours, theirs = (statistics.median(times) for times in zip(*turns, strict=True))
    ratios = sorted(a / b for a, b in turns)
    target = "" if row.target is None else f"<= {row.target}"
    line = (
        f"{row.name:36}{1000 * ours:9.2f}{1000 * theirs:9.2f}{statistics.median(ratios):8.3f}"
        f"{ratios[0]:8.3f}-{ratios[-1]:.3f}{target:>9}  {row.peer}"
    )
    return ours, line


def seconds(run: Run) -> float:
    """Wall time of the fastest call in a turn."""
    calls: list[float] = []
    while sum(calls) < TURN:
        started = time.perf_counter()
        run()
        calls.append(time.perf_counter() - started)
    return min(calls)


def in_process_of_its_own(measure: Callable[[int, int], float], *arguments: int) -> float:
    """`measure(*arguments)` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def peak_mib(classes: int, threads: int) -> float:
    """Memory that the semi-hard loss with its gradient takes beyond its input, in MiB."""
    torch.set_num_threads(threads)
    labels = torch.arange(PEAK_ROWS) % classes
    z = leaf(PEAK_ROWS)
    step(leaf(64), lambda z: triplet_semihard(z, labels[:64]))()  # libraries load now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(z, lambda z: triplet_semihard(z, labels))()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    main()
