"""The one training loop: a generator of rows, read top to bottom.

`python -m embedding_core.train key=value ...` runs one configuration and prints its rows as JSON lines.
"""

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from embedding_core.config.parsing import parse_settings
from embedding_core.config.train_config import SAVE_EVERY_S, TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import batch_faults, fitted_batch, images_per_epoch, order_of
from embedding_core.errors import Faults
from embedding_core.evaluation.collapse import collapsed
from embedding_core.evaluation.held_out import evaluate_held_out
from embedding_core.evaluation.held_out_sets import held_out_images
from embedding_core.evaluation.validation import validation_metrics
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.models.inputs import inputs_of
from embedding_core.models.network import build_network, pooled_in_parts, set_frozen
from embedding_core.models.pretrained import file_sha256
from embedding_core.plugins.sources import use_named
from embedding_core.seeding import generator, stream
from embedding_core.storage import result_tables
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.result_tables import Row
from embedding_core.storage.retry import patiently
from embedding_core.streams import guarded, require_output
from embedding_core.training import checkpoint
from embedding_core.training.accumulation import accumulated_step
from embedding_core.training.accumulation_gap import measure_gap
from embedding_core.training.compiling import compile_network
from embedding_core.training.fingerprint import Observation, observe
from embedding_core.training.network_fingerprint import weights_differences
from embedding_core.training.optimizers import build_optimizer
from embedding_core.training.precision import computed_in, pick_precision
from embedding_core.training.schedules import schedule_of, set_lr
from embedding_core.transforms.recipe import Recipe


def _waited_for(write: Callable[[], None]) -> None:
    """A full disk may be cleared, and an epoch is worth the wait."""
    patiently(write, what="The run cannot be saved", kinds=(StorageError,))


def train(
    config: TrainConfig,
    *,
    resume: Path | None = None,
    save_to: Path | None = None,
    save_every_s: float = SAVE_EVERY_S,
    saving: Callable[[Callable[[], None]], None] | None = None,
    data: DeviceData | None = None,
) -> Iterator[Row]:
    """Train one configuration; yields one row per epoch, the last with an `end_reason`.

    Args:
        config: the run. Same config, machine and thread count, same rows (timing columns aside): on a CPU bit for bit;
            on a GPU as far as its kernels are deterministic.
        resume: checkpoint to go on from; its rows are yielded again first. The rows after it are those of a run that
            was never interrupted.
        save_to: where to write a checkpoint (atomic rename) before the last row is yielded, and before any other that
            comes `save_every_s` after the latest; beside it, with `eval_test`, the longer results on held-out images
            (see `result_tables`).
        save_every_s: seconds, >= 0; 0: before each row.
        saving: is given what writes a file, and calls it, again after a StorageError for as long as it may pass; by
            default for `PATIENCE_S` of `storage`.
        data: the data set, if it is on the device already.

    Raises:
        Faults: data, weights or checkpoint do not fit the config; before the first step.
        StorageError: the checkpoint could not be written; the one before it is as it was.
    """
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    rows = _epochs(
        config,
        device,
        precision,
        resume=resume,
        save_to=save_to,
        save_every_s=save_every_s,
        saving=saving or _waited_for,
        data=data,
    )
    yield from computed_in(precision, rows)


