"""Class folders of images: the name of the folder is the class."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from embedding_core.data.readers.decode import SUFFIXES, decode_image
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import MAX_FAULTS, ImageRows, few
from embedding_core.errors import Faults


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """Images in `<path>/<class>/`, at any depth; or in `<path>/train/<class>/` and `<path>/test/<class>/`.

    An image is a file with one of `SUFFIXES`; other files, and names that begin with a dot, are passed over.
    Links are followed, each folder once. A class of the training split must have images; the test split may lack some,
    or have two classes or more that are all its own: their labels follow those of the training split.
    """

    path: Path
    left_out: tuple[str, ...] = ()
    """Folders that are no classes."""

    def test_size(self) -> int | None:
        """Images of the test split; None: the set comes in one piece.

        Raises:
            Faults: see `decoded`.
        """
        return len(self._files("test")[0]) if self._pieces() and (self.path / "test").is_dir() else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """Images and labels of a split, by class and then by path.

        Raises:
            Faults: no class folders, classes without images, files that cannot be read or are no images.
        """
        files, labels, class_names = self._files(split)
        content = _sha256(files, labels, class_names)

        def picture(row: int) -> Image.Image:
            try:
                return decode_image(files[row].read_bytes())
            except OSError as error:
                raise ValueError(str(error)) from error

        rows = ImageRows(np.array(labels, np.int64), class_names, picture, lambda row: str(files[row]), str(self.path))
        return cached(content, lambda: rows, image_size=image_size)

    def _classes(self, train: Path, folder: Path) -> tuple[tuple[str, ...], list[str]]:
        """Class names by label for the images in `folder`, and what is wrong with them.

        Raises:
            Faults: no class folders in `train`.
        """
        class_names = tuple(name for name in _folders(train) if name not in self.left_out)
        if not class_names:
            raise Faults([f"{train} holds no class folders of images."])
        own = [name for name in _folders(folder) if name not in self.left_out]
        strange = [name for name in own if name not in class_names]
        new = strange if strange == own and len(own) > 1 else []  # one class alone is no test set of its own
        named = [*(train / name for name in class_names), *(folder / name for name in new)]
        # Class names end up in Parquet files, which hold UTF-8 alone.
        faults = [f"{str(path)!a} must have a name in UTF-8." for path in named if not _is_utf8(path.name)]
        faults += [f"{folder / name} is a class without a training folder." for name in strange if name not in new]
        return (*class_names, *new), faults

    def _pieces(self) -> bool:
        """Whether there is a folder of classes called `train`, and not just a class of that name."""
        return bool(_folders(self.path / "train"))

    def _files(self, split: str) -> tuple[list[Path], list[int], tuple[str, ...]]:
        train = self.path / "train" if self._pieces() else self.path
        folder = self.path / "test" if split == "test" else train
        class_names, faults = self._classes(train, folder)
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(class_names):
            of_class = _images_below(folder / name) if (folder / name).is_dir() else []
            if not of_class and split == "train":
                faults.append(f"{folder / name} holds no images ({', '.join(SUFFIXES)}).")
            files += of_class
            labels += [label] * len(of_class)
        if not files and not faults:
            faults.append(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
        if faults:
            raise Faults(few(faults, f"{len(faults) - MAX_FAULTS} more class folders are wrong."))
        return files, labels, class_names


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # how Python keeps bytes it cannot decode


def _folders(path: Path) -> list[str]:
    """Names of the folders in `path`, sorted; none where that is no folder."""
    if not path.is_dir():
        return []
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith(".") and os.path.isdir(path / name))
    except OSError as error:
        raise Faults([f"{path} cannot be listed: {error}"]) from error


def _images_below(folder: Path) -> list[Path]:
    """Image files at any depth, sorted."""

    def cannot_list(error: OSError) -> None:
        raise Faults([f"{error.filename} cannot be listed: {error}"]) from error

    files, entered = [], set(map(str, Path(os.path.realpath(folder)).parents))
    for path, folders, names in os.walk(folder, onerror=cannot_list, followlinks=True):
        real = os.path.realpath(path)
        if real in entered:  # links may lead back, or up to where the other classes are
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(path, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(files)


def _sha256(files: Sequence[Path], labels: Sequence[int], class_names: tuple[str, ...]) -> str:
    """Hash of class names, labels and file contents; what the files are called does not count."""
    digest = hashlib.sha256(repr((class_names, labels)).encode())
    faults = []
    for file in files:
        try:
            if not file.is_file():  # a pipe would be waited on for ever
                raise OSError("not a file, or a link that leads nowhere")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            faults.append(f"{file} cannot be read: {error}.")
    if faults:
        raise Faults(few(faults, f"{len(faults) - MAX_FAULTS} more files cannot be read."))
    return digest.hexdigest()
