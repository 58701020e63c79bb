"""What exact evaluation over all pairs costs: AUC, recall@k and MAP@R.

    python benchmarks/evaluation.py [--rounds 9] [--slow-rounds 3] [--threads 2] [--auc-only]

float32 embeddings of 128 numbers in 10 classes. Ours and the peer take turns in one process; medians over rounds, the
slow peer with fewer. scikit-learn and the bare sort are handed the scores of all pairs, ours computes them. Where numpy
has an AVX-512 sort, which is quick on some processors and slow on others, the AUC is timed without it as well, in a
process of its own. Peak memory is that of a process of its own, interpreter and libraries included. Targets: AUC at
n = 4,000 >= 20 x faster than scikit-learn, with either sort; n = 20,000 within 2 GiB.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from machine import machine_class
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import roc_auc_score
from torch import Tensor

from embedding_core.metrics import map_at_r, recall_at_k, verification_auc

TARGET_SPEED, TARGET_GIB = 20, 2.0
N, LARGE = 4000, 20_000
DIMENSIONS = 128

MEMORY_CASES = ((LARGE, 10, torch.float32), (LARGE, 2, torch.float64))
"""Rows, classes, precision: two classes have as many positive as negative pairs, the slowest there is."""

WIDE = "X86_V4"
"""What numpy calls the instructions of its AVX-512 sort."""


def main() -> None:
    """Print times, ratios and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds (default: %(default)s)")
    parser.add_argument("--slow-rounds", type=int, default=3, help="of scikit-learn (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--auc-only", action="store_true", help="time the AUC with the sort that numpy picks, no more")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds = arguments.rounds
    if not arguments.auc_only:
        print(f"{machine_class()}; {arguments.threads} threads, n = {rounds} rounds ({arguments.slow_rounds} slow)")
    auc(rounds, arguments.slow_rounds)
    if arguments.auc_only:
        return
    if __cpu_features__[WIDE]:
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": WIDE}
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--auc-only"], env=environment, check=True)
    retrieval(rounds)
    memory(arguments.threads)


def clusters(n: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Embeddings that overlap as those of a network in training do."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    centres = torch.randn(classes, DIMENSIONS, generator=draw)
    return torch.randn(n, DIMENSIONS, generator=draw) + 0.5 * centres[labels], labels


def all_scores(z: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What a peer is handed: whether of one class, and cosine, for each pair."""
    first, second = torch.triu_indices(len(z), len(z), 1)
    unit = F.normalize(z, dim=1)
    return (labels[first] == labels[second]).numpy(), (unit @ unit.T)[first, second].numpy()


def auc(rounds: int, slow_rounds: int) -> None:
    """All-pairs AUC against scikit-learn and a sort, and its growth."""
    z, labels = clusters(N)
    same, scores = all_scores(z, labels)
    few = clusters(N // 4)
    seconds = take_turns(
        rounds,
        {
            "ours": lambda: verification_auc(z, labels),
            "sort": lambda: np.sort(scores),
            "quarter": lambda: verification_auc(*few),
        },
    )
    peer = take_turns(
        slow_rounds, {"ours": lambda: verification_auc(z, labels), "peer": lambda: roc_auc_score(same, scores)}
    )
    speed = peer["peer"] / peer["ours"]
    difference = abs(verification_auc(z, labels) - roc_auc_score(same, scores))
    used = ", ".join(name for name in __cpu_dispatch__ if __cpu_features__[name]) or "baseline"
    print(f"\nAUC over all {len(scores):,} pairs of n = {N:,}: {1000 * seconds['ours']:.0f} ms (numpy uses {used})")
    print(f"  scikit-learn {1000 * peer['peer']:.0f} ms: {speed:.1f} x faster (target: >= {TARGET_SPEED})")
    print(f"  the two AUCs differ by {difference:.0e}")
    print(f"  bare sort of the scores {1000 * seconds['sort']:.0f} ms: {seconds['ours'] / seconds['sort']:.1f} x that")
    print(f"  growth from n = {N // 4:,}: {seconds['ours'] / seconds['quarter']:.1f} x (16 x the pairs)", flush=True)


def retrieval(rounds: int) -> None:
    """Recall and MAP@R against pytorch-metric-learning and a bare product with top-k, and their growth."""
    z, labels = clusters(N)
    few = clusters(N // 4)
    mates = N // 10 - 1

    def bare(k: int) -> None:
        unit = F.normalize(z, dim=1)
        (unit @ unit.T).fill_diagonal_(-torch.inf).topk(k, dim=1)

    print(f"\n{f'n = {N:,}':16}{'ours ms':>10}{'PML ms':>10}{'ratio':>8}{'bare ms':>10}{'ratio':>8}{'growth':>8}")
    cases: list[tuple[str, int, str, Callable[[Tensor, Tensor], float]]] = [
        ("recall@1", 1, "precision_at_1", lambda z, labels: recall_at_k(z, labels, k=1)),
        ("MAP@R", mates, "mean_average_precision_at_r", map_at_r),
    ]
    for name, k, theirs, ours in cases:
        peer = AccuracyCalculator(
            include=(theirs,), k="max_bin_count" if k > 1 else k, knn_func=CustomKNN(CosineSimilarity())
        )
        calls: dict[str, Callable[[], object]] = {
            "ours": lambda ours=ours: ours(z, labels),  # type: ignore[misc]
            "peer": lambda peer=peer: peer.get_accuracy(z, labels),  # type: ignore[misc]
            "bare": lambda k=k: bare(k),  # type: ignore[misc]
            "quarter": lambda ours=ours: ours(*few),  # type: ignore[misc]
        }
        assert abs(ours(z, labels) - peer.get_accuracy(z, labels)[theirs]) < 1e-5
        s = take_turns(rounds, calls)
        print(f"{name:16}{1000 * s['ours']:10.1f}{1000 * s['peer']:10.1f}{s['ours'] / s['peer']:8.2f}"
              f"{1000 * s['bare']:10.1f}{s['ours'] / s['bare']:8.2f}{s['ours'] / s['quarter']:8.1f}")  # fmt: skip
    print("bare: normalise, product, top-k, whole; growth: from a quarter of the rows (16 x the pairs); no target")


def memory(threads: int) -> None:
    """Peak of `verification_auc` at n = 20,000, each case in a process of its own."""
    print(f"\n{f'AUC at n = {LARGE:,}':32}{'seconds':>10}{'peak GiB':>10}{'before':>10}   target: <= {TARGET_GIB} GiB")
    for n, classes, dtype in MEMORY_CASES:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            seconds, before, peak = pool.submit(measure_memory, n, classes, dtype, threads).result()
        label = f"{classes} classes, {str(dtype).removeprefix('torch.')}"
        print(f"{label:32}{seconds:10.1f}{peak:10.2f}{before:10.2f}", flush=True)


def measure_memory(n: int, classes: int, dtype: torch.dtype, threads: int) -> tuple[float, float, float]:
    """Seconds, and peak GiB of this process before and after."""
    torch.set_num_threads(threads)
    z, labels = clusters(n, classes)
    z = z.to(dtype)
    before = peak_gib()
    started = time.perf_counter()
    verification_auc(z, labels)
    return time.perf_counter() - started, before, peak_gib()


def peak_gib() -> float:
    """Largest resident size so far (Linux). `ru_maxrss` would start at that of the process that started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def take_turns(rounds: int, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each call; one round beforehand is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


if __name__ == "__main__":
    main()
