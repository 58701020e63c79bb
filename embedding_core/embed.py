"""Embed images with a trained model: `python -m embedding_core.embed MODEL IMAGES`.

MODEL is a file that a sweep keeps under RESULTS/NAME/best/; IMAGES an image, a folder of images, or a Parquet file
in the Hugging Face image layout. Writes a Parquet file with `path`, `label` (null for image files) and `embedding`.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from embedding_core.data.readers.decode import SUFFIXES, decode_image, fit
from embedding_core.data.readers.parquet_images import decode_parquet
from embedding_core.errors import Faults
from embedding_core.evaluation.embedding import embed
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.streams import guarded
from embedding_core.train import pick_device
from embedding_core.training import checkpoint
from embedding_core.training.precision import float32_products, pick_precision

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


def read_images(
    source: Path, shape: tuple[int, int, int]
) -> tuple[UInt8[Tensor, "n c h w"], list[str], list[int | None]]:
    """Images of `source` as the model's `shape` (c, h, w), resized and converted if they differ; paths; labels.

    Raises:
        Faults: nothing there, or files that are no images (all named).
    """
    if source.suffix == ".parquet":
        images, labels, _ = decode_parquet(source, image_size=shape[1] if shape[1] == shape[2] else None)
        pictures = [Image.fromarray(image.transpose(1, 2, 0).squeeze()) for image in images]
        return _stack(pictures, shape), [f"{source}#{row}" for row in range(len(images))], labels.tolist()
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES) if source.is_dir() else [source]
    if not files:
        raise Faults([f"{source} holds no images ({', '.join(SUFFIXES)})."])
    pictures, faults = [], []
    for file in files:
        try:
            pictures.append(decode_image(file.read_bytes()))
        except (OSError, ValueError) as error:
            faults.append(f"{file} is not an image: {error}")
    if faults:
        raise Faults(faults)
    return _stack(pictures, shape), [str(file) for file in files], [None] * len(files)


def _stack(pictures: list[Image.Image], shape: tuple[int, int, int]) -> UInt8[Tensor, "n c h w"]:
    """Pictures as the training images were made: fitted into the model's square with their aspect ratio kept."""
    channels, height, width = shape
    arrays = []
    for picture in pictures:
        converted = picture.convert("L" if channels == 1 else "RGB")
        if converted.size != (width, height):
            square = height == width
            converted = fit(converted, height) if square else converted.resize((width, height), RESAMPLING)
        arrays.append(np.asarray(converted).reshape(height, width, channels))
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays).transpose(0, 3, 1, 2)))


def main(argv: list[str]) -> int:
    """Embed images with a trained model; writes Parquet."""
    parser = argparse.ArgumentParser(prog="python -m embedding_core.embed", description=main.__doc__)
    parser.add_argument("model", type=Path, help="model file, such as RESULTS/NAME/best/model.pt")
    parser.add_argument("images", type=Path, help="image, folder of images, or Parquet file")
    parser.add_argument("--out", type=Path, default=Path("embeddings.parquet"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    try:
        network = load_model(arguments.model)
        images, paths, labels = read_images(arguments.images, network.image_shape)
    except Faults as error:
        print(error, file=sys.stderr)
        return 2
    with float32_products(network.precision):
        z = embed(network, images.to(network.mean.device)).cpu()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(z.flatten().numpy()), z.shape[1])
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels, pa.int64()), "embedding": vectors})
    pq.write_table(table, arguments.out)
    print(f"{len(paths)} embeddings of {z.shape[1]} numbers -> {arguments.out}")
    return 0


if __name__ == "__main__":
    with guarded():
        sys.exit(main(sys.argv[1:]))
