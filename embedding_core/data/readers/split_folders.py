"""Folders of splits by the names that people give to them: `Training`, `seg_test`, `val`."""

import re
from pathlib import Path
from typing import Final

from embedding_core.data.readers.listing import folders_in
from embedding_core.errors import Faults

SPLITS: Final = {
    "train": "train", "training": "train", "trn": "train", "test": "test", "testing": "test", "tst": "test",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "eval": "valid", "evaluation": "valid",
}  # fmt: skip
"""What people call a split -> what it is."""

SPLIT_NAME: Final = re.compile(rf"(?:seg|images?|data)?[ _-]?({'|'.join(SPLITS)})[ _-]?(?:set|images?|data|split)?")


def split_of(name: str) -> str | None:
    """`train`, `test` or `valid`, by the names that people give to folders of a split; None: it is none of them."""
    found = SPLIT_NAME.fullmatch(name.lower())
    return None if found is None else SPLITS[found[1]]


def are_splits(names: list[str]) -> bool:
    """Whether folders of these names can only be meant as splits: a training split, another, and nothing else."""
    found = {split_of(name) for name in names}
    return "train" in found and len(found) > 1 and None not in found


def split_folders(path: Path) -> dict[str, Path]:
    """Folders of the splits in `path`, by `train` and `test`; none where its folders are classes.

    A validation split is the test split where there is no other.

    Raises:
        Faults: two folders for one split, or splits without class folders.
    """
    named: dict[str, list[str]] = {}
    folders = folders_in(path)
    for name in folders:
        # A class may be called `train`: the split of that name holds folders.
        if (split := split_of(name)) is not None and (split != "train" or folders_in(path / name)):
            named.setdefault(split, []).append(name)
    if "train" not in named:
        splits = [name for name in folders if split_of(name) is not None]
        if are_splits(splits):
            flat = " and ".join(name for name in splits if split_of(name) == "train")
            raise Faults([f"{path} holds the splits {', '.join(splits)}, but no class folders in {flat}: the name of "
                          "the folder that an image is in is its class."])  # fmt: skip
        return {}
    if "test" not in named and "valid" in named:
        named["test"] = named["valid"]
    twice = [f"{' and '.join(own)} for {split}" for split, own in named.items() if len(own) > 1]
    if twice:
        raise Faults([f"{path} must have one folder for each split, but has {', '.join(twice)}."])
    return {split: _unpacked(path / names[0]) for split, names in named.items()}


def _unpacked(folder: Path) -> Path:
    """`folder`, or the only one in it if that has the same name: archives leave `seg_train/seg_train`."""
    return folder / folder.name if folders_in(folder) == [folder.name] else folder
