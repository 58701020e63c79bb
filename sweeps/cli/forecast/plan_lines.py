"""What a plan will cost and can tell, before it runs: trials, images, time, memory, disk and power."""

import os
import tempfile
from pathlib import Path

import torch

from embedding_core.config.train_config import SAVE_EVERY_S
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.models.network import build_network, set_frozen
from embedding_core.models.pretrained import come_by, is_there
from embedding_core.storage.local_cache import cache_dir
from embedding_core.wording import plural
from sweeps.cli import feature_cache
from sweeps.cli.forecast.duration import Duration, duration_of
from sweeps.cli.forecast.probe import MEMORY_FIELDS, measure, share_of
from sweeps.cli.forecast.rates import Rates, StandIn, rates_of
from sweeps.cli.forecast.workload import Workload, kind_of, workload_of
from sweeps.cli.held_out_checks import lines_on_data
from sweeps.cli.plan_checks import distinct
from sweeps.design.plan import Plan
from sweeps.engine.machines.resources import DEFAULT_GPU_SHARE, Request, Slots
from sweeps.results.durations import time_text

OPTIMIZER_COPIES = 3
"""A checkpoint holds the weights and Adam's two moments."""


def forecast(plan: Plan, data: DeviceData, request: Request, *, save_every_s: float = SAVE_EVERY_S) -> list[str]:
    """The plan as lines of text. What time is reckoned from is measured on this machine, in some seconds."""
    works = workload_of(plan)
    at_once = trials_at_once(plan, data, request)
    with tempfile.TemporaryDirectory() as folder:
        wanted = feature_cache.missing(plan, data, StandIn(data, Path(folder)).config)
        features_s, kept_bytes = feature_cache.seconds_and_bytes(wanted)
    rates = rates_of(plan, works, data, at_once=at_once, cpus=request.cpus)
    duration = duration_of(
        plan, works, rates, lambda config: images_per_epoch(config, data.split(config)), at_once=at_once,
        features_s=features_s, save_every_s=save_every_s,
    )  # fmt: skip
    config = next(iter(works.values()))[0].config
    kinds = len({kind_of(plan, work.config) for own in works.values() for work in own})
    memory = f"{rates.host_bytes / 2**20:,.0f} MiB"
    memory += f", {rates.gpu_bytes / 2**20:,.0f} MiB on the GPU" if rates.gpu_bytes else ""
    return [
        f"data set:  {config.dataset}, {len(data.labels):,} images, batch {config.batch_size}",
        *lines_on_data(plan, data),
        *_stage_lines(works, data),
        *_weights_lines(plan),
        *_drawn_lines(plan),
        *_time_lines(duration, rates, at_once, kinds),
        f"memory:    {memory} per trial process (the probe's peak)",
        f"disk:      at most {_disk_bytes(plan, works, data, at_once) / 2**20:,.0f} MiB of checkpoints"
        + (f", and {kept_bytes / 2**20:,.0f} MiB of features that stay in {cache_dir()}" if kept_bytes else ""),
    ]


def trials_at_once(plan: Plan, data: DeviceData, request: Request) -> int:
    """Trials that this machine will run at once, as the engine counts them."""
    gpus, share = torch.cuda.device_count(), request.gpus
    if share == "auto":
        with tempfile.TemporaryDirectory() as folder:
            stand_in = StandIn(data, Path(folder))
            configs = [stand_in.config(config).to_flat() for config in distinct(plan, *MEMORY_FIELDS)]
            share = share_of(*measure(configs))
    elif share is None:
        share = DEFAULT_GPU_SHARE if gpus else 0.0
    slots = Slots(cpus=request.cpus, gpus=float(share), memory=int((request.memory_gib or 0) * 2**30))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    room = max(1, slots.fit([{"CPU": float(os.cpu_count() or 1), "GPU": float(gpus), "memory": float(memory)}]))
    return min(room, request.most or room)


def _stage_lines(works: Workload, data: DeviceData) -> list[str]:
    """Trials and images of each stage; where ASHA stops trials, what is expected and what is the most."""
    lines = []
    for stage, own in works.items():
        of_epoch = [work.trials * images_per_epoch(work.config, data.split(work.config)) for work in own]
        most = sum(images * work.config.epochs for images, work in zip(of_epoch, own, strict=True))
        expected = sum(images * work.epochs for images, work in zip(of_epoch, own, strict=True))
        about = f", about {_two_digits(expected)} as ASHA stops some" if expected < most - 0.5 else ""
        trials = round(sum(work.trials for work in own))
        lines.append(f"{stage + ':':<10} {plural(trials, 'trial')}, at most {round(most):,} images{about}")
    return lines


def _weights_lines(plan: Plan) -> list[str]:
    """What would have to be fetched first."""
    wanted = {config.backbone for config in distinct(plan, "backbone", "weights") if config.weights == "imagenet"}
    return [
        f"weights:   ImageNet weights of {name} are not on this machine: {come_by(name)} (the plan's time is for "
        "random weights)"
        for name in sorted(wanted)
        if not is_there(name)
    ]


def _drawn_lines(plan: Plan) -> list[str]:
    """What is not reckoned with: features that every block computes anew."""
    drawn = [c for c in distinct(plan, *feature_cache.FEATURE_FIELDS) if c.trains_on_features and c.weights == "none"]
    return ["features:  of weights that are drawn, others in every block: computed and kept for each; not in the time"
            ] if drawn else []  # fmt: skip


def _time_lines(duration: Duration, rates: Rates, at_once: int, kinds: int) -> list[str]:
    """`kinds`: of trials that there are; on a slow machine not all of them were timed."""
    slowest, fastest = min(rates.images_per_s.values()), max(rates.images_per_s.values())
    pace = f"{slowest:,.0f}" if f"{slowest:,.0f}" == f"{fastest:,.0f}" else f"{slowest:,.0f} to {fastest:,.0f}"
    timed = len(rates.images_per_s)
    untimed = (
        f"; {timed} of {kinds} kinds of trials timed, the others taken for the most similar" if timed < kinds else ""
    )
    most = duration.most_s > duration.total_s * 1.02
    features = {"features (once for this machine)": duration.features_s} if duration.features_s else {}
    parts = {**features, "start": duration.start_s, **duration.stages, "report": duration.report_s}
    return [
        f"time:      about {time_text(duration.total_s)} on this machine"
        + (f", at most about {time_text(duration.most_s)}" if most else "")
        + f" ({plural(at_once, 'trial')} at once, {pace} images/s each{untimed})",
        "           " + ", ".join(f"{name} {time_text(seconds)}" for name, seconds in parts.items()),
    ]


def _disk_bytes(plan: Plan, works: Workload, data: DeviceData, at_once: int) -> int:
    """Checkpoints that are kept, and those at work."""
    config = next(iter(works.values()))[0].config
    mean, std = data.scaling(data.split(config), kind=config.input_scaling)
    network = build_network(config, shape=data.shape, mean=mean, std=std, precision="float32", pretrained=False)
    set_frozen(network, config.frozen_throughout)
    of_one = 4 * sum((OPTIMIZER_COPIES if p.requires_grad else 1) * p.numel() for p in network.parameters())
    best_of_search = len(plan.design.arms) if "search" in works else 0
    best_of_tune = plan.replicates * len(plan.factorial.distinct) if "tune" in works else 0
    confirmed = round(sum(work.trials for work in works.get("confirm", ())))
    return of_one * (best_of_search + best_of_tune + confirmed + at_once)


def _two_digits(value: float) -> str:
    """12,345 -> 12,000."""
    return f"{float(f'{value:.1e}'):,.0f}"
