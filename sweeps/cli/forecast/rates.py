"""How fast this machine trains each kind of trial of a plan, measured in as many processes as there will be trials."""

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.models.network import build_network
from embedding_core.models.pretrained import is_there
from sweeps.cli.forecast.probe import MOST_EPOCHS, shortened
from sweeps.cli.forecast.probe_pool import ProbePool, probe_pool
from sweeps.cli.forecast.workload import Workload, kind_of
from sweeps.design.plan import Plan

PROBE_BATCHES = 5
"""Updates in an epoch of a probe: two epochs hold one reading of the gap meter, as ten updates of a trial do."""

TRAINING_S = 8.0
"""For all kinds together, beside what an epoch of each takes at least."""

LIMIT_S = 40.0
"""After which a kind that is left takes the rate of the most similar one."""

PROBE_VAL_IMAGES = 100
"""Most validation images where it is updates that are timed."""

EVALUATION_FIELDS = ("backbone", "norm_kind", "head", "head_layers", "head_width", "loss", "val_images", "image_size")
"""What an evaluation is dear or cheap by."""

Kind = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Seconds that a trial spends on other things than updates."""

    setup_s: float
    """Before its first."""
    validation_s: float
    """After each epoch."""
    checkpoint_s: float
    """For each that is written: now and then, and at its end."""
    held_out_s: Mapping[str, float] = field(default_factory=dict)
    """At its end in the stage confirm, by `TrainConfig.views`."""
    first_views_s: float = 0.0
    """More, the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Measured with as many trials at once as the sweep will run."""

    images_per_s: Mapping[Kind, float]
    """Of one trial by its kind, see `workload.kind_of`."""
    evaluations: Mapping[Kind, Evaluation]
    """By `evaluation_kind`."""
    process_s: float
    """Until a process has imported what a trial needs and has the data set."""
    host_bytes: int
    gpu_bytes: int
    """At the peak of a process; 0 without a GPU."""


def evaluation_kind(config: TrainConfig) -> Kind:
    """What the seconds of an `Evaluation` follow from."""
    return tuple(getattr(config, name) for name in EVALUATION_FIELDS)


def nearest(kind: Kind, known: Mapping[Kind, Any]) -> Any:
    """What is known of this kind, else of the one that has most in common with it."""
    return known[max(known, key=lambda other: sum(a == b for a, b in zip(kind, other, strict=True)))]


def rates_of(plan: Plan, works: Workload, data: DeviceData, *, at_once: int, cpus: float) -> Rates:
    """Time every kind of trial, those that there are most of first.

    Args:
        plan: whose.
        works: its trials.
        data: its images.
        at_once: trials that will run at once.
        cpus: of each.
    """
    counted: dict[Kind, tuple[TrainConfig, float]] = {}
    for work in (work for stage in works.values() for work in stage):
        kind = kind_of(plan, work.config)
        config, trials = counted.get(kind, (work.config, 0.0))
        counted[kind] = config, trials + work.trials * work.epochs
    ordered = sorted(counted.items(), key=lambda item: -item[1][1])
    with tempfile.TemporaryDirectory() as folder, probe_pool(at_once, cpus) as processes:
        stand_in = StandIn(data, Path(folder))
        started = time.perf_counter()
        first = processes.run(stand_in.config(ordered[0][1][0]), seconds=None)
        process_s = time.perf_counter() - started
        answers = [first]
        images_per_s: dict[Kind, float] = {}
        for kind, (config, _) in ordered:
            if images_per_s and time.perf_counter() - started > process_s + LIMIT_S:
                break
            few = _updates_alone(stand_in.config(config), len(data.split(config).train_examples), data)
            answers.append(processes.run(few, seconds=max(0.25, TRAINING_S / len(ordered))))
            images_per_s[kind] = answers[-1]["images_per_s"]
        evaluations = _evaluations(works, stand_in, processes)
    return Rates(
        images_per_s=images_per_s,
        evaluations=evaluations,
        process_s=process_s,
        host_bytes=int(max(answer["host_bytes"] for answer in answers)),
        gpu_bytes=int(max(answer.get("gpu_bytes", 0) for answer in answers)),
    )


def _evaluations(works: Workload, stand_in: "StandIn", processes: ProbePool) -> dict[Kind, Evaluation]:
    """Each kind once at its real size, on a model that has hardly been trained."""
    found: dict[Kind, Evaluation] = {}
    for work in (work for own in reversed(list(works.values())) for work in own):  # confirm has all that there is
        kind, config = evaluation_kind(work.config), work.config
        if kind in found and config.views in found[kind].held_out_s:
            continue
        if kind in found and not config.eval_test:
            continue
        one_batch = replace(
            shortened(stand_in.config(config), config.batch_size), subset=config.batch_size, epochs=2,
            eval_test=config.eval_test, stop_if_collapsed=False,
        )  # fmt: skip
        answer, first_s = processes.run(one_batch, seconds=math.inf), 0.0
        # The first views measure what raw pixels are worth, once per machine, and a process's first UMAP compiles.
        if config.eval_test and config.views != "none" and answer["held_out_s"] < 2 * LIMIT_S:
            first_s = answer["held_out_s"]
            answer = processes.run(one_batch, seconds=math.inf)
            first_s = max(0.0, first_s - answer["held_out_s"])
        known = found.get(kind)
        parts = {name: answer[name] for name in ("setup_s", "validation_s", "checkpoint_s")}
        held_out = {**(known.held_out_s if known else {})}
        if config.eval_test:
            held_out[config.views] = answer["held_out_s"]
        first_s = max(first_s, known.first_views_s if known else 0.0)
        found[kind] = Evaluation(**parts, held_out_s=held_out, first_views_s=first_s)
    return found


def _updates_alone(config: TrainConfig, examples: int, data: DeviceData) -> TrainConfig:
    """The same training in short epochs without end, with as little validation as there can be."""
    few = max(PROBE_VAL_IMAGES, 4 * len(data.class_names))
    return replace(
        shortened(config, examples),
        subset=min(PROBE_BATCHES * config.batch_size, examples),
        val_images=min(config.val_images, few),
        triplets="disjoint",  # updates cost the same, and `val_images` does not hold for study 1's own protocol
        epochs=MOST_EPOCHS,
        stop_if_collapsed=False,
        views="none",
    )


class StandIn:
    """Puts weights that are drawn in the place of published ones that are not here: nothing is fetched for a plan."""

    def __init__(self, data: DeviceData, folder: Path) -> None:
        self._data, self._folder = data, folder

    def config(self, config: TrainConfig) -> TrainConfig:
        """The same network, whatever its weights."""
        if config.weights != "imagenet" or is_there(config.backbone):
            return config
        file = self._folder / f"{config.backbone}.pt"
        if not file.exists():
            mean, std = self._data.scaling(self._data.split(config), kind=config.input_scaling)
            network = build_network(
                config, shape=self._data.shape, mean=mean, std=std, precision="float32", pretrained=False
            )
            torch.save(network.backbone.state_dict(), file)
        return replace(config, weights=str(file))
