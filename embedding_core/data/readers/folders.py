"""Class folders of images: the name of the folder is the class."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from embedding_core.data.readers.decode import SUFFIXES, decode_image
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import ImageRows
from embedding_core.data.readers.listing import (
    NOT_THE_USERS,
    folders_in,
    images_below,
    instead,
    is_image,
    other_files,
)
from embedding_core.data.readers.sentences import MAX_FAULTS, counted, few, first_names
from embedding_core.data.readers.similar_names import alike_told, folded
from embedding_core.data.readers.split_folders import are_splits, split_folders
from embedding_core.errors import Faults
from embedding_core.wording import plural


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """Images in `<path>/<class>/`, at any depth; or in `<path>/train/<class>/` and `<path>/test/<class>/`.

    The splits may be called by any of the usual names (`Training`, `seg_train`, ...; see `split_of`); a validation
    split is the test split where there is no other, and else passed over, as validation images are drawn from the
    training images. A split that holds one folder of its own name, as an archive leaves it, is read from there.

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
        return len(self._files("test")[0]) if "test" in split_folders(self.path) else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """Images and labels of a split, by class and then by path.

        Raises:
            Faults: no class folders, classes without images, files that cannot be read.
        """
        files, labels, class_names = self._files(split)
        content = _sha256(files, labels, class_names)
        rows = ImageRows(
            np.array(labels, np.int64),
            class_names,
            lambda row: picture_of(files[row]),
            lambda row: str(files[row]),
            str(self.path),
        )
        return cached(content, lambda: rows, image_size=image_size)

    def told(self) -> str:
        """What was taken for what, and what was passed over, in a line.

        Raises:
            Faults: see `decoded`.
        """
        splits = split_folders(self.path)
        parts = []
        for split in ("train", "test") if "test" in splits else ("train",):
            files, labels, names = self._files(split)
            base = splits.get(split, self.path)
            whence = f" in {base.relative_to(self.path)}" if split in splits else ""
            within = Counter(file.parent.name for file in files if file.parent.parent != base)
            deeper = f", those of folders within class folders among them: {first_names(sorted(within))}"
            parts.append(
                f"{plural(len(files), f'{split} image')} of {plural(len(set(labels)), 'class')}{whence} "
                f"({counted(Counter(names[label] for label in labels))}{deeper * bool(within)})"
            )
            parts += alike_told(names)
        used = {folder for split, folder in splits.items() if split in ("train", "test")}
        over = [
            name
            for name in folders_in(self.path)
            if splits and not any((self.path / name) in (f, *f.parents) for f in used)
        ]
        loose = sum(is_image(name) for folder in {self.path, *used} for name in os.listdir(folder))
        over += [f"{plural(loose, 'image')} beside the class folders"] if loose else []
        over += other_files(self.path)
        over += sorted(name for name in os.listdir(self.path) if name in NOT_THE_USERS)
        return "; ".join([*parts, *([f"passed over: {', '.join(over)}"] if over else [])])

    def _files(self, split: str) -> tuple[list[Path], list[int], tuple[str, ...]]:
        """Images of a split, their labels, and the name of each label."""
        splits = split_folders(self.path)
        train = splits.get("train", self.path)
        folder = splits.get("test", self.path / "test") if split == "test" else train
        class_names, faults = self._classes(train, folder)
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(class_names):
            of_class = images_below(folder / name) if (folder / name).is_dir() else []
            if not of_class and split == "train":
                faults.append(f"{folder / name} holds no images ({', '.join(SUFFIXES)}).")
            files += of_class
            labels += [label] * len(of_class)
        if not files and not faults:
            faults.append(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
        if faults:
            more = len(faults) - MAX_FAULTS
            raise Faults(few(faults, f"{plural(more, 'more class folder')} {'is' if more == 1 else 'are'} wrong."))
        return files, labels, class_names

    def _classes(self, train: Path, folder: Path) -> tuple[tuple[str, ...], list[str]]:
        """Class names by label for the images in `folder`, and what is wrong with them.

        Raises:
            Faults: no class folders in `train`.
        """
        class_names = tuple(name for name in folders_in(train) if name not in self.left_out)
        if not class_names:
            raise Faults([f"{train} holds no class folders of images{instead(train)}."])
        one = train / class_names[0]
        if (
            len(class_names) == 1
            and (below := folders_in(one))
            and not any(one / f.name == f for f in images_below(one))
        ):
            raise Faults(
                [f"{train} holds one class folder alone, {class_names[0]}, which holds the folders "
                 f"{first_names(below)}. If these are the classes, the data set is folder:{train / class_names[0]}."]
            )  # fmt: skip
        own = [name for name in folders_in(folder) if name not in self.left_out]
        strange = [name for name in own if name not in class_names]
        like = {folded(name): name for name in class_names}
        similar = {name: like[folded(name)] for name in strange if folded(name) in like}
        # One class alone is no test set of its own.
        new = strange if strange == own and len(own) > 1 and not similar else []
        # Training and test folder of a class have one name, so that one may be a link to the other.
        named = list(dict.fromkeys([*(train / name for name in class_names), *(folder / name for name in own)]))
        # Class names end up in Parquet files, which hold UTF-8 alone.
        faults = [f"{str(path)!a} must have a name in UTF-8." for path in named if not _is_utf8(path.name)]
        faults += [
            f"{folder / name} is a class without a training folder"
            + (f" ({similar[name]!a} is one; {name!a} is not the same name)." if name in similar else ".")
            for name in strange
            if name not in new
        ]
        return (*class_names, *new), faults + _no_classes(named)


def _no_classes(named: Sequence[Path]) -> list[str]:
    """What is wrong with class folders of which one leads into another class, or that hold splits."""
    real = {path: Path(os.path.realpath(path)) for path in named}
    at: dict[Path, set[str]] = {}
    above: dict[Path, set[str]] = {}
    for path, place in real.items():
        at.setdefault(place, set()).add(path.name)
        for parent in place.parents:
            above.setdefault(parent, set()).add(path.name)

    def leads_into_another(path: Path) -> bool:
        around = (above.get(real[path], set()), *(at.get(place, set()) for place in (real[path], *real[path].parents)))
        return any(classes - {path.name} for classes in around)

    faults = [
        f"{path} is a link to {place}, which has images of another class: a class must have a folder of its own."
        for path, place in real.items()
        if path.is_symlink() and leads_into_another(path)
    ]
    return faults + [
        f"{path} holds the splits {', '.join(below)}: a split must hold the classes ({below[0]}/{path.name}), not the "
        "classes the splits."
        for path in named
        if are_splits(below := folders_in(path))
    ]


def picture_of(file: Path) -> Image.Image:
    """See `decode_image`; a file that cannot be read is no image either."""
    try:
        if not file.is_file():  # a pipe would be waited on for ever
            raise ValueError("not a file, or a link that leads nowhere")
        return decode_image(file.read_bytes())
    except OSError as error:
        raise ValueError(str(error)) from error


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # how Python keeps bytes it cannot decode


def _sha256(files: Sequence[Path], labels: Sequence[int], class_names: tuple[str, ...]) -> str:
    """Hash of class names, labels and file contents; what the files are called does not count."""
    digest = hashlib.sha256(repr((class_names, labels)).encode())
    faults = []
    for file in files:
        try:
            if not file.is_file():
                digest.update(b"no file")  # told as broken, with those that are no images
                continue
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            faults.append(f"{file} cannot be read: {error}.")
    if faults:
        raise Faults(few(faults, f"{plural(len(faults) - MAX_FAULTS, 'more file')} cannot be read."))
    return digest.hexdigest()
