"""Image sets as uint8 tensors, by name: `load("cifar10")`."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from embedding_core.config.data_root import is_uri, resolve_root
from embedding_core.data.broken_images import refused
from embedding_core.data.class_names import in_training_labels
from embedding_core.data.content_hash import tensors_sha256
from embedding_core.data.readers.folders import ClassFolders
from embedding_core.data.readers.image_cache import Decoded, array_set
from embedding_core.data.readers.image_rows import DEFAULT_SIDE
from embedding_core.data.readers.listing import folders_in
from embedding_core.data.readers.parquet_sets import ParquetSet, told_instead
from embedding_core.data.readers.plugin_sets import PluginSet
from embedding_core.data.readers.sentences import one_line
from embedding_core.data.readers.torchvision_sets import AUTHORS_CIFAR10, PLACES, TorchvisionSet
from embedding_core.errors import Faults, unknown
from embedding_core.plugins.builtin import DATASETS
from embedding_core.storage.fetched import fetched

UNLABELLED = ("stl10-unlabelled",)
"""Sets in which the label -1 means that the class is not known."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")

FOLDER = "folder:"
"""Begins the name of a set of class folders; its path follows, relative to the data root."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one size with a class each."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    class_names: tuple[str, ...]
    broken: tuple[str, ...] = ()
    """A sentence for each image of the files that cannot be decoded and is left out."""

    @cached_property
    def sha256(self) -> str:
        """Hash of images and labels, in order."""
        return tensors_sha256(self.images, self.labels)

    def name_of(self, label: int) -> str:
        """Name of a class, or its label where it has none."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)


def load(
    name: str,
    root: str | Path | None = None,
    *,
    split: str = "train",
    image_size: int | None = None,
    download: bool = True,
    settings: Mapping[str, Any] | None = None,
    skip_broken: bool = False,
) -> ImageSet:
    """Load one split of a data set (what has to be decoded is memory-mapped from this machine's cache).

    Looked for in this order:

    * sets of plug-ins, see `embedding_core.plugins.dataset`;
    * `digits`: embedded, 1,797 images;
    * `folder:PATH`: class folders, see `ClassFolders`;
    * Parquet files in `<root>/<name>`, see `ParquetSet`; any name;
    * `cifar-10-python`, `cifar10`, `mnist`, `stl10`, `stl10-unlabelled`, `caltech101`: torchvision's own layout and
      download (none of the first, which is its authors' archive, unpacked).

    Args:
        name: see above.
        root: see `resolve_root`.
        split: `train` or `test`.
        image_size: pixels a side that every image is fitted to (see `fit`), >= 1. None: images of one size stay as
            they are, images of several sizes are fitted to `DEFAULT_SIDE`; test images follow the training images.
        download: whether a set of torchvision's that is not there is fetched.
        settings: fields of a plug-in, such as `dataset.noise`; its defaults otherwise.
        skip_broken: whether images that cannot be decoded are left out, and named in `ImageSet.broken`.

    Raises:
        Faults: unknown name, missing files, broken images of either split; one sentence each.
    """
    if split not in ("train", "test"):
        raise Faults([unknown("split", split, ("train", "test"))])
    if image_size is not None and image_size < 1:
        raise Faults([f"`image_size` must be at least 1, but got {image_size}."])
    source = _source(name, resolve_root(root), settings, download=download)
    if split == "test" and source.test_size() is None:
        raise Faults([f"`{name}` comes in one piece; its test split is carved out by embedding_core.data.splits."])
    if split == "test" and isinstance(source, ParquetSet | ClassFolders | PluginSet):
        found = _test_like_training(name, source, image_size)
    else:
        found = _image_set(source.decoded(split, image_size=image_size))
    if found.broken and not skip_broken:
        other = source.decoded("test", image_size=image_size).broken if split == "train" and source.test_size() else ()
        raise Faults(refused(name, (*found.broken, *other)))
    return found


