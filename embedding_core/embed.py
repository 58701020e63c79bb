"""Embed images with a trained model: `python -m embedding_core.embed MODEL IMAGES`.

MODEL is a file that a sweep keeps under RESULTS/NAME/best/; IMAGES an image, a folder of images, or Parquet in the
Hugging Face image layout, a file or a folder of them, with labels or without. Writes a Parquet file with `path`,
`label` (null where there is none) and `embedding`, batch by batch: memory does not grow with the number of images.
Images that cannot be decoded are refused, all of them at once, or left out and named (`--skip-broken`).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from embedding_core.data.readers.decode import fit
from embedding_core.data.readers.image_rows import WHY, listed
from embedding_core.data.readers.image_stream import ImageStream, StreamedImage
from embedding_core.errors import Faults
from embedding_core.evaluation.embedding import embed
from embedding_core.models.heads import last_linear
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.storage.atomic_write import StorageError, whole
from embedding_core.streams import guarded
from embedding_core.train import pick_device
from embedding_core.training import checkpoint
from embedding_core.training.precision import float32_products, pick_precision
from embedding_core.wording import plural

BATCH = 128
"""Images embedded at a time, and rows of a row group of the output."""

BAR = 30
"""Characters of the progress bar."""

REDRAWN_S = 0.1

RESAMPLING = Image.Resampling.BILINEAR
"""Into a model's images that are not square, which nothing was fitted into in training."""


def load_model(file: Path) -> EmbeddingNetwork:
    """Network of a model or checkpoint file, in evaluation mode on this machine's device.

    Raises:
        Faults: not a model file.
    """
    state = checkpoint.read(file)
    config = replace(checkpoint.model_config(state), device="auto")  # not that of the machine that trained
    device = pick_device(config.device)
    asked = "auto" if config.precision == "tf32" and device.type != "cuda" else config.precision
    weights = state["network"]
    mean, std = weights["mean"], weights["std"]
    shape = tuple(state["image_shape"])
    network = build_network(
        config, shape=shape, mean=mean, std=std, precision=pick_precision(asked, device), follows=weights
    )
    network.load_state_dict(weights)
    return network.to(device).eval()


class Batch(NamedTuple):
    """Images as the model takes them."""

    images: UInt8[Tensor, "n c h w"]
    paths: list[str]
    labels: list[int | None]


def batches(
    images: Iterable[StreamedImage], shape: tuple[int, int, int], *, size: int = BATCH, skipped: list[str] | None = None
) -> Iterator[Batch]:
    """Up to `size` images at a time, made as the training images of a model of `shape` (c, h, w) were.

    Args:
        images: in their order.
        shape: of an image as the model takes it.
        size: images of a batch, >= 1.
        skipped: is given a sentence for each image that is none, which is left out; None: they are refused.

    Raises:
        Faults: some are no images, all of which are named. After the first of them there are no more batches.
    """
    broken: list[str] = []
    pixels: list[UInt8[Tensor, "c h w"]] = []
    paths: list[str] = []
    labels: list[int | None] = []
    for image in images:
        try:
            pixels.append(_as_trained(image.picture(), shape))
        except ValueError as error:
            (broken if skipped is None else skipped).append(f"{image.path}{WHY}{error}.")
            continue
        if broken:
            pixels.clear()
            continue
        paths.append(image.path)
        labels.append(image.label)
        if len(pixels) == size:
            yield Batch(torch.stack(pixels), paths, labels)
            pixels, paths, labels = [], [], []
    if broken:
        raise Faults([*listed(broken, "Images"), f"{len(broken):,} are broken; `--skip-broken` goes on without them."])
    if pixels:
        yield Batch(torch.stack(pixels), paths, labels)


