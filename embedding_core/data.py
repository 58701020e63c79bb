"""Image sets as uint8 tensors: `digits`, CIFAR-10, and any folder of Parquet files in the Hugging Face image layout."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from embedding_core.config import DATASETS
from embedding_core.faults import Faults, unknown
from embedding_core.parquet_images import decode_parquet, parquet_rows

NO_FLIP = ("digits", "mnist")
"""Sets in which a mirrored image is another symbol, or none."""

NO_TEST_FILE = ("digits",)
"""Sets that come in one piece; their test split is carved out by index (see splits)."""

CIFAR10_TEST_IMAGES = 10_000
"""In torchvision's files, whose checksums are fixed."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images of one size with a class each."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of images and labels, in order."""
        return tensors_sha256(self.images, self.labels)


def tensors_sha256(*tensors: Tensor) -> str:
    """Hash of the shapes and contents of tensors on the CPU, in order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def resolve_root(root: str | Path | None) -> Path:
    """Folder that holds the data sets: `root`, else $EMBED_DATA_ROOT, else `data`; absolute."""
    return Path(root or os.environ.get("EMBED_DATA_ROOT") or "data").expanduser().resolve()


def load(name: str, root: str | Path | None = None, *, split: str = "train") -> ImageSet:
    """Load one split of a data set into memory (decoded Parquet is memory-mapped from this machine's cache).

    Args:
        name: `digits` (embedded, 1,797 images, one piece), `cifar10` (Parquet under `root`, else torchvision's
            download) or a folder `<root>/<name>` with `train.parquet` and perhaps `test.parquet`.
        root: see `resolve_root`.
        split: `train` or `test`.

    Raises:
        Faults: unknown name, missing or broken files; one sentence each.
    """
    if split not in ("train", "test"):
        raise Faults([unknown("split", split, ("train", "test"))])
    if name == "digits":
        if split == "test":
            raise Faults(["`digits` comes in one piece; its test split is carved out by embedding_core.splits."])
        return _digits()
    base = resolve_root(root)
    file = base / name / f"{split}.parquet"
    if file.is_file():
        images, labels, class_names = decode_parquet(file)
        return ImageSet(torch.from_numpy(images), torch.from_numpy(labels), class_names)
    if (base / name / "train.parquet").is_file():
        raise Faults([f"Data set `{name}` has no {split} split: {file} does not exist."])
    if name == "cifar10":
        return _torchvision_cifar10(base, split)
    raise Faults([_missing(name, base)])


def size_of_test_file(name: str, root: str | Path | None = None) -> int | None:
    """Images in the set's own test file, which stays undecoded; None: the split is carved out of the training file.

    Raises:
        Faults: the test file is not Parquet.
    """
    if name in NO_TEST_FILE:
        return None
    folder = resolve_root(root) / name
    if (folder / "test.parquet").is_file():
        return parquet_rows(folder / "test.parquet")
    return CIFAR10_TEST_IMAGES if name == "cifar10" and not (folder / "train.parquet").is_file() else None


def _missing(name: str, base: Path) -> str:
    found = [p.parent.name for p in base.glob("*/train.parquet")] if base.is_dir() else []
    sentence = unknown("data set", name, {*DATASETS, *found})
    return f"{sentence} Looked for {base / name / 'train.parquet'}. Without a network `digits` always works."


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    return ImageSet(
        torch.from_numpy(images), torch.from_numpy(raw.target.astype(np.int64)), tuple(str(i) for i in range(10))
    )


def _torchvision_cifar10(base: Path, split: str) -> ImageSet:
    """torchvision's own layout; its MD5 check runs before anything is unpickled."""
    from torchvision.datasets import CIFAR10

    try:
        raw = CIFAR10(root=str(base), train=split == "train", download=True)
    except (OSError, RuntimeError) as error:
        raise Faults(
            [
                f"`cifar10` was not found: no {base / 'cifar10' / (split + '.parquet')}, no intact "
                f"{base / 'cifar-10-batches-py'}, and the download failed ({error}). Put the files there or name their "
                "folder with `--data-root`; without a network `--dataset digits` always works."
            ]
        ) from error
    images = np.ascontiguousarray(raw.data.transpose(0, 3, 1, 2))
    return ImageSet(torch.from_numpy(images), torch.tensor(raw.targets, dtype=torch.int64), tuple(raw.classes))
