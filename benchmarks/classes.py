"""Many tiny classes: what a run on a set of the shape of Stanford Online Products takes, part by part.

    python benchmarks/classes.py [--share 1] [--loss semihard] [--threads 2] [--views]

Invented grey images of 8x8: 59,551 to train on, of 11,318 classes, and 60,502 test images of 11,316 other classes;
whole classes validate. They are written as Parquet and read as any set; a small network trains for one epoch, on P x k
batches where the loss compares images. Each part once, but for the split, of which the slowest of several draws counts;
seconds of the clock and of the processor, which other work on the machine leaves alone, and the peak memory of the
process so far. Targets: a split within .2 s of the processor; 4 GiB beside the images, which take 8 MB.
"""

import argparse
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from machine import machine_class
from PIL import Image

from embedding_core.config.train_config import LOSSES, TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.splits import Split
from embedding_core.embed import load_model
from embedding_core.evaluation.held_out import HeldOut, evaluate_held_out
from embedding_core.evaluation.held_out_sets import held_out_images
from embedding_core.losses.objective import Objective
from embedding_core.models.inputs import inputs_of
from embedding_core.train import train
from embedding_core.transforms.recipe import Recipe

TRAIN, TEST = (11_318, 59_551), (11_316, 60_502)
"""Classes and images; two images of each class at least."""

SIDE = 8
ROUNDS = 5
SPLIT_TARGET_S, MEMORY_TARGET_GIB = 0.2, 4.0

_Result = TypeVar("_Result")


def main() -> None:
    """Print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the classes and images (default: all)")
    parser.add_argument("--loss", choices=LOSSES, default="semihard", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--views", action="store_true", help="make the views of the test images as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{machine_class()}; {arguments.threads} threads, n = 1 (split: the slowest of {ROUNDS})")
    print(f"{'':36}{'seconds':>10}{'processor s':>14}{'peak GiB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMBED_CACHE_DIR"] = str(Path(folder) / "cache")
        config = TrainConfig(
            dataset="products", data_root=folder, val_by="class", epochs=1, embedding_dim=64,
            views="pca" if arguments.views else "none", **settings_of(arguments.loss),
        )  # fmt: skip
        run(config, Path(folder), arguments.share)


def settings_of(loss: str) -> dict[str, Any]:
    """Batches of classes, where the loss compares images."""
    batches = {"batch_sampler": "pk", "images_per_class": 2} if loss in ("mined", "semihard") else {}
    return {"loss": loss, "batch_size": 128, **batches}


def run(config: TrainConfig, folder: Path, share: float) -> None:
    """Every part in turn."""
    timed("writing the files", partial(write, folder / "products", share))
    before = peak_gib()
    data = timed("reading the training file", partial(DeviceData.load, config, torch.device("cpu")))
    for how in ("image", "class"):
        drawn = partial(slowest_split, TrainConfig.from_flat({**config.to_flat(), "val_by": how}), data)
        seconds = timed(f"split by {how}, each", drawn, rounds=ROUNDS)
    split = data.split(config)
    print(f"    {len(split.train):,} images of {len(split.classes):,} classes train, {len(split.val):,} of "
          f"{len(data.labels[split.val].unique()):,} classes validate")  # fmt: skip
    (row,) = timed("a run without test images", lambda: list(train(config, data=data, save_to=folder / "run.pt")))
    print(f"    of it {row['train_s']:.1f} s an epoch and {row['elapsed_s'] - row['train_s']:.1f} s its validation")
    found = timed("test evaluation", partial(tested, config, data, split, folder / "run.pt"))
    named = ("test_recall_at_1", "test_recall_at_8", "test_map_at_r", "test_knn_accuracy", "test_auc")
    print("    " + ", ".join(f"{name.removeprefix('test_')} {found.row[name]:.4f}" for name in named))
    print(f"    {found.row['classes_tested']}")
    print(verdict("processor seconds of a split", seconds, SPLIT_TARGET_S))
    print(verdict("peak GiB, libraries included", peak_gib(), MEMORY_TARGET_GIB) + f"; {before:.2f} before")


def write(folder: Path, share: float) -> None:
    """Both files; the classes of the second follow those of the first."""
    folder.mkdir()
    draws = np.random.default_rng(0)
    first = 0
    for split, (classes, images) in (("train", TRAIN), ("test", TEST)):
        classes, images = round(classes * share), round(images * share)
        sizes = 2 + np.bincount(draws.integers(0, classes, images - 2 * classes), minlength=classes)
        labels = draws.permutation(np.arange(first, first + classes).repeat(sizes))
        patterns = draws.integers(0, 160, (classes, SIDE, SIDE), dtype=np.uint8)
        noise = draws.integers(0, 96, (images, SIDE, SIDE), dtype=np.uint8)
        rows = [{"bytes": png(patterns[c - first] + one)} for c, one in zip(labels.tolist(), noise, strict=True)]
        column = pa.array(rows, pa.struct([("bytes", pa.binary())]))
        pq.write_table(pa.table({"image": column, "label": pa.array(labels)}), folder / f"{split}.parquet")
        first += classes


def png(pixels: np.ndarray) -> bytes:
    """Of a grey image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def slowest_split(config: TrainConfig, data: DeviceData) -> float:
    """Processor seconds of the slowest of `ROUNDS` draws, on one thread: others, if any, would wait for it busily."""
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for seed in range(ROUNDS):
        started = time.process_time()
        data.split(TrainConfig.from_flat({**config.to_flat(), "split_seed": seed}))
        seconds.append(time.process_time() - started)
    torch.set_num_threads(threads)
    return max(seconds)


def tested(config: TrainConfig, data: DeviceData, split: Split, file: Path) -> HeldOut:
    """As a run with `eval_test` ends, its test file read and decoded first."""
    network = load_model(file)
    recipe = Recipe.of(config, side=data.shape[-1], flips=data.flips)
    source = partial(inputs_of, config=config, network=network, recipe=recipe, kept={})
    return evaluate_held_out(
        network, Objective.of(config, classes=split.classes), held_out_images(data, split), source, source(data),
        layer=config.held_out_layer, seed=0, views=config.views,
    )  # fmt: skip


def timed(name: str, call: Callable[[], _Result], *, rounds: int = 1) -> _Result:
    """What the call returns; prints what it took, by round."""
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(f"{name:36}{clock / rounds:>10.2f}{processor / rounds:>14.2f}{peak_gib():>10.2f}", flush=True)
    return result


def peak_gib() -> float:
    """Largest resident size of this process so far (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def verdict(what: str, value: float, target: float) -> str:
    """A figure, its target, and whether it is met."""
    return f"{what}: {value:.2f} (target: <= {target:g}: {'met' if value <= target else 'MISSED'})"


if __name__ == "__main__":
    main()