def _as_trained(picture: Image.Image, shape: tuple[int, int, int]) -> UInt8[Tensor, "c h w"]:
    """Fitted into the model's square with its aspect ratio kept, and in its colours."""
    channels, height, width = shape
    converted = picture.convert("L" if channels == 1 else "RGB")
    if converted.size != (width, height):
        square = height == width
        converted = fit(converted, height) if square else converted.resize((width, height), RESAMPLING)
    pixels = np.asarray(converted).reshape(height, width, channels)
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def embed_images(network: EmbeddingNetwork, source: Path, out: Path, *, skipped: list[str] | None = None) -> int:
    """Embed the images of `source` into the Parquet file `out`, which appears whole at the end; how many they were.

    A bar on standard error, if that is a terminal, shows how far it is.

    Args:
        network: the model.
        source: see `ImageStream.of`.
        out: its file metadata have what was left out (`broken`, a JSON list).
        skipped: see `batches`.

    Raises:
        Faults: nothing there, files that are no images, or nothing but these; `out` is as it was.
        StorageError: `out` cannot be written, and is as it was.
    """
    stream = ImageStream.of(source)
    total, width, done = len(stream), last_linear(network.head).out_features, 0
    schema = pa.schema([("path", pa.string()), ("label", pa.int64()), ("embedding", pa.list_(pa.float32(), width))])
    with whole(out) as file, pq.ParquetWriter(file, schema) as writer, float32_products(network.precision):
        for images, paths, labels in batches(_watched(stream, total), network.image_shape, skipped=skipped):
            z: Float[Tensor, "n d"] = embed(network, images.to(network.mean.device)).cpu()
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(z.flatten().numpy()), width)
            writer.write_batch(pa.record_batch([pa.array(paths), pa.array(labels, pa.int64()), vectors], schema=schema))
            done += len(paths)
        if not done:
            raise Faults([*listed(skipped or [], "Images"), f"{source} holds no image that can be decoded."])
        if skipped:
            writer.add_key_value_metadata({"broken": json.dumps(skipped)})
    return done


def _watched(images: Iterable[StreamedImage], total: int) -> Iterator[StreamedImage]:
    """The same images; the bar is one further whenever the next is asked for."""
    if not sys.stderr.isatty():
        yield from images
        return
    drawn = 0.0
    done = 0
    try:
        for done, image in enumerate(images):
            if time.monotonic() - drawn >= REDRAWN_S:
                drawn = time.monotonic()
                _draw(done, total)
            yield image
        done = total
    finally:
        _draw(done, total)
        print(file=sys.stderr)


def _draw(done: int, total: int) -> None:
    full = BAR * done // max(1, total)
    print(f"\r[{'#' * full}{' ' * (BAR - full)}] {done:,} of {total:,} images", end="", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Embed images with a trained model; writes Parquet."""
    parser = argparse.ArgumentParser(prog="python -m embedding_core.embed", description=main.__doc__)
    parser.add_argument("model", type=Path, help="model file, such as RESULTS/NAME/best/model.pt")
    parser.add_argument("images", type=Path, help="image, Parquet file, or folder of images or of Parquet files")
    parser.add_argument("--out", type=Path, default=Path("embeddings.parquet"), help="default: %(default)s")
    parser.add_argument("--skip-broken", action="store_true", help="go on without what cannot be decoded, and name it")
    arguments = parser.parse_args(argv)
    skipped: list[str] | None = [] if arguments.skip_broken else None
    try:
        network = load_model(arguments.model)
        count = embed_images(network, arguments.images, arguments.out, skipped=skipped)
    except (Faults, StorageError) as error:
        print(error, file=sys.stderr)
        return 2
    for line in listed(skipped or [], "Images"):
        print(line, file=sys.stderr)
    left = f" (without {plural(len(skipped), 'broken image')})" if skipped else ""
    print(f"{plural(count, 'embedding')} of {last_linear(network.head).out_features} numbers -> {arguments.out}{left}")
    return 0


if __name__ == "__main__":
    with guarded():
        sys.exit(main(sys.argv[1:]))
