"""What the loop does on a CUDA GPU, without Ray: `make gpu`, under eight minutes.

    python benchmarks/gpu.py [--device cuda] [--updates 150]

Prints images/s of `train()` beside a bare loop (eager and compiled), images/s of 1, 2 and 4 processes on one GPU,
cached beside naive accumulation (time, peak memory), TF32 and bf16 beside float32 (validation AUC, loss), a head on
cached features beside one on a frozen network, and how often the host waits for the device. Images are noise of
CIFAR-10's size with a class-dependent brightness, so that there is something to learn. Without a GPU it says so and
exits with 0.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from unittest import mock

import torch
from loop import Bare, timed
from machine import machine_class

from embedding_core.config.data_root import resolve_root
from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation.feature_sets import missing_features
from embedding_core.metrics.meter import Meter
from embedding_core.models.frozen_features import announced
from embedding_core.seeding import generator
from embedding_core.storage.result_tables import Row
from embedding_core.train import pick_device, train
from embedding_core.training.accumulation import accumulated_step
from embedding_core.wording import plural

IMAGES = 20_000
CLASSES = 10
EPOCHS = 4
"""The first is not counted: it pays for warming up and, compiled, for compiling."""


def synthetic(device: torch.device, images: int = IMAGES, side: int = 32) -> DeviceData:
    """uint8 noise, brighter from class to class."""
    labels = torch.arange(images) % CLASSES
    pixels = torch.randint(0, 128, (images, 3, side, side), generator=generator(0, "benchmark"), dtype=torch.uint8)
    pixels += (labels * 12).to(torch.uint8)[:, None, None, None]
    root = str(resolve_root(None))
    return DeviceData(
        name="synthetic",
        root=root,
        image_size=None,
        device=device,
        images=pixels.to(device),
        labels=labels.to(device),
        sha256=f"{images} x {side} x {side}",
        test_file_size=None,
    )


def config_of(updates: int, device: str, backbone: str) -> TrainConfig:
    """Batch 64, `updates` optimiser steps an epoch."""
    network = {"backbone": backbone, "norm_kind": "none", "embedding_dim": 128}
    fixed = {"dataset": "synthetic", "device": device, "epochs": EPOCHS, "subset": 64 * updates}
    return TrainConfig.from_flat({**network, **fixed})


def rate(rows: list[Row], config: TrainConfig) -> float:
    """Median images per second of the epochs after the first."""
    assert config.subset is not None
    return config.views_per_example * config.subset / statistics.median(float(row["train_s"] or 0) for row in rows[1:])


def loop_against_bare(config: TrainConfig, data: DeviceData) -> None:
    """Images/s of `train()` and of forward, loss, backward, step on batches that are ready."""
    for compiled in (False, True):
        rows = list(train(replace(config, compile=compiled), data=data))
        bare = Bare(config, data)
        if compiled:
            bare.network.compile()
        bare.epoch()
        seconds = statistics.median(timed(bare.epoch, data.device) for _ in range(EPOCHS - 1))
        peer = config.views_per_example * len(bare.batches) * config.batch_size / seconds
        ours = rate(rows, config)
        kind = "compiled" if compiled else "eager"
        print(f"{kind:10} train() {ours:10,.0f} images/s   bare {peer:10,.0f}   bare / train() {peer / ours:.3f}")


def packing(config: TrainConfig) -> None:
    """Images/s of 1, 2 and 4 processes that share the device; on the CPU no more than it has cores."""
    assert config.subset is not None
    alone = 0.0
    most = 4 if config.device != "cpu" else len(os.sched_getaffinity(0))
    for processes in (n for n in (1, 2, 4) if n <= most):
        command = [
            sys.executable,
            __file__,
            "--device",
            config.device,
            "--updates",
            str(config.subset // 64),
            "--backbone",
            config.backbone,
            "--worker",
        ]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        outputs = [worker.communicate()[0] for worker in workers]
        if any(worker.returncode for worker in workers):
            raise RuntimeError(f"A packed process failed: {[worker.returncode for worker in workers]}.")
        rates = [float(output) for output in outputs]
        alone = alone or sum(rates)
        print(f"{plural(processes, 'process')} {sum(rates):10,.0f} images/s in all, {sum(rates) / alone:.2f} x one")


def worker(config: TrainConfig, data: DeviceData) -> None:
    """One of the packed processes: prints its images/s."""
    print(rate(list(train(config, data=data)), config))


def accumulation(config: TrainConfig, data: DeviceData) -> None:
    """Time and peak memory of cached beside naive accumulation, KoLeo on, K = 4."""
    settings = {"koleo": True, "koleo_weight": 0.1, "accum_steps": 4}
    measured = {}
    for mode in ("naive", "cached"):
        chosen = TrainConfig.from_flat({**config.to_flat(), **settings, "accum_mode": mode})
        measured[mode] = (rate(list(train(chosen, data=data)), chosen), peak_of_a_step(chosen, data))
        print(f"{mode:10} {measured[mode][0]:10,.0f} images/s   peak {measured[mode][1] / 2**20:8,.0f} MiB")
    (naive, naive_bytes), (cached, cached_bytes) = measured["naive"], measured["cached"]
    memory = f"{cached_bytes / naive_bytes:.2f} x" if naive_bytes else "not measured"
    print(f"cached / naive: step time {naive / cached:.2f} x, peak memory {memory}")


def peak_of_a_step(config: TrainConfig, data: DeviceData) -> float:
    """Bytes that one optimiser step needs beyond weights and data, at its peak; validation, which needs more, apart."""
    bare = Bare(config, data)
    images, labels = bare.batches[0]
    if data.device.type != "cuda":
        return 0.0
    draw = generator(0, "miner", device=data.device)
    before = torch.cuda.memory_allocated(data.device)
    torch.cuda.reset_peak_memory_stats(data.device)
    accumulated_step(
        bare.network,
        images,
        lambda z, part: bare.objective(z, labels[part], Meter(), bare.objective.base.draws(labels[part].numel(), draw)),
        accum_steps=config.accum_steps,
        mode=config.accum_mode,
    )
    return float(torch.cuda.max_memory_allocated(data.device) - before)


def precision(config: TrainConfig, data: DeviceData) -> None:
    """Validation AUC and training loss of a bf16 backbone and, where there is any, of TF32 beside float32."""
    for kind in ("float32", "tf32", "bf16") if data.device.type == "cuda" else ("float32", "bf16"):
        chosen = replace(config, precision=kind)
        rows = list(train(chosen, data=data))
        auc, loss = rows[-1]["val_auc"], rows[-1]["loss_total"]
        print(f"{kind:10} {rate(rows, chosen):10,.0f} images/s   val AUC {auc:.4f}   loss {loss:.4f}")


def synchronisations(config: TrainConfig, data: DeviceData) -> None:
    """How often the host waits for the device per update: epochs of two lengths, so that what an epoch needs drops out.

    torch warns of every wait it knows of while the debug mode is on; the gap meter is on too.
    """
    assert config.subset is not None
    settings = {"koleo": True, "koleo_weight": 0.1, "accum_steps": 4, "gap_every": 1, "epochs": 1}
    for mode in ("naive", "cached"):
        waits = []
        for subset in (config.subset // 2, config.subset):
            chosen = TrainConfig.from_flat({**config.to_flat(), **settings, "accum_mode": mode, "subset": subset})
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                torch.cuda.set_sync_debug_mode("warn")
                try:
                    list(train(chosen, data=data))
                finally:
                    torch.cuda.set_sync_debug_mode("default")
            waits.append(sum("synchroniz" in str(warning.message) for warning in caught))
        updates = (config.subset - config.subset // 2) / config.batch_size
        print(f"{mode:10} {(waits[1] - waits[0]) / updates:.2f} waits per update, {waits[0]} in an epoch's own work")


def frozen_backbone(config: TrainConfig, data: DeviceData) -> None:
    """A linear head on features that are computed ahead, beside one on a frozen network that sees every image again."""
    chosen = replace(config, backbone="efficientnet_lite0", norm_kind="batch", freeze_epochs=config.epochs)
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"EMBED_CACHE_DIR": cache}):
        started = time.perf_counter()
        for features in missing_features(chosen, data, precision="float32"):
            features.compute(announced)
        seconds = time.perf_counter() - started
        print(f"features   {len(data.images) / seconds:10,.0f} images/s into the cache, {data.shape[-1]} pixels a side")
        head = list(train(chosen, data=data))
    network = list(train(replace(chosen, feature_views=0), data=data))
    ours, frozen = rate(head, chosen), rate(network, chosen)
    apart = max(abs(a["loss_total"] - b["loss_total"]) for a, b in zip(head, network, strict=True))
    rates = f"{ours:10,.0f} images/s, on the frozen network {frozen:10,.0f}: {ours / frozen:.1f} x"
    print(f"linear head on features {rates}; losses at most {apart:.1e} apart")


def main(argv: list[str]) -> int:
    """Print the six tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="default: %(default)s; cpu runs the same logic, slowly")
    parser.add_argument("--updates", type=int, default=150, help="optimiser steps an epoch (default: %(default)s)")
    parser.add_argument("--backbone", default="vgg11", help="without normalisation (default: %(default)s)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("Skipped: torch finds no CUDA device here.")
        return 0
    config = config_of(arguments.updates, arguments.device, arguments.backbone)
    device = pick_device(config.device)
    data = synthetic(device, images=max(IMAGES if device.type == "cuda" else 0, 64 * arguments.updates * 4))
    if arguments.worker:
        worker(config, data)
        return 0
    started = time.perf_counter()
    print(
        f"{machine_class()}; {arguments.backbone} on 32x32, batch 64 triplets, "
        f"{arguments.updates} updates an epoch, n = {EPOCHS - 1}"
    )
    loop_against_bare(config, data)
    packing(config)
    accumulation(config, data)
    precision(config, data)
    frozen_backbone(config, synthetic(device, images=len(data.images), side=64))
    if device.type == "cuda":
        synchronisations(config, data)
    print(f"{time.perf_counter() - started:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
