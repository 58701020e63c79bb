"""What a plan will cost, before it runs: trials, images, and from one timed moment of training also time."""

import math
import os
import resource
from collections import Counter

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.models.network import build_network
from embedding_core.train import pick_device, train
from sweeps.cli.probe import share_of, shortened
from sweeps.design.plan import Plan
from sweeps.design.plan_file import content_of
from sweeps.design.planned_counts import planned_trials
from sweeps.engine.resources import DEFAULT_GPU_SHARE, Request

CONTEXT_BYTES = 600 * 2**20
"""What CUDA takes for a process, about; the sweep itself measures it."""

OPTIMIZER_COPIES = 3
"""A checkpoint holds the weights and Adam's two moments."""


def forecast(plan: Plan, data: DeviceData, request: Request) -> str:
    """The plan as text. Time is extrapolated from a probe of a few training steps on this machine."""
    config = TrainConfig.from_flat({**plan.base, "seed": plan.block_seed(1)})
    split = data.split(config)
    images = images_per_epoch(config, split) * config.epochs
    planned = Counter(planned_trials(content_of(plan, plan.design.name)))
    rate, validation_s, peak_bytes = _probe(config, data, request)
    concurrent = _concurrent(request, peak_bytes)
    # Trials on CPUs of their own add up; those that share a GPU share its rate.
    together = max(1, torch.cuda.device_count()) if peak_bytes else concurrent
    train_s = planned.total() * (images / rate + config.epochs * validation_s)
    embedded = len(split.test) + len(split.unseen) + (len(split.train) if config.classifiers else 0)
    held_out_s = planned["confirm"] * validation_s * embedded / len(split.val)
    views = plan.base.get("views", "all") != "none"
    extras = {"views of a block": views, "probes": config.probes > 0, "fitted classifiers": config.classifiers}
    on_top = ", ".join(name for name, wanted in extras.items() if wanted and planned["confirm"])
    mean, std = data.scaling(split)
    network = build_network(config, shape=data.shape, mean=mean, std=std, precision="float32")
    checkpoint_bytes = 4 * OPTIMIZER_COPIES * sum(p.numel() for p in network.parameters())
    best_of_search = len(plan.design.arms) if planned["search"] else 0
    best_of_tune = len(plan.factorial.distinct) if planned["tune"] else 0
    kept = best_of_search + best_of_tune + planned["confirm"] + concurrent
    host_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = f"{host_bytes / 2**20:,.0f} MiB" + (f", {peak_bytes / 2**20:,.0f} MiB on the GPU" if peak_bytes else "")
    pace = f"{concurrent} at once, {rate:,.0f} images/s " + (
        "when one has a GPU alone, counted for all that share it" if peak_bytes else "each when probed"
    )
    return "\n".join(
        [
            plan.design.question,
            f"data set:  {config.dataset}, {len(data.labels):,} images, batch {config.batch_size}",
            *(f"{stage + ':':<10} {n} trials, at most {n * images:,} images" for stage, n in planned.items() if n),
            f"time:      about {(train_s + held_out_s) / together / 60:,.1f} min on this machine ({pace})"
            + (f"; not counted: {on_top}" if on_top else ""),
            f"memory:    {memory} per trial process (this probe's peak)",
            f"disk:      at most {kept * checkpoint_bytes / 2**20:,.0f} MiB of checkpoints",
        ]
    )


def _probe(config: TrainConfig, data: DeviceData, request: Request) -> tuple[float, float, int | None]:
    """Images per second of one trial's share of this machine, seconds of a validation, peak bytes on its GPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, math.floor(request.cpus)))
    config = shortened(config, len(data.split(config).train_examples))
    device = pick_device(config.device)
    try:
        rows = list(train(config, data=data if device.type == "cpu" else None))
    finally:
        torch.set_num_threads(threads)
    train_s, peak = rows[-1]["train_s"], rows[-1]["peak_gpu_bytes"]
    until = [row["elapsed_s"] for row in rows]
    assert isinstance(train_s, float)
    assert isinstance(until[0], float)
    assert isinstance(until[1], float)
    assert peak is None or isinstance(peak, int)
    return images_per_epoch(config, data.split(config)) / train_s, until[1] - until[0] - train_s, peak


def _concurrent(request: Request, peak_bytes: int | None) -> int:
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    fit = max(1, int(cpus / request.cpus))
    share = request.gpus
    if share == "auto":
        total = torch.cuda.mem_get_info()[1] if gpus else 0
        share = share_of(peak_bytes, CONTEXT_BYTES, total) if peak_bytes else 0.0
    elif share is None:
        share = DEFAULT_GPU_SHARE
    if gpus and share:
        fit = max(1, min(fit, int(gpus / share)))
    return min(fit, request.most or fit)
