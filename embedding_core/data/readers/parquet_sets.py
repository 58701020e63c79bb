"""Data sets of Parquet files: which files are which split, by the names that the hub and people give them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedding_core.data.readers.image_cache import Decoded
from embedding_core.data.readers.parquet_columns import chosen_columns, parquet_rows, parquet_schema
from embedding_core.data.readers.parquet_images import decode_parquet, label_counts
from embedding_core.data.readers.sentences import MAX_FAULTS, counted, first_names
from embedding_core.data.readers.similar_names import alike_told
from embedding_core.errors import Faults
from embedding_core.wording import plural

SPLIT_NAMES: Final = {"train": ("train", "training"), "test": ("test", "testing", "validation", "valid", "val")}
"""What a split may be called, the best first."""

SHARD: Final = r"-(\d{5})-of-(\d{5})(-[0-9a-f]+)?"
"""Between the name of a split and the suffix, where the split is in shards."""

OF_A_SPLIT: Final = re.compile(rf"({'|'.join(SPLIT_NAMES['train'] + SPLIT_NAMES['test'])})({SHARD})?\.parquet")
"""What a file of a split may be called."""


@dataclass(frozen=True, slots=True)
class ParquetSet:
    """`<folder>/{train,test}.parquet`, or shards such as `<folder>/data/train-00000-of-00002.parquet`.

    Shards may lie in any one folder below, as the hub stores sets (`plain_text`, `default`, ...), or in `<folder>`
    itself. Where there is no test split, `validation` or `valid` is it.
    """

    folder: Path
    unlabelled: bool = False
    """Whether a label may be -1."""

    def files(self, split: str) -> tuple[Path, ...]:
        """Files of a split, in order; none: there is no such split.

        Raises:
            Faults: not the shards 0, 1, ... that the names announce.
        """
        for name in SPLIT_NAMES[split]:
            whole = self.folder / f"{name}.parquet"
            if os.path.lexists(whole):  # a link that leads nowhere is there too: reading it will tell
                return (whole,)
            found = {folder: shards for folder in _folders(self.folder) if (shards := _shards(folder, name))}
            if len(found) > 1:
                raise Faults([f"{self.folder} must hold one set, but {', '.join(sorted(f.name for f in found))} each "
                              f"hold shards of the {name} split: name one of them as the data set."])  # fmt: skip
            if found:
                return next(iter(found.values()))
        return ()

    def found(self) -> bool:
        """Whether there is a file of either split."""
        return bool(self.files("train") or self.files("test"))

    def test_size(self) -> int | None:
        """Rows of the test files, which stay undecoded; None: there are none."""
        files = self.files("test")
        return sum(parquet_rows(file) for file in files) if files else None

    def decoded(self, split: str, *, image_size: int | None) -> Decoded:
        """See `decode_parquet`."""
        files = self.files(split)
        if not files:
            missing = self.folder / f"{split}.parquet"
            raise Faults([f"Data set `{self.folder.name}` has no {split} split: {missing} does not exist."])
        first = self.files("train") if split == "test" else ()
        return decode_parquet(*files, image_size=image_size, unlabelled=self.unlabelled, after=first)

    def told(self) -> str:
        """What was taken for what, and what was passed over, in a line.

        Raises:
            Faults: see `decoded`.
        """
        splits = {split: files for split in ("train", "test") if (files := self.files(split))}
        parts: list[str] = []
        over: dict[str, None] = {}
        for split, files in splits.items():
            schema = parquet_schema(files[0])
            chosen = chosen_columns(files[0], schema)
            classes = label_counts(files, chosen[1])
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            parts.append(
                f"{plural(sum(map(parquet_rows, files)), f'{split} image')} of {plural(len(classes), 'class')} "
                f"({counted(classes)}) of {files[0].relative_to(self.folder)}{more}, columns {' and '.join(chosen)}"
            )
            parts += alike_told(classes)
            over |= dict.fromkeys(f"column {name}" for name in schema.names if name not in chosen)
        used = {file for files in splits.values() for file in files}
        unused = [str(file.relative_to(self.folder)) for file in parquet_files(self.folder) if file not in used]
        over |= dict.fromkeys([first_names(unused)] if unused else [])
        return "; ".join([*parts, *([f"passed over: {', '.join(over)}"] if over else [])])


def parquet_files(folder: Path) -> list[Path]:
    """Parquet files in a folder and in the folders in it, sorted."""
    return sorted(file for below in _folders(folder) for file in below.glob("*.parquet"))


def told_instead(folder: Path, name: str) -> str:
    """A sentence about Parquet files in `folder`, or at most two folders below, of which the set `name` is not made.

    They are called otherwise than those of a split, or lie too deep. Empty where there are none.
    """
    try:
        files = sorted(file for depth in ("", "*/", "*/*/") for file in folder.glob(f"{depth}*.parquet"))
    except OSError:  # a folder that went away meanwhile, as those in /proc do
        return ""
    if not files:
        return ""
    splits = [file for file in files if OF_A_SPLIT.fullmatch(file.name)]
    found = f"{folder} holds {first_names([str(file.relative_to(folder)) for file in splits or files])}"
    if splits:
        homes = list(dict.fromkeys(f"`{Path(name) / file.parent.relative_to(folder)}`" for file in splits))
        return f"{found}, too deep for the data set `{name}`: name {' or '.join(homes[:MAX_FAULTS])} as the data set."
    return (
        f"{found}, but its files must be called train.parquet and test.parquet, or "
        "train-00000-of-00002.parquet and so on."
    )


def _folders(folder: Path) -> list[Path]:
    """Where the files of a set may lie."""
    try:
        below = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        below = []
    return [folder, *sorted(below)]


def _shards(folder: Path, split: str) -> tuple[Path, ...]:
    try:
        files = sorted(folder.glob(f"{split}-*.parquet"))
    except OSError as error:
        raise Faults([f"{folder} cannot be listed: {error}"]) from error
    named = [re.fullmatch(rf"{split}{SHARD}\.parquet", file.name) for file in files]
    numbers = [(int(match[1]), int(match[2])) for match in named if match]
    if numbers and numbers != [(i, len(numbers)) for i in range(numbers[0][1])]:
        shown = ", ".join(file.name for file in files)
        raise Faults([f"{folder} must hold every shard of the {split} split once, but holds {shown}."])
    return tuple(file for file, match in zip(files, named, strict=True) if match)