def size_of_test_file(
    name: str, root: str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> int | None:
    """Images in the set's own test file, which stays undecoded; None: the split is carved out of the training file.

    Raises:
        Faults: unknown name, or a test file that is not what it should be.
    """
    return _source(name, resolve_root(root), settings).test_size()


def told(name: str, root: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> str:
    """What was taken of the files of a set, and what was passed over, in a line; empty where nothing was chosen.

    Raises:
        Faults: see `load`.
    """
    source = _source(name, resolve_root(root), settings, download=False)
    return one_line(source.told()) if isinstance(source, ParquetSet | ClassFolders) else ""


@dataclass(frozen=True, slots=True)
class _Digits:
    def test_size(self) -> None:
        return None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        # Importing scikit-learn takes most of a second, which each trial's process would pay for one small file of it.
        package = find_spec("sklearn")
        assert package is not None
        assert package.submodule_search_locations is not None
        (folder,) = package.submodule_search_locations
        table = np.loadtxt(Path(folder, "datasets", "data", "digits.csv.gz"), delimiter=",", dtype=np.int64)
        images = np.rint(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        names = tuple(str(digit) for digit in range(10))
        return array_set(images, table[:, -1], names, image_size=image_size)


Source = ClassFolders | ParquetSet | PluginSet | TorchvisionSet | _Digits
"""Each has `test_size() -> int | None` and `decoded(split, *, image_size) -> Decoded`."""


def _source(name: str, root: Path | str, settings: Mapping[str, Any] | None, *, download: bool = True) -> Source:
    if name in DATASETS and DATASETS[name].sha256 is not None:
        return PluginSet(name, root, settings or {})
    if name == "digits":
        return _Digits()
    below = Path(name.removeprefix(FOLDER)).expanduser()
    base = fetched(str(root), str(below)) if is_uri(root) and not below.is_absolute() else Path(root)
    if name.startswith(FOLDER):
        return ClassFolders(base / below)
    parquet = ParquetSet(base / name, unlabelled=name in UNLABELLED)
    if parquet.found():
        return parquet
    if name in (*PLACES, AUTHORS_CIFAR10):
        return TorchvisionSet(name, base, download)
    raise Faults([_not_found(name, base)])


def _not_found(name: str, base: Path) -> str:
    """A sentence about a name that is no data set, and about what is there by this name."""
    place = base / name
    if sentence := told_instead(place, name):
        return sentence
    if folders_in(place):
        return f"{place} holds folders and no Parquet files: a set of class folders is called `{FOLDER}{name}`."
    beside = place.parent.glob(f"{glob.escape(place.name)}*") if place.name else ()
    archives = sorted(file for file in beside if file.name.lower().endswith(ARCHIVES))
    if archives:
        return f"{archives[0]} is an archive: unpack it, and name the folder that it leaves."
    found = {file.parent.name for file in base.glob("*/train.parquet")}
    found |= {file.parents[1].name for file in base.glob("*/*/train-*.parquet")}
    sentence = unknown("data set", name, {*DATASETS, f"{FOLDER}PATH", *found})
    return f"{sentence} Looked for {place / 'train.parquet'}. Without a network `digits` always works."


def _test_like_training(name: str, source: ParquetSet | ClassFolders | PluginSet, image_size: int | None) -> ImageSet:
    """What one split shows by chance (all of one size, all grey) must not set it apart from the other."""
    train = _image_set(source.decoded("train", image_size=image_size))
    if train.images.shape[2:] == (DEFAULT_SIDE, DEFAULT_SIDE):
        image_size = DEFAULT_SIDE
    test = _image_set(source.decoded("test", image_size=image_size))
    images = test.images.expand(-1, train.images.shape[1], -1, -1) if test.images.shape[1] == 1 else test.images
    labels, names = in_training_labels(name, train.labels, train.class_names, test.labels, test.class_names)
    return ImageSet(images, labels, names, test.broken)


def _image_set(decoded: Decoded) -> ImageSet:
    images, labels, class_names, broken = decoded
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels), class_names, broken)
