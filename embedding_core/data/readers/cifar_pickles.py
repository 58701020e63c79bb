"""CIFAR-10 as its authors publish it for Python: a folder of pickles, read without executing them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedding_core.data.readers.image_cache import Decoded, array_set
from embedding_core.data.readers.plain_pickle import PickledArray, read_pickle
from embedding_core.errors import Faults

FOLDERS = ("cifar-10-python", "cifar-10-python/cifar-10-batches-py", "cifar-10-batches-py")
"""Where the files may lie below the root; the first that has any."""

BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SHAPE = (3, 32, 32)

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class PickledCifar:
    """The files `data_batch_1` to `data_batch_5`, and `test_batch` if it is there."""

    root: Path

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        folders = [self.root / name for name in FOLDERS]
        return next((folder for folder in folders if (folder / BATCHES["train"][0]).is_file()), folders[0])

    def test_size(self) -> int | None:
        """Images in `test_batch`; None: there is no such file.

        Raises:
            Faults: it is broken.
        """
        (name,) = BATCHES["test"]
        return len(_batch(self.folder / name)[1]) if (self.folder / name).exists() else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """Images and labels of a split.

        Raises:
            Faults: missing or broken files, pickles that ask for more than arrays; all of them.
        """
        batches: list[Batch] = []
        faults: list[str] = []
        for name in BATCHES[split]:
            try:
                batches.append(_batch(self.folder / name))
            except Faults as error:
                faults += error.faults
        if faults:
            raise Faults(faults)
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return array_set(images, labels, CLASS_NAMES, image_size=image_size)


def _batch(file: Path) -> Batch:
    try:
        content = read_pickle(file.read_bytes())
    except OSError as error:
        raise Faults([f"{file} cannot be read: {error}"]) from error
    except ValueError as error:
        raise Faults([f"{file} is not a CIFAR-10 batch: {error}."]) from error
    faults = [f"{file}: {fault}." for fault in _batch_faults(content)]
    if faults:
        raise Faults(faults)
    return _field(content, "data").values.reshape(-1, *SHAPE), np.array(_field(content, "labels"), dtype=np.int64)


def _field(content: dict[Any, Any], name: str) -> Any:
    """The authors' files have bytes for keys, files written by Python 3 text."""
    return content.get(name.encode(), content.get(name))


def _batch_faults(content: object) -> list[str]:
    if not isinstance(content, dict):
        return [f"it must hold a dictionary, but holds a {type(content).__name__}"]
    data, labels = _field(content, "data"), _field(content, "labels")
    length = int(np.prod(SHAPE))
    # A pickle can name an array and leave out its values.
    values = getattr(data, "values", None) if isinstance(data, PickledArray) else None
    if values is None or values.ndim != 2 or values.shape[1] != length or not len(values):
        shown = _kind(data) if values is None else f"one of shape {values.shape}"
        return [f"`data` must be a uint8 array of shape (n, {length}), but is {shown}"]
    if not isinstance(labels, list) or len(labels) != len(values):
        shown = f"one of {len(labels)}" if isinstance(labels, list) else _kind(labels)
        return [f"`labels` must be a list of {len(values)}, one per image, but is {shown}"]
    outside = [row for row, c in enumerate(labels) if type(c) is not int or not 0 <= c < len(CLASS_NAMES)]
    if not outside:
        return []
    shown = str(labels[outside[0]]) if type(labels[outside[0]]) is int else _kind(labels[outside[0]])
    return [
        f"{len(outside)} labels lie outside the {len(CLASS_NAMES)} classes; the first is {shown} in row {outside[0]}"
    ]


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"
