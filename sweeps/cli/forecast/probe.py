"""A few training steps, run to see what they take."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
import torch
from ray.exceptions import GetTimeoutError
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.plugins.sources import Source, in_use, use
from embedding_core.train import pick_device, train
from sweeps.cli.plan_checks import distinct
from sweeps.design.plan import Plan
from sweeps.engine.machines.resources import Request, autoscaled, nodes
from sweeps.engine.machines.room_watch import autoscaler_says, no_room

PROBE_BATCHES = 2

MOST_EPOCHS = 1000
"""Of any probe."""

PROBE_DEADLINE_S = 1800.0
"""For all kinds of trials together, decoding the data set included."""

HEADROOM = 1.15
"""Of the peak that a few steps show: fragmentation, and an evaluation larger than the probe's."""

MEMORY_FIELDS = ("backbone", "norm_kind", "embedding_dim", "loss", "koleo", "batch_size", "accum_steps", "accum_mode")
"""What decides how much memory a trial takes; each combination is tried."""


def shortened(config: TrainConfig, examples: int) -> TrainConfig:
    """The same training on at most two batches an epoch, for two epochs: the first pays for warming up."""
    return replace(
        config,
        subset=min(PROBE_BATCHES * config.batch_size, examples),
        epochs=2,
        batch_sampler="random",  # so few images hold too few classes for P x k
        freeze_epochs=MOST_EPOCHS if config.frozen_throughout else 0,
        unfrozen_lr=None,
        warmup_epochs=0,
        eval_test=False,
    )


def gpu_share(plan: Plan, request: Request, *, room_deadline_s: float) -> float:
    """Share of a GPU that every trial of a plan can do with, found by trying on one that is wholly ours.

    Args:
        plan: whose.
        request: what a trial holds besides.
        room_deadline_s: seconds for which it may wait for a GPU; 0: for ever.

    Raises:
        Faults: no GPU anywhere, none in time, a trial that does not fit on one, or that takes for ever.
    """
    if not any(node.get("GPU") for node in [*nodes(), *autoscaled()]):
        raise Faults(["`--gpus-per-trial auto` tries a trial on a GPU, and the cluster has none."])
    configs = [config.to_flat() for config in distinct(plan, *MEMORY_FIELDS)]
    place = placement_group([{"GPU": 1, "CPU": request.cpus}])
    try:
        try:
            ray.get(place.ready(), timeout=room_deadline_s or None)
        except GetTimeoutError as error:
            raise Faults([no_room(room_deadline_s, autoscaler_says())]) from error
        there = PlacementGroupSchedulingStrategy(place)
        task = ray.remote(num_gpus=1, num_cpus=request.cpus, scheduling_strategy=there)(measure)
        return share_of(*ray.get(task.remote(configs, in_use()), timeout=PROBE_DEADLINE_S))
    except GetTimeoutError as error:
        text = f"`--gpus-per-trial auto` has tried {len(configs)} kinds of trial for {PROBE_DEADLINE_S / 60:g} min"
        raise Faults([f"{text} without an end: give a share, such as .25."]) from error
    finally:
        remove_placement_group(place)


def measure(configs: list[dict[str, Any]], plugins: Sequence[Source] = ()) -> tuple[int, int, int]:
    """Bytes at the peak of the largest of these runs, bytes of the CUDA context, and bytes of the GPU.

    Raises:
        Faults: this process sees no GPU.
    """
    use(plugins)
    if not torch.cuda.is_available():
        raise Faults(["`--gpus-per-trial auto` tries a trial on a GPU, but torch finds no CUDA device there."])
    peak, data = 0, None
    for flat in configs:
        config = TrainConfig.from_flat(flat)
        device = pick_device(config.device)
        if data is None or not data.serves(config, device):
            data = DeviceData.load(config, device)
        for row in train(shortened(config, len(data.split(config).train_examples)), data=data):
            peak = max(peak, int(row["peak_gpu_bytes"] or 0))
    free, total = torch.cuda.mem_get_info()
    return peak, total - free - torch.cuda.memory_reserved(), total


def share_of(peak: int, context: int, total: int) -> float:
    """The smallest 1/n of a GPU that holds a trial.

    Args:
        peak: bytes that torch had allocated at most.
        context: bytes that CUDA takes for each process besides.
        total: bytes of the GPU.

    Raises:
        Faults: it does not fit.
    """
    need = HEADROOM * peak + context
    if need > total:
        raise Faults([f"A trial needs {need / 2**30:.1f} GiB on a GPU of {total / 2**30:.1f} GiB."])
    return 1 / math.floor(total / need)
