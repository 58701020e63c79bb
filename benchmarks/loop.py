"""What the training loop costs beyond forward, loss, backward and step.

    python benchmarks/loop.py [--rounds 15] [--device cpu] [--threads 1]

Peer: a bare loop over batches that are ready (gathered and augmented beforehand), with the same network, loss and
optimiser. Loop and peer take turns in one process, an epoch each; medians over rounds. The target is a ratio <= 1.10.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from machine import machine_class
from torch import Tensor

from embedding_core.config.data_root import resolve_root
from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.losses.functional import koleo, triplet_margin
from embedding_core.losses.objective import Objective
from embedding_core.metrics.meter import Meter
from embedding_core.models.network import build_network
from embedding_core.seeding import generator
from embedding_core.train import pick_device, train
from embedding_core.training.optimizers import build_optimizer
from embedding_core.training.precision import pick_precision
from embedding_core.transforms.recipe import Recipe

TARGET = 1.10
WARM_UP = 2
"""Epochs not counted."""


def main() -> None:
    """Print one row per data set and KoLeo setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="counted epochs of loop and peer (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="default: CUDA if there is one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    print(f"{machine_class()}; on {device.type}, {torch.get_num_threads()} threads, n = {arguments.rounds} rounds")
    print("ms per update of 64 triplets: medians; ratio: median of the rounds' ratios and their range")
    print(f"{'':24}{'loop':>8}{'bare':>8}{'ratio':>8}{'range':>14}{'prepare':>10}{'terms':>8}{'norm':>8}")
    for name in ("digits", "32x32 colour"):
        for settings in ({}, {"koleo": True, "koleo_weight": 0.1}):
            config = TrainConfig.from_flat(
                {"dataset": name, "device": arguments.device, "epochs": WARM_UP + arguments.rounds, **settings}
            )
            data = DeviceData.load(config, device) if name == "digits" else noise(name, device)
            label = f"{name}, KoLeo {'on' if config.koleo else 'off'}"
            print(f"{label:24}{compare(config, data)}", flush=True)
    print(f"target: ratio <= {TARGET}. prepare: gather and augment; terms: loss, its terms and meter beyond the bare "
          "loss; norm: gradient norm.")  # fmt: skip


def noise(name: str, device: torch.device) -> DeviceData:
    """1,000 images of CIFAR-10's size, 320 training triplets."""
    draw = generator(0, "benchmark")
    images = torch.randint(0, 256, (1000, 3, 32, 32), generator=draw, dtype=torch.uint8)
    labels = torch.arange(1000) % 10
    return DeviceData(
        name=name,
        root=str(resolve_root(None)),
        image_size=None,
        device=device,
        images=images.to(device),
        labels=labels.to(device),
        sha256="noise",
        test_file_size=None,
    )


def compare(config: TrainConfig, data: DeviceData) -> str:
    """One line of the table."""
    bare = Bare(config, data)
    loops, bares = [], []
    updates = 0
    for row in train(config, data=data):
        loops.append(row["train_s"] / (row["update"] - updates))
        updates = row["update"]
        bares.append(timed(bare.epoch, data.device) / len(bare.batches))
    loops, bares = loops[WARM_UP:], bares[WARM_UP:]
    ratios = sorted(a / b for a, b in zip(loops, bares, strict=True))
    parts = [statistics.median(timed(part, data.device) for _ in loops) for part in bare.parts()]
    prepare, terms, plain, norm = (1000 * seconds / len(bare.batches) for seconds in parts)
    return (
        f"{1000 * statistics.median(loops):8.2f}{1000 * statistics.median(bares):8.2f}{statistics.median(ratios):8.3f}"
        f"{ratios[0]:8.3f}-{ratios[-1]:.3f}{prepare:10.2f}{terms - plain:8.2f}{norm:8.2f}"
    )


def timed(run: Callable[[], None], device: torch.device) -> float:
    """Seconds until the device is done."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


class Bare:
    """The peer, and the parts of the loop that it leaves out."""

    def __init__(self, config: TrainConfig, data: DeviceData) -> None:
        split = data.split(config)
        mean, std = data.scaling(split)
        precision = pick_precision(config.precision, data.device)
        network = build_network(config, shape=data.shape, mean=mean, std=std, precision=precision)
        self.config, self.data = config, data
        self.network = network.to(data.device).train()
        self.objective = Objective.of(config, classes=split.classes)
        self.optimizer = build_optimizer(network, self.objective.parameters(), optimizer=config.optimizer, lr=config.lr)
        self.triplets = split.train_examples.to(data.device)
        self.recipe = Recipe.of(config, side=data.shape[-1], flips=data.flips)
        self.batches = list(self.prepared())
        self.embedded = [self.network(images).detach() for images, _ in self.batches]

    def prepared(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of an epoch's batches."""
        order = torch.randperm(len(self.triplets), generator=generator(0, "order", 0)).to(self.data.device)
        draw = generator(0, "augmentation", 0, device=self.data.device)
        for batch in order.split(self.config.batch_size):
            index = self.triplets[batch]
            images = self.recipe.apply(self.data.images[index.flatten()], draw)
            yield images.unflatten(0, index.shape), self.data.labels[index]

    def loss(self, z: Tensor) -> Tensor:
        """The loss alone, without anything to report."""
        margin, distance = self.config.margin, self.config.distance
        loss = triplet_margin(z[:, 0], z[:, 1], z[:, 2], margin=margin, distance=distance)
        if self.config.koleo_weight is not None:
            loss = loss + self.config.koleo_weight * koleo(z.flatten(0, 1))
        return loss

    def epoch(self) -> None:
        """Forward, loss, backward, step."""
        for images, _ in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.network(images)).backward()
            self.optimizer.step()

    def parts(self) -> tuple[Callable[[], None], ...]:
        """Preparation; loss with its terms; loss alone; gradient norm: each for an epoch's batches."""

        def prepare() -> None:
            for _ in self.prepared():
                pass

        def terms() -> None:
            meter, draw = Meter(), generator(0, "miner")
            drawn = self.objective.base.draws
            for z, (_, labels) in zip(self.embedded, self.batches, strict=True):
                self.objective(z, labels, meter, drawn(labels.numel(), draw))
            meter.means()

        def plain() -> None:
            for z in self.embedded:
                self.loss(z)

        def norm() -> None:
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            for _ in self.batches:
                torch.nn.utils.get_total_norm(gradients)

        return prepare, terms, plain, norm


if __name__ == "__main__":
    main()
