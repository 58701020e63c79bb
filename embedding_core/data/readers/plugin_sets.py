"""Sets of plug-ins: any `torch.utils.data.Dataset` of (image, label), decoded once into this machine's cache."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from embedding_core.data.readers.decode import eight_bit, plain
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import ImageRows
from embedding_core.errors import Faults
from embedding_core.plugins.builtin import DATASETS
from embedding_core.plugins.registry import strangers_errors

SAMPLED = 16
"""Rows, evenly spread, that are read each time. Where one is another than when the set was decoded (or the plug-in or
its fields are), all are decoded again."""


@dataclass(frozen=True, slots=True)
class PluginSet:
    """The data set of a plug-in; see `embedding_core.plugins.dataset`."""

    name: str
    root: Path | str
    settings: Mapping[str, Any]

    def test_size(self) -> int | None:
        """Images of its test split; None: it comes in one piece.

        Raises:
            Faults: it cannot be made.
        """
        return len(self._made("test")) if "split" in DATASETS[self.name].given else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """Images and labels of a split.

        Raises:
            Faults: it cannot be made or read, or gives other images at each reading.
        """
        found = self._made(split)
        first, again = self._sample(found), self._sample(found)
        if first != again:
            text = f"The data set `{self.name}` must give the same images and labels whenever it is read, but does not"
            raise Faults([f"{text}: leave what is random in it to `augmentation`."])
        # Labels come with the images, so they are known once these have been decoded.
        labels = np.full(len(found), -1, np.int64)
        one_at_a_time = threading.Lock()  # few data sets expect to be read by several threads

        def picture(row: int) -> Image.Image:
            with one_at_a_time:
                image, labels[row] = self._row(found, row)
            return image

        names = tuple(map(str, getattr(found, "classes", ())))
        rows = ImageRows(labels, names, picture, name=lambda row: f"{self.name}[{row}]", where=f"`{self.name}`")
        content = f"plug-in {DATASETS[self.name].sha256} {sorted(self.settings.items())} {split} {names} {first}"
        decoded = cached(content, lambda: rows, image_size=image_size)
        labels_read, names = decoded.labels, decoded.class_names
        listed = names or tuple(map(str, range(int(labels_read.max(initial=-1)) + 1)))
        if labels_read.max(initial=-1) >= len(listed) or labels_read.min(initial=0) < -1:
            bounds = f"{labels_read.min()} to {labels_read.max()}"
            raise Faults([f"Labels of `{self.name}` must be 0 to {len(listed) - 1}, or -1 for none, but are {bounds}."])
        return decoded._replace(class_names=listed)

    def _made(self, split: str) -> Any:
        made = DATASETS.make(self.name, self.settings, split=split, root=self.root)
        if not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
            kind = type(made).__name__
            raise Faults([f"The data set `{self.name}` must have a length and rows by number, but is a {kind}."])
        if not len(made):
            raise Faults([f"The data set `{self.name}` has no images in its split {split}."])
        return made

    def _sample(self, made: Any) -> str:
        """Hash of what some rows are."""
        digest = hashlib.sha256(str(len(made)).encode())
        for row in np.unique(np.linspace(0, len(made) - 1, SAMPLED, dtype=np.int64)).tolist():
            try:
                image, label = self._row(made, row)
                content = repr((image.mode, image.size, label)).encode() + image.tobytes()
            except ValueError as error:  # told with all other rows that are broken
                content = str(error).encode()
            digest.update(content)
        return digest.hexdigest()

    def _row(self, made: Any, row: int) -> tuple[Image.Image, int]:
        """Raises: ValueError: it is no image with a label. Faults: it cannot be read."""
        with strangers_errors(DATASETS[self.name], f"cannot give row {row}"):
            pair = made[row]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"it must be (image, label), but is a {type(pair).__name__}")
        try:
            return _picture(pair[0]), index(pair[1])
        except TypeError:
            raise ValueError(f"its label must be a whole number, but is {pair[1]!r}") from None


def _picture(value: Any) -> Image.Image:
    """Picture of mode `L` or `RGB`.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, Image.Image):
        return plain(eight_bit(value))
    is_tensor = isinstance(value, torch.Tensor)
    array = value.detach().cpu().numpy() if is_tensor else np.asarray(value)
    if is_tensor and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        what = f"{array.dtype} of shape {array.shape}, {array.min()} to {array.max()}" if array.size else "empty"
        raise ValueError(f"an image must be uint8, or float from 0 to 1, grey or in three colours, but it is {what}")
    return Image.fromarray(np.ascontiguousarray(array))