def _epochs(
    config: TrainConfig,
    device: torch.device,
    precision: str,
    *,
    resume: Path | None,
    save_to: Path | None,
    save_every_s: float,
    saving: Callable[[Callable[[], None]], None],
    data: DeviceData | None,
) -> Iterator[Row]:
    """See `train`."""
    if data is None or not data.serves(config, device):
        data = DeviceData.load(config, device)
    split = data.split(config)
    examples = split.train_examples.to(device)
    if faults := [*batch_faults(config, split), *data.duplicate_faults(config, split)]:
        raise Faults(faults)
    # Read before the first step, lest a broken file show at the end; used after the last one.
    test_images = None
    if config.eval_test:
        test_images = held_out_images(data, split, classifiers=config.classifiers, probes=config.probes)

    weights_sha256 = file_sha256(config.weights) if resume is None else None
    mean, std = data.scaling(split, kind=config.input_scaling)
    network = build_network(
        config, shape=data.shape, mean=mean, std=std, precision=precision,
        follows=None if resume is None else checkpoint.read(resume)["network"],
    )  # fmt: skip
    network = network.to(device)
    if config.compile:
        compile_network(
            network, data.shape, device, precision, config.loss, config.batch_size, config.accum_steps,
            config.accum_mode, config.train_last_layer, config.freeze_epochs > 0, config.trains_on_features,
            config.eval_test,
        )  # fmt: skip
    objective = Objective.of(config, classes=split.classes).to(device)
    set_frozen(network, config.frozen_throughout)  # else the optimizer has the backbone too, for when it is trained
    optimizer = build_optimizer(
        network, objective.parameters(), optimizer=config.optimizer, lr=config.lr, weight_decay=config.weight_decay,
        momentum=config.momentum, beta2=config.beta2, backbone_lr_ratio=config.backbone_lr_ratio,
    )  # fmt: skip
    parameters = [*network.parameters(), *objective.parameters()]
    recipe = Recipe.of(config, side=data.shape[-1], flips=data.flips)
    leak_share = 1 - split.leak()["triplets_wholly_unseen"]

    rows: list[Row] = []
    observed: Observation | None = None
    if resume is not None:
        rows = checkpoint.load(resume, config, network, objective, optimizer)
        if rows[-1]["data_sha256"] != data.sha256:
            raise Faults([f"{resume} is a run on other images of `{config.dataset}` than there are now."])
        weights_sha256 = rows[-1].get("weights_sha256")
        yield from rows
        if rows[-1]["end_reason"] is not None:
            return
    # Of a resumed run they have been moved.
    misfits = weights_differences(config, network) if resume is None else ()
    # Only now has the network its weights: features that are computed ahead are of these.
    source = partial(inputs_of, config=config, network=network, recipe=recipe, kept=data.features)
    inputs = source(data)
    inputs.prepare()
    updates = int(rows[-1]["update"] or 0) if rows else 0
    elapsed_s = float(rows[-1]["elapsed_s"] or 0) if rows else 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    saved = time.perf_counter()

    for epoch in range(len(rows), config.epochs):
        started = time.perf_counter()
        # Every stream starts anew each epoch, so an epoch needs no random state from the one before.
        order = order_of(config, split, epoch)
        lr_at = schedule_of(config, updates_per_epoch=math.ceil(len(order) / config.batch_size))
        augmentation = generator(config.seed, "augmentation", epoch, device=device)
        miner = generator(config.seed, "miner", epoch, device=device)
        torch.manual_seed(stream(config.seed, "forward", epoch))  # dropout draws from the global generator
        meter = Meter()
        objective.base.begin_epoch(epoch, config.epochs)
        frozen = epoch < config.freeze_epochs
        set_frozen(network, frozen)
        network.train()
        trained_parameters = [p for p in parameters if p.requires_grad]

        for batch in order.to(device).split(config.batch_size):
            index = examples[batch]
            given = inputs.augmented(index, augmentation)
            labels = data.labels[index]

            def loss_of(
                z: Tensor, part: slice, labels: Tensor = labels, meter: Meter = meter, draw: torch.Generator = miner
            ) -> Tensor:
                draws = objective.base.draws(labels[part].numel(), draw)
                loss: Tensor = objective(z, labels[part], meter, draws)
                return loss

            set_lr(optimizer, lr_at(updates), backbone_lr_ratio=config.backbone_lr_ratio)
            optimizer.zero_grad(set_to_none=True)
            # No more than a micro-batch each, short batch or not.
            accum_steps = math.ceil(len(batch) / config.micro_batch)
            if frozen and config.accum_mode == "cached" and accum_steps > 1:  # once, though the head takes two passes
                given = pooled_in_parts(network, given, examples=config.micro_batch)
            step = accumulated_step(network, given, loss_of, accum_steps=accum_steps, mode=config.accum_mode)
            meter.add("grad_norm", _gradient_norm(trained_parameters), 1.0)
            optimizer.step()
            if accum_steps > 1 and config.gap_every and updates % config.gap_every == 0:
                rehearsal = partial(loss_of, meter=Meter(), draw=generator(config.seed, "gap", updates, device=device))
                gap = measure_gap(step.embeddings, rehearsal, accum_steps=accum_steps)
                for name, value in gap._asdict().items():
                    meter.add(name, value, 1.0)
            updates += 1
            if observed is None:
                observed = observe(
                    config, data=data, split=split, network=network, optimizer=optimizer, objective=objective,
                    order=order, epoch=epoch, step=step, inputs=inputs, weights=misfits,
                )  # fmt: skip

        means = meter.means()  # waits for the device
        trained = time.perf_counter()
        validation = validation_metrics(
            network, objective, data, split, inputs,
            layer=config.held_out_layer, batch_size=config.batch_size, seed=config.seed_of_split,
        )  # fmt: skip
        row: dict[str, Any] = {
            "epoch": epoch + 1,
            "update": updates,
            "images_seen": images_per_epoch(config, split) * (epoch + 1),
            "elapsed_s": 0.0,
            "train_s": trained - started,
            "lr": optimizer.param_groups[0]["lr"],
            **means,
            **objective.base.at_work(),
            "val_leak_share": leak_share,
            **validation,
            "collapsed": False,
            "is_finite": True,
            "end_reason": None,
            "config_sha256": config.sha256,
            "config_seen_sha256": observed.sha256 if observed else None,
            "config_seen_differences": observed.differences if observed else None,
            "data_sha256": data.sha256,
            "weights_sha256": weights_sha256,
            "split_sha256": split.sha256,
            "pairs_sha256": split.pairs_sha256,
            "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "precision_used": precision,
            "cpu_threads": torch.get_num_threads(),
            "peak_gpu_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        }
        rows.append(row)
        row["is_finite"] = all(math.isfinite(v) for v in row.values() if isinstance(v, float))
        if not row["is_finite"]:
            row["end_reason"] = "diverged"
        else:
            row["collapsed"] = collapsed(rows)
            if row["collapsed"] and config.stop_if_collapsed:
                row["end_reason"] = "collapsed"
            elif epoch + 1 == config.epochs:
                row["end_reason"] = "completed"
        elapsed_s += time.perf_counter() - started
        row["elapsed_s"] = elapsed_s
        if row["end_reason"] == "completed" and test_images is not None:  # after the clock: no cost of training
            final = evaluate_held_out(
                network, objective, test_images, source, inputs, layer=config.held_out_layer, seed=config.seed,
                probes=config.probes, classifiers=config.classifiers, views=config.views,
            )  # fmt: skip
            row |= final.row
            if save_to is not None:
                saving(partial(result_tables.write, result_tables.beside(save_to), final.tables))
        due = row["end_reason"] is not None or time.perf_counter() - saved >= save_every_s
        if save_to is not None and due:
            saving(partial(checkpoint.save, save_to, config, network, objective, optimizer, rows))
            saved = time.perf_counter()
        yield row
        if row["end_reason"] is not None:
            return


def pick_device(asked: str) -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`; of CUDA always with its index, for the allocator's sake.

    Raises:
        Faults: no such device here.
    """
    if asked == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    known = re.fullmatch(r"cpu|cuda(?::(\d+))?", asked)
    if known is None:
        raise Faults([f"`device` must be auto, cpu, cuda or cuda:N, but got `{asked}`."])
    devices = torch.cuda.device_count()
    if asked != "cpu" and int(known[1] or 0) >= devices:
        raise Faults([f"`device` must exist, but got `{asked}` and this machine has {devices} CUDA devices."])
    return torch.device("cpu") if asked == "cpu" else torch.device("cuda", int(known[1] or 0))


def _gradient_norm(parameters: list[torch.nn.Parameter]) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def main(argv: list[str]) -> int:
    """Run one configuration from `key=value` arguments; rows go to standard output as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m embedding_core.train", description=main.__doc__)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="TrainConfig fields")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write a checkpoint, at the end and now and then")
    parser.add_argument(
        "--save-every",
        type=float,
        default=SAVE_EVERY_S,
        metavar="S",
        help="seconds between checkpoints; 0: one after each epoch; default: %(default)g",
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE|MODULE",
        help="losses, backbones and data sets of yours, see docs/plugins.md; can be given again",
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on from a checkpoint")
    arguments = parser.parse_args(argv)
    with guarded():
        try:
            use_named(arguments.plugin)
            config = TrainConfig.from_flat(parse_settings(arguments.settings))
            data = DeviceData.load(config, pick_device(config.device))
            for line in (data.told(), data.broken_told(test=config.eval_test)):
                if line:
                    print(f"images: {line}", file=sys.stderr)
            if not any(setting.startswith("batch_size=") for setting in arguments.settings):
                config, line = fitted_batch(config, data.split(config))
                print(f"batch: {line}\n" * bool(line), end="", file=sys.stderr)
            rows = train(
                config, resume=arguments.resume, save_to=arguments.save, save_every_s=arguments.save_every, data=data
            )
            for row in rows:
                # JSON has no NaN; as in the result store, null beside `is_finite` false says it.
                finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
                print(json.dumps(finite), flush=True)
            if arguments.save is None:  # else the rows are in the checkpoint
                require_output()
        except Faults as error:
            print(error, file=sys.stderr)
            return 2
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
