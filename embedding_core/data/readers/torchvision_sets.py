"""Sets that torchvision downloads, in its own layout below the data root."""

import hashlib
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image

from embedding_core.data.readers.folders import ClassFolders
from embedding_core.data.readers.image_cache import Decoded, array_set, cached
from embedding_core.data.readers.image_rows import ImageRows
from embedding_core.errors import Faults
from embedding_core.storage.local_cache import cache_dir

AUTHORS_CIFAR10 = "cifar-10-python"
"""CIFAR-10 as its authors pack it, unpacked by hand."""

UNPACKED = (AUTHORS_CIFAR10, f"{AUTHORS_CIFAR10}/cifar-10-batches-py", "cifar-10-batches-py")
"""Where that may lie below the root; the first that is there."""

PLACES = {
    "cifar10": "cifar-10-batches-py",
    "mnist": "MNIST/raw",
    "stl10": "stl10_binary",
    "stl10-unlabelled": "stl10_binary",
    "caltech101": "caltech101/101_ObjectCategories",
}
"""Where torchvision keeps each set, below the root."""

TEST_SIZES = {"cifar10": 10_000, AUTHORS_CIFAR10: 10_000, "mnist": 10_000, "stl10": 8_000, "stl10-unlabelled": 8_000}
"""Of the published files; Caltech-101 comes in one piece."""

FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    AssertionError,
    HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
)
"""What torchvision raises for files that are not there, not whole or cannot be downloaded."""


@dataclass(frozen=True, slots=True)
class TorchvisionSet:
    """One of `PLACES`, or `AUTHORS_CIFAR10`, which is never fetched.

    `stl10-unlabelled` is the labelled training images and then 100,000 with the label -1.
    """

    name: str
    root: Path
    download: bool = True
    """Whether a set that is not there is fetched."""

    def test_size(self) -> int | None:
        """Images of the test files, which stay unread; None: the set comes in one piece."""
        return TEST_SIZES.get(self.name)

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """Images and labels of a split, downloaded if need be.

        Raises:
            Faults: not there and not to be downloaded, or not whole.
        """
        from torchvision import datasets

        train = split == "train"
        if self.name in ("cifar10", AUTHORS_CIFAR10):
            raw = self._fetch(lambda: self._cifar10(train=train))
            images = np.ascontiguousarray(raw.data.transpose(0, 3, 1, 2))
            return array_set(images, np.array(raw.targets, np.int64), tuple(raw.classes), image_size=image_size)
        if self.name == "mnist":
            raw = self._fetch(lambda: datasets.MNIST(str(self.root), train=train, download=self.download))
            names = tuple(str(digit) for digit in range(10))
            return array_set(raw.data.numpy()[:, None], raw.targets.numpy(), names, image_size=image_size)
        if self.name == "caltech101":
            self._fetch(lambda: datasets.Caltech101(str(self.root), download=self.download))
            # The background images are no class; torchvision leaves them out too.
            folders = ClassFolders(self.root / PLACES[self.name], left_out=("BACKGROUND_Google",))
            return folders.decoded(split, image_size=image_size)
        raw = self._fetch(lambda: datasets.STL10(str(self.root), split=split, download=self.download))
        return self._stl10(raw, split, image_size)

    def _cifar10(self, *, train: bool) -> Any:
        from torchvision.datasets import CIFAR10

        if self.name == "cifar10":
            return CIFAR10(str(self.root), train=train, download=self.download)

        class Unpacked(CIFAR10):  # type: ignore[misc]  # torchvision has no types
            base_folder = self._unpacked()

        return Unpacked(str(self.root), train=train)

    def _unpacked(self) -> str:
        return next((name for name in UNPACKED if (self.root / name / "data_batch_1").exists()), UNPACKED[0])

    def _fetch(self, make: Callable[[], Any]) -> Any:
        """One process downloads, the others wait. torchvision checks MD5 sums before it unpickles anything."""
        lock = cache_dir() / f"download-{hashlib.sha256(str(self.root).encode()).hexdigest()}.lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock):
                return make()
        except FAILURES as error:
            raise Faults([self._missing(error)]) from error

    def _missing(self, error: Exception) -> str:
        if self.name == AUTHORS_CIFAR10:
            return (
                f"`{self.name}` was not found: {self.root / self._unpacked()} must hold its authors' files, "
                "data_batch_1 to data_batch_5, test_batch and batches.meta, unchanged. Nothing else is "
                "unpickled: their MD5 sums are checked before."
            )
        failed = (
            f"and the download failed ({' '.join(str(error).split())})" if self.download else "and a plan fetches none"
        )
        return (
            f"`{self.name}` was not found: no {self.root / self.name / 'train.parquet'}, no intact "
            f"{self.root / PLACES[self.name]}, {failed}. Put the files "
            "there or name their folder with `--data-root`; without a network `--dataset digits` always works."
        )

    def _stl10(self, raw: Any, split: str, image_size: int | None) -> Decoded:
        """Always by way of the cache: 105,000 images are 2.9 GB, and every trial would hold its own."""
        folder = self.root / PLACES[self.name]
        lists = raw.test_list if split == "test" else raw.train_list
        names = [name for name, _ in lists if name.endswith("_X.bin")]
        if self.name == "stl10":
            names = names[:1]
        parts = [_mapped(folder / name) for name in names]
        unlabelled = sum(len(part) for part in parts) - len(raw.labels)
        labels = np.concatenate([raw.labels.astype(np.int64), np.full(unlabelled, -1)])

        def picture(row: int) -> Image.Image:
            labelled = len(parts[0])
            return Image.fromarray(parts[0][row] if row < labelled else parts[1][row - labelled])

        rows = ImageRows(labels, tuple(raw.classes), picture, name=str, where=str(folder))
        # torchvision has just checked these sums against the files.
        content = hashlib.sha256(repr(("stl10", names, lists)).encode()).hexdigest()
        return cached(content, lambda: rows, image_size=image_size)


def _mapped(file: Path) -> npt.NDArray[np.uint8]:
    """[n, h, w, c] of a file that holds [n, c, w, h]."""
    return np.memmap(file, np.uint8, mode="r").reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
