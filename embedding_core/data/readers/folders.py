"""Class folders of images: the name of the folder is the class."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from embedding_core.data.readers.decode import SUFFIXES, decode_image
from embedding_core.data.readers.image_cache import Decoded, cached
from embedding_core.data.readers.image_rows import MAX_FAULTS, ImageRows, few
from embedding_core.errors import Faults

NOT_THE_USERS: Final = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""Folders that archives, file managers and file systems leave, with images of theirs in them."""

SPLITS: Final = {
    "train": "train", "training": "train", "trn": "train", "test": "test", "testing": "test", "tst": "test",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "eval": "valid", "evaluation": "valid",
}  # fmt: skip
"""What people call a split -> what it is."""

SPLIT_NAME: Final = re.compile(rf"(?:seg|images?|data)?[ _-]?({'|'.join(SPLITS)})[ _-]?(?:set|images?|data|split)?")

MAX_COUNTED: Final = 10
"""Classes whose images a line counts one by one."""


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
        return len(self._files("test")[0]) if "test" in self._splits() else None

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

    def _classes(self, train: Path, folder: Path) -> tuple[tuple[str, ...], list[str]]:
        """Class names by label for the images in `folder`, and what is wrong with them.

        Raises:
            Faults: no class folders in `train`.
        """
        class_names = tuple(name for name in _folders(train) if name not in self.left_out)
        if not class_names:
            raise Faults([f"{train} holds no class folders of images."])
        one = train / class_names[0]
        if len(class_names) == 1 and (below := _folders(one)) and not any(one / f.name == f for f in images_below(one)):
            some = ", ".join([*below[:MAX_FAULTS], *(["..."] if len(below) > MAX_FAULTS else [])])
            raise Faults(
                [f"{train} holds one class folder alone, {class_names[0]}, which holds the folders {some}. If these "
                 f"are the classes, the data set is folder:{train / class_names[0]}."]
            )  # fmt: skip
        own = [name for name in _folders(folder) if name not in self.left_out]
        strange = [name for name in own if name not in class_names]
        new = strange if strange == own and len(own) > 1 else []  # one class alone is no test set of its own
        named = [*(train / name for name in class_names), *(folder / name for name in new)]
        # Class names end up in Parquet files, which hold UTF-8 alone.
        faults = [f"{str(path)!a} must have a name in UTF-8." for path in named if not _is_utf8(path.name)]
        faults += [f"{folder / name} is a class without a training folder." for name in strange if name not in new]
        return (*class_names, *new), faults

    def told(self) -> str:
        """What was taken for what, and what was passed over, in a line.

        Raises:
            Faults: see `decoded`.
        """
        splits = self._splits()
        parts = []
        for split in ("train", "test") if "test" in splits else ("train",):
            files, labels, names = self._files(split)
            whence = f" in {splits[split].relative_to(self.path)}" if split in splits else ""
            counts = counted(Counter(names[label] for label in labels))
            base = splits.get(split, self.path)
            within = len({file.parent for file in files if file.parent.parent != base})
            deeper = f", those of {within:,} folders within class folders among them" if within else ""
            parts.append(f"{len(files):,} {split} images of {len(set(labels)):,} classes{whence} ({counts}{deeper})")
        used = {folder for split, folder in splits.items() if split in ("train", "test")}
        over = [
            name
            for name in _folders(self.path)
            if splits and not any((self.path / name) in (f, *f.parents) for f in used)
        ]
        loose = sum(_is_image(name) for folder in {self.path, *used} for name in os.listdir(folder))
        over += [f"{loose:,} images beside the class folders"] if loose else []
        over += [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in _other_files(self.path).items()]
        over += sorted(name for name in os.listdir(self.path) if name in NOT_THE_USERS)
        return "; ".join([*parts, *([f"passed over: {', '.join(over)}"] if over else [])])

    def _splits(self) -> dict[str, Path]:
        """Folders of the splits, by `train` and `test`; none where the folders are classes.

        Raises:
            Faults: two folders for one split, or classes beside them.
        """
        named: dict[str, list[str]] = {}
        for name in _folders(self.path):
            # A class may be called `train`: the split of that name holds folders.
            if (split := split_of(name)) is not None and (split != "train" or _folders(self.path / name)):
                named.setdefault(split, []).append(name)
        if "train" not in named:
            return {}
        if "test" not in named and "valid" in named:
            named["test"] = named["valid"]
        twice = [f"{' and '.join(own)} for {split}" for split, own in named.items() if len(own) > 1]
        if twice:
            raise Faults([f"{self.path} must have one folder for each split, but has {', '.join(twice)}."])
        return {split: _unpacked(self.path / names[0]) for split, names in named.items()}

    def _files(self, split: str) -> tuple[list[Path], list[int], tuple[str, ...]]:
        splits = self._splits()
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
            raise Faults(few(faults, f"{len(faults) - MAX_FAULTS} more class folders are wrong."))
        return files, labels, class_names


def picture_of(file: Path) -> Image.Image:
    """See `decode_image`; a file that cannot be read is no image either."""
    try:
        if not file.is_file():  # a pipe would be waited on for ever
            raise ValueError("not a file, or a link that leads nowhere")
        return decode_image(file.read_bytes())
    except OSError as error:
        raise ValueError(str(error)) from error


def split_of(name: str) -> str | None:
    """`train`, `test` or `valid`, by the names that people give to folders of a split; None: it is none of them."""
    found = SPLIT_NAME.fullmatch(name.lower())
    return None if found is None else SPLITS[found[1]]


def _unpacked(folder: Path) -> Path:
    """`folder`, or the only one in it if that has the same name: archives leave `seg_train/seg_train`."""
    return folder / folder.name if _folders(folder) == [folder.name] else folder


def counted(images: Mapping[str, int]) -> str:
    """`cat 12, cow 12`; of many classes the range. `images`: by class."""
    if len(images) > MAX_COUNTED:
        return f"{min(images.values()):,} to {max(images.values()):,} each"
    return ", ".join(f"{name} {n:,}" for name, n in sorted(images.items()))


def _other_files(path: Path) -> Counter[str]:
    """Files below `path` that are no images by their suffix, by it, the most frequent first."""
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not _passed_over(name)]
        found.update(Path(n).suffix.lower() for n in names if not n.startswith(".") and not _is_image(n))
    return Counter(dict(found.most_common()))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in NOT_THE_USERS


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # how Python keeps bytes it cannot decode


def _folders(path: Path) -> list[str]:
    """Names of the folders in `path`, sorted; none where that is no folder."""
    if not path.is_dir():
        return []
    try:
        return sorted(name for name in os.listdir(path) if not _passed_over(name) and os.path.isdir(path / name))
    except OSError as error:
        raise Faults([f"{path} cannot be listed: {error}"]) from error


def images_below(folder: Path) -> list[Path]:
    """Image files at any depth, sorted, but for hidden ones and those of archives, file managers and file systems.

    Raises:
        Faults: a folder that cannot be listed.
    """

    def cannot_list(error: OSError) -> None:
        raise Faults([f"{error.filename} cannot be listed: {error}"]) from error

    files, entered = [], set(map(str, Path(os.path.realpath(folder)).parents))
    for path, folders, names in os.walk(folder, onerror=cannot_list, followlinks=True):
        real = os.path.realpath(path)
        if real in entered:  # links may lead back, or up to where the other classes are
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        files += [Path(path, name) for name in names if _is_image(name)]
    return sorted(files)


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
        raise Faults(few(faults, f"{len(faults) - MAX_FAULTS} more files cannot be read."))
    return digest.hexdigest()
