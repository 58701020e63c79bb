"""Features of a frozen backbone, computed once per machine: trials then train a head on them."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from embedding_core.data.content_hash import tensors_sha256
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.storage import local_cache
from embedding_core.streams import guarded

VERSION = 1
"""Part of the cache key: raise it when the same network and images must give other features."""

FEATURE_BATCH = {"cpu": 4, "cuda": 256}
"""Images per forward pass. On a CPU the maps of more than a few are handed back to the system after every layer, and
its page faults take as long as the arithmetic: EfficientNet-Lite0 at 128 pixels has 168 images/s a thread by fours, 87
by sixty-fours."""

BATCHES_A_TURN = 16
"""That each thread is given: images are changed in order, no more of them ahead than these."""

FILE = "features.npy"

KeptFeatures = dict[tuple[str, str], tuple[str, Tensor]]
"""(content of the images, view) -> (key, features) that are on the device already; a newer key takes the place of an
older one."""


Changed = Callable[[UInt8[Tensor, "m c h w"]], UInt8[Tensor, "m c h w"]]
"""Made of a batch of images before the network sees it."""


Watched = Callable[[Sequence[Tensor], str], Iterable[Tensor]]
"""Hands on the batches of what it is told, and shows how far they are."""


def announced(batches: Sequence[Tensor], what: str) -> Iterable[Tensor]:
    """A line on standard error before the first of them: that of a trial goes to its log."""
    with guarded():
        print(f"Computing {what} of the frozen backbone, once for this machine.", file=sys.stderr, flush=True)
    return batches


def frozen_features(
    network: EmbeddingNetwork,
    images: UInt8[Tensor, "n c h w"],
    *,
    content: str,
    view: str,
    changed: Changed,
    kept: KeptFeatures,
    watched: Watched = announced,
) -> Float[Tensor, "n ..."]:
    """`network.pooled` of all images with the backbone in evaluation mode; on the network's device.

    They come from this machine's cache, where they are shared by all processes that ask for the same; whoever is first
    fills it.

    Args:
        network: its backbone is frozen for the whole run.
        images: on any device.
        content: hash of `images`.
        view: name of what `changed` does: one name, one change.
        changed: applied to every batch, in order, on the network's device.
        kept: asked first, and added to.
        watched: shows how far the computing is.

    Raises:
        Faults: the cache cannot be written.
    """
    device, key = network.mean.device, feature_key(network, content=content, view=view)
    held = kept.get((content, view))
    if held is None or held[0] != key:
        kept.pop((content, view), None)  # two need not fit on the device

        def write(folder: Path) -> None:
            batches = watched(images.split(FEATURE_BATCH[device.type]), f"features of {len(images):,} images ({view})")
            with closing(computed(network, batches, changed)) as blocks:
                _write(folder / FILE, len(images), blocks)

        array = local_cache.entry(key, read=_stored, write=write)
        kept[content, view] = held = key, torch.from_numpy(array).to(device)
    return held[1]


def feature_key(network: EmbeddingNetwork, *, content: str, view: str) -> str:
    """Everything that features depend on: the backbone's layers and weights, pooling, input scaling, precision, images
    and view, and what computed them."""
    weights = tensors_sha256(*(value.cpu() for value in network.backbone.state_dict().values()))
    scaling = [network.mean.flatten().tolist(), network.std.flatten().tolist()]
    layers, device = f"{network.backbone} {network.pool}", network.mean.device
    made_by = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return (
        f"features {VERSION} torch {torch.__version__} {made_by} {layers} {weights} {scaling} {network.precision} "
        f"{content} {view}"
    )


def are_there(key: str) -> bool:
    """Whether the features of this key are in this machine's cache."""
    return _stored(local_cache.folder_of(key)) is not None


def computed(
    network: EmbeddingNetwork, batches: Iterable[Tensor], changed: Changed
) -> Generator[np.ndarray, None, None]:
    """Features batch after batch; the mode of the backbone is restored.

    On a CPU each thread has batches of its own: sharing a small one, they would wait for each other in every layer.
    """
    was_training, device = network.backbone.training, network.mean.device
    threads, left = torch.get_num_threads() if device.type == "cpu" else 1, iter(batches)

    def features(batch: Tensor) -> np.ndarray:
        with torch.no_grad():  # by thread
            found: np.ndarray = network.pooled(batch).cpu().numpy()
        return found

    network.backbone.eval()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            while some := [changed(batch.to(device)) for batch in islice(left, BATCHES_A_TURN * threads)]:
                yield from pool.map(features, some)
    finally:
        torch.set_num_threads(torch.get_num_threads())  # of threads that are started later
        network.backbone.train(was_training)


def _write(file: Path, n: int, blocks: Iterator[np.ndarray]) -> None:
    """As a stream: a full disk is an error there, but kills a process that writes through a memory map."""
    with file.open("wb") as stream:
        for number, block in enumerate(blocks):
            if number == 0:
                header = {"descr": block.dtype.str, "fortran_order": False, "shape": (n, *block.shape[1:])}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(block).data)


def _stored(folder: Path) -> np.ndarray | None:
    """Mapped copy-on-write, which gives torch a writable array without ever touching the file."""
    try:
        features: np.ndarray = np.load(folder / FILE, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return features
