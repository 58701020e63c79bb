"""What exact accumulation costs beside naive, and the gap meter beside both.

    python benchmarks/accumulation.py [--rounds 9] [--threads 2]

Forward, loss (triplet and KoLeo) and backward of one optimiser step, float32, embeddings of 128 numbers, images of
32x32, `small_cnn` with GroupNorm. Both modes take turns in one process; medians over rounds. Peak memory is that of
the process beyond what it held before the steps, one process per mode. Targets: cached <= 1.45 x naive in time and
<= 1.15 x in peak memory.
"""

import argparse
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from machine import machine_class
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.models.network import build_network
from embedding_core.training import accumulated_step, measure_gap

TARGET_TIME, TARGET_MEMORY = 1.45, 1.15
WARM_UP = 2
"""Steps of each kind that are not counted."""

MEMORY_STEPS = 6
SIZES = ((64, 4), (64, 8), (256, 4), (256, 16))
"""Triplets in a batch, and micro-batches."""


class Step:
    """One batch of triplets with everything that a step needs."""

    def __init__(self, batch: int, accum_steps: int) -> None:
        config = TrainConfig(batch_size=batch, embedding_dim=128, koleo=True, koleo_weight=0.1)
        half = torch.full((3,), 0.5)
        self.network = build_network(config, shape=(3, 32, 32), mean=half, std=half, precision="float32")
        self.objective = Objective.of(config, classes=torch.arange(10))
        draw = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (batch, 3, 3, 32, 32), generator=draw, dtype=torch.uint8)
        self.labels = torch.randint(0, 10, (batch, 3), generator=draw)
        self.accum_steps = accum_steps

    def loss_of(self, z: Tensor, part: slice) -> Tensor:
        """Triplet loss and KoLeo."""
        labels = self.labels[part]
        draws = self.objective.base.draws(labels.numel(), torch.Generator())
        return self.objective(z, labels, Meter(), draws)

    def run(self, mode: str) -> Tensor:
        """The gradient of one optimiser step; returns the embeddings."""
        self.network.zero_grad(set_to_none=True)
        return accumulated_step(
            self.network, self.images, self.loss_of, accum_steps=self.accum_steps, mode=mode
        ).embeddings


def main() -> None:
    """Print one row per batch size and number of micro-batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="counted steps of each mode (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{machine_class()}; on cpu, {arguments.threads} threads, n = {arguments.rounds} rounds")
    print("ms per step: medians; ratio: median of the rounds' ratios and their range; peak: MiB beyond the start")
    print(f"{'B':>5}{'K':>4}{'naive':>9}{'cached':>9}{'ratio':>8}{'range':>14}{'gap meter':>11}"
          f"{'naive peak':>12}{'cached peak':>13}{'ratio':>8}")  # fmt: skip
    for batch, accum_steps in SIZES:
        peaks = {mode: peak_bytes(batch, accum_steps, mode, arguments.threads) for mode in ("naive", "cached")}
        print(f"{batch:5}{accum_steps:4}{times(batch, accum_steps, arguments.rounds)}"
              f"{peaks['naive'] / 2**20:12.0f}{peaks['cached'] / 2**20:13.0f}{peaks['cached'] / peaks['naive']:8.2f}",
              flush=True)  # fmt: skip
    print(f"targets: time <= {TARGET_TIME}, peak memory <= {TARGET_MEMORY}")


def times(batch: int, accum_steps: int, rounds: int) -> str:
    """The timed columns of one row."""
    step = Step(batch, accum_steps)
    z = step.run("cached")
    kinds: dict[str, Callable[[], object]] = {
        "naive": lambda: step.run("naive"),
        "cached": lambda: step.run("cached"),
        "gap": lambda: measure_gap(z, step.loss_of, accum_steps=accum_steps),
    }
    measured: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(WARM_UP + rounds):
        for kind, run in kinds.items():
            started = time.perf_counter()
            run()
            measured[kind].append(1000 * (time.perf_counter() - started))
    naive, cached, meter = (measured[kind][WARM_UP:] for kind in kinds)
    ratios = sorted(c / n for c, n in zip(cached, naive, strict=True))
    return (
        f"{statistics.median(naive):9.1f}{statistics.median(cached):9.1f}{statistics.median(ratios):8.2f}"
        f"{ratios[0]:8.2f}-{ratios[-1]:.2f}{statistics.median(meter):11.2f}"
    )


def peak_bytes(batch: int, accum_steps: int, mode: str, threads: int) -> int:
    """Peak resident memory of a process of its own that steps in `mode`, beyond what it held before the first step."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_growth, batch, accum_steps, mode, threads).result()


def _growth(batch: int, accum_steps: int, mode: str, threads: int) -> int:
    torch.set_num_threads(threads)
    step = Step(batch, accum_steps)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: imports had a higher one
    before = _kibibytes("VmRSS")
    for _ in range(MEMORY_STEPS):
        step.run(mode)
    return 1024 * (_kibibytes("VmHWM") - before)


def _kibibytes(name: str) -> int:
    """A line of this process's status, on Linux."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    main()
