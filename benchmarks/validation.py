"""What validation costs beside training, preset by preset, and how sure it is of what settings are chosen by.

    python benchmarks/validation.py [--rounds 5] [--draws 20] [--errors] [--only DESIGN/PRESET] [--val-images N]

One thread. Of each preset that trains a small network from scratch, its first cell trains and validates for some epochs
on a few batches; the time of a whole epoch follows from the images in it. The others need a GPU, weights or hours: of
those, the images are counted. The target is a share <= 5 %.

With `--errors`, the network is trained for an epoch and embeds images that it was not trained on; the measure that the
preset chooses by is taken of many draws of them, of as many images as it validates on and of 2,500, the default. What
it varies by is its sampling error, with one network.
"""

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from machine import machine_class
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.data.splits import split
from embedding_core.embed import load_model
from embedding_core.errors import Faults
from embedding_core.evaluation.embedding import embed
from embedding_core.evaluation.rows import LEAVE_ONE_OUT_NEIGHBOURS
from embedding_core.metrics.cosine_matrix import ranking
from embedding_core.train import train
from sweeps import koleo_accum, mining_curriculum, semi_hard_phases, simclr
from sweeps.design.plan import Plan

TARGET = 0.05
BATCHES = 10
"""Of an epoch that is timed."""

SLOW = (
    "study1",
    "standard",
    "full",
    "alexnet",
    "resnet50",
    "study2",
    "study3",
    "features",
    "features-study1",
    "finetune",
)
"""Presets that need a GPU, published weights or their features."""

DEFAULT_IMAGES = 2500

UNFROZEN: dict[str, Any] = {"freeze_epochs": 0, "unfrozen_lr": None, "warmup_epochs": 0}
"""As most epochs are."""


def main() -> None:
    """Print a line for each preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted epochs (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=20, help="of validation images (default: %(default)s)")
    parser.add_argument("--errors", action="store_true", help="measure the sampling error instead of the time")
    parser.add_argument("--only", default="", metavar="NAME", help="design/preset")
    parser.add_argument("--val-images", type=int, help="instead of those of the preset")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n = f"{arguments.draws} draws" if arguments.errors else f"{arguments.rounds} epochs after one not counted"
    print(f"{machine_class()}; 1 thread, n = {n}")
    print(f"{'':34}{'images an epoch':>16}{'validated':>11}"
          + ("  measure, its mean and deviation by number of images" if arguments.errors
             else f"{'epoch s':>10}{'validation s':>14}{'share':>8}"))  # fmt: skip
    for name, measure, config in presets(arguments.only):
        if arguments.val_images is not None:
            config = replace(config, val_images=arguments.val_images)
        try:
            data = DeviceData.load(config, torch.device("cpu"), download=False)
        except Faults as error:
            print(f"{name:34}{error}")
            continue
        images, validated = sizes(config, data)
        line = f"{name:34}{images:>16,}{validated:>11,}"
        if name.partition("/")[2].startswith(SLOW):
            line += "" if arguments.errors else f"{'':24}{validated / images:>8.1%}  of the images"
        elif arguments.errors:
            line += f"  {errors(config, data, measure, validated, draws=arguments.draws)}"
        else:
            epoch, validation = seconds(config, data, images, rounds=arguments.rounds)
            line += f"{epoch:>10.2f}{validation:>14.3f}{validation / (epoch + validation):>8.1%}"
        print(line, flush=True)
    print(f"target: a share <= {TARGET:.0%}")


def presets(only: str) -> Iterator[tuple[str, str, TrainConfig]]:
    """Name, validation measure and first cell of each; those of one set of images and network follow each other."""
    for script in (koleo_accum, mining_curriculum, semi_hard_phases, simclr):
        for preset in script.DESIGN.presets:
            name = f"{script.DESIGN.name}/{preset}"
            if only in ("", name):
                plan = Plan.of(script.DESIGN, {"preset": preset})
                cell = plan.cells[0]
                yield (
                    name,
                    plan.outcome.validation,
                    TrainConfig.from_flat({**plan.base, **cell.drop_in, **cell.settings, "views": "none"}),
                )


def sizes(config: TrainConfig, data: DeviceData) -> tuple[int, int]:
    """Images that an epoch trains on, each view counted, and that it validates on."""
    indices = data.split(config)
    return images_per_epoch(config, indices), len(indices.val)


def seconds(config: TrainConfig, data: DeviceData, images: int, *, rounds: int) -> tuple[float, float]:
    """Of training on `images`, and of validation: medians."""
    indices = data.split(config)
    few = min(len(indices.train_examples), BATCHES * config.batch_size)
    timed = replace(config, subset=few, epochs=1 + rounds, **UNFROZEN)
    trained, validated = [], []
    for before, row in itertools.pairwise(train(timed, data=data)):
        trained.append(row["train_s"] / (row["images_seen"] - before["images_seen"]))
        validated.append(row["elapsed_s"] - before["elapsed_s"] - row["train_s"])
    return images * statistics.median(trained), statistics.median(validated)


def errors(config: TrainConfig, data: DeviceData, measure: str, validated: int, *, draws: int) -> str:
    """Mean and standard deviation of the measure over draws of held-out images."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt"
        list(train(replace(config, epochs=1, **UNFROZEN), data=data, save_to=file))
        network = load_model(file)
    indices = data.split(config)
    own = torch.cat([indices.val, indices.unused])
    images, labels = data.images[own], data.labels[own]
    if indices.test_in_own_file:
        test = data.test(indices)
        images, labels = torch.cat([images, test.images]), torch.cat([labels, test.labels])
    z = embed(network, images, layer=config.held_out_layer)
    found = []
    for size in dict.fromkeys((validated, min(DEFAULT_IMAGES, len(z) // 2))):
        values = [drawn(z, labels, measure, size, seed=seed) for seed in range(draws)]
        found.append(f"{statistics.mean(values):.4f} +- {statistics.stdev(values):.4f} ({size:,})")
    return f"{measure} {', '.join(found)}"


def drawn(z: Tensor, labels: Tensor, measure: str, size: int, *, seed: int) -> float:
    """The measure on `size` of the images, drawn as validation images are."""
    settings: dict[str, Any] = {"test_file_size": 0, "loss": "softmax", "seed": seed, "val_share": 0.5}
    val = split(labels, val_images=size, **settings).val
    k = min(LEAVE_ONE_OUT_NEIGHBOURS, len(val) - 1)
    value: float = getattr(ranking(z[val], labels[val], k=k), measure.removeprefix("val_"))
    return value


if __name__ == "__main__":
    main()
