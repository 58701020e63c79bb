"""All that can be checked before the first trial, so that nothing shows after hours."""

import os
from pathlib import Path
from typing import Any

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.errors import Faults
from embedding_core.models.network import build_network
from embedding_core.models.pretrained import is_there
from embedding_core.plugins.builtin import DATASETS
from embedding_core.storage.places import obstacle
from sweeps.cli.batch_guess import fitted, plan_batch_faults
from sweeps.cli.held_out_checks import held_out_faults, lines_on_data
from sweeps.cli.options import Options
from sweeps.cli.plan_checks import config_faults, distinct
from sweeps.cli.rung_checks import rung_faults
from sweeps.design import data_pin, plan_file
from sweeps.design.plan import Plan
from sweeps.doctor import local_ray
from sweeps.engine.machines.cluster import joins_cluster
from sweeps.engine.machines.resources import share_faults
from sweeps.results import frozen
from sweeps.results.files import holds_sweep

READ_BY = ("dataset", "data_root", "image_size", "skip_broken")
NETWORK_FIELDS = ("backbone", "norm_kind", "weights", "input_scaling", "head", "head_layers", "head_width")
"""What decides whether a configuration can run on these data; each combination is tried before the first trial."""


def preflight(plan: Plan, options: Options, folder: Path) -> tuple[Plan, DeviceData]:
    """The plan and its data set, once everything that can be checked before the first trial has been.

    What nobody typed is made to fit the data where a sweep begins: see `batch_guess.fitted`.

    Raises:
        Faults: everything impossible, all at once.
    """
    faults = [*config_faults(plan), *_machine_faults(plan, options), *_start_faults(options)]
    faults += _folder_faults(options, folder)
    data = None
    try:
        own = f"{DATASETS.kind}."  # fields of the plug-in that the set is from
        where = {k: v for k, v in plan.base.items() if k in READ_BY or k.startswith(own)}
        data = DeviceData.load(TrainConfig.from_flat(where), torch.device("cpu"), download=not options.plan)
        plan = plan if options.resume else fitted(plan, data)
        config = TrainConfig.from_flat({**plan.run_base, "seed": plan.block_seed(1)})
        split = data.split(config)
        if "confirm" in plan.stages:
            faults += held_out_faults(plan, data, split)
        faults += [*plan_batch_faults(plan, data), *rung_faults(plan, data)]
        faults += [fault for each in distinct(plan, "duplicates") for fault in data.duplicate_faults(each, split)]
        if options.resume:
            faults += data_pin.change_faults(plan, folder, pinned(plan, data), name=data.name)
        for each in distinct(plan, *NETWORK_FIELDS):
            mean, std = data.scaling(split, kind=each.input_scaling)
            # A plan fetches nothing; weights that are here are looked at.
            wanted = not options.plan or each.weights != "imagenet" or is_there(each.backbone)
            build_network(each, shape=data.shape, mean=mean, std=std, precision="float32", pretrained=wanted)
    except Faults as error:
        faults += error.faults
    if faults or data is None:
        raise Faults(list(dict.fromkeys(faults)))
    return plan, data


def pinned(plan: Plan, data: DeviceData) -> dict[str, Any]:
    """What the sweep's data are, by content: see `data_pin.pin_of`."""
    weights = [config.weights for config in distinct(plan, "weights")]
    return {**data_pin.pin_of(plan, data, weights), frozen.LINES: lines_on_data(plan, data)}


def _machine_faults(plan: Plan, options: Options) -> list[str]:
    """What this machine cannot give; of a cluster only its address, the rest is asked after connecting."""
    if joins_cluster(options.where):
        address = options.where.cluster or ""
        client = f"`{address}` is an address of Ray's client, where no driver runs: submit the sweep as a job instead."
        return [client] if address.startswith("ray://") else []
    gpus, asked = torch.cuda.device_count(), options.request.gpus
    if not gpus and any(config.precision == "tf32" for config in distinct(plan, "precision")):
        return ["`precision` must be float32, bf16 or auto on a machine without a CUDA device, but got tf32."]
    if asked == "auto" and not gpus:
        return ["`--gpus-per-trial auto` tries a trial on a GPU, and this machine has none."]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    this = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus), "memory": float(memory)}
    return share_faults(options.request, [this], gpus=0.0 if asked is None or asked == "auto" else float(asked))


def _start_faults(options: Options) -> list[str]:
    """Why Ray cannot be started on this machine, if it is to be."""
    if options.plan or joins_cluster(options.where):
        return []
    return local_ray.in_the_way(local_ray.before_start())


def _folder_faults(options: Options, folder: Path) -> list[str]:
    """Why no sweep can be written there, asked before Ray starts; `Store.create` makes sure of it."""
    if options.plan:
        return []
    if not options.resume and holds_sweep(folder) and not plan_file.missing(folder):
        return [f"`{folder}` already holds a sweep: continue it with `--resume`, or give another `--name`."]
    hindrance = obstacle(folder)
    if hindrance is not None:
        return [f"`{folder}` cannot be written, because of `{hindrance}`: give another `--results`."]
    return []
