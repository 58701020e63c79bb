"""Training on features of a frozen backbone: how fast, and how long a run of study 1's size takes.

    python benchmarks/features.py [--rounds 5] [--epochs 15]

Drawn features of the size that EfficientNet-Lite0 has for CIFAR-10 (50,000 x 1,280) stand in for computed ones, so that
neither images nor weights are needed; one thread. `train()` is timed by the row, training and validation apart, with
as many triplets as study 1 had and a tenth of them. Targets: 20,000 images/s with a linear head; study 1's run within
60 s; validation within 5 % of an epoch.
"""

import argparse
import statistics
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from machine import machine_class

from embedding_core.config.data_root import resolve_root
from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation.feature_sets import missing_features
from embedding_core.train import train

CIFAR10 = 50_000
CONFIG = TrainConfig(
    dataset="drawn", backbone="efficientnet_lite0", norm_kind="batch", input_scaling="imagenet", freeze_epochs=10_000,
    val_share=0.05, embedding_dim=128, loss="triplet",
)  # fmt: skip
KOLEO: dict[str, Any] = {"koleo": True, "koleo_weight": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "linear head": {},
    "linear head, KoLeo": KOLEO,
    "linear head, KoLeo, K = 4": {**KOLEO, "accum_steps": 4},
    "linear head, semi-hard, KoLeo": {**KOLEO, "loss": "semihard"},
    "MLP head, KoLeo": {**KOLEO, "head": "mlp"},
}
TENTH: dict[str, Any] = {"subset": 7125, "val_images": 1000}
"""As preset `features` has it, which runs for 5 epochs."""


def main() -> None:
    """Print a table of rates, then the time of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted epochs of each case (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="of the whole runs (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = drawn()
    print(f"{machine_class()}; 1 thread, n = {arguments.rounds} epochs of 7,125 examples after one not counted")
    print(f"{'':32}{'images/s':>10}{'range':>18}{'validation':>12}")
    for name, settings in CASES.items():
        rates, shares = measured(replace(CONFIG, **TENTH, **settings, epochs=1 + arguments.rounds), data)
        low, high = min(rates), max(rates)
        print(f"{name:32}{statistics.median(rates):>10,.0f}{f'{low:,.0f} to {high:,.0f}':>18}"
              f"{statistics.median(shares):>12.1%}", flush=True)  # fmt: skip
    for name, size, epochs in (("study 1's run", {}, arguments.epochs), ("a tenth of it", TENTH, 5)):
        config = replace(CONFIG, **size, **KOLEO, epochs=epochs)
        started = time.perf_counter()
        rows = list(train(config, data=data))
        print(f"{name}: {config.epochs} epochs, {rows[-1]['images_seen']:,} images, validated on {config.val_images:,} "
              f"images after each: {time.perf_counter() - started:.1f} s", flush=True)  # fmt: skip
    print("targets: 20,000 images/s with a linear head; study 1's run <= 60 s; validation <= 5 %")


def drawn() -> DeviceData:
    """A set of CIFAR-10's size whose images nobody looks at."""
    images = torch.zeros(1, 3, 128, 128, dtype=torch.uint8).expand(CIFAR10, -1, -1, -1)
    labels = torch.arange(CIFAR10) % 10
    cpu = torch.device("cpu")
    return DeviceData("drawn", str(resolve_root(None)), None, cpu, images, labels, "drawn", test_file_size=10_000)


def measured(config: TrainConfig, data: DeviceData) -> tuple[list[float], list[float]]:
    """Images per second of training and validation's share of the time, by epoch; the first is not counted."""
    for features in missing_features(config, data, precision="float32"):
        features.stand_in()
    rows, rates, shares = list(train(config, data=data)), [], []
    for before, row in pairwise(rows):
        loop = row["elapsed_s"] - before["elapsed_s"]
        rates.append((row["images_seen"] - before["images_seen"]) / row["train_s"])
        shares.append(1 - row["train_s"] / loop)
    return rates, shares


if __name__ == "__main__":
    main()
