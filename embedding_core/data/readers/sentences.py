"""Names and numbers in sentences about a data set."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

MAX_FAULTS: Final = 5
"""Rows, files or names that are written out one by one; the rest are counted."""

MAX_COUNTED: Final = 10
"""Classes whose images a line counts one by one."""

CONTROL: Final = re.compile(r"[\x00-\x1f]")
"""Line breaks and the like, in the names of files and classes."""


def one_line(text: str) -> str:
    """`text` on one line that UTF-8 can hold, whatever the files that it names are called."""
    return CONTROL.sub(" ", text.encode("utf-8", "backslashreplace").decode())


def few(faults: Sequence[str], rest: str) -> list[str]:
    """The first `MAX_FAULTS`, and the sentence `rest` if there are more."""
    return [*faults] if len(faults) <= MAX_FAULTS else [*faults[:MAX_FAULTS], rest]


def first_names(names: Sequence[str]) -> str:
    """`cat, cow, owl, ...`: the first `MAX_FAULTS` of them."""
    return ", ".join([*names[:MAX_FAULTS], *(["..."] if len(names) > MAX_FAULTS else [])])


def counted(images: Mapping[str, int]) -> str:
    """`cat 12, cow 12`; of many classes the range. `images`: by class."""
    if len(images) > MAX_COUNTED:
        return f"{min(images.values()):,} to {max(images.values()):,} each"
    return ", ".join(f"{name} {n:,}" for name, n in sorted(images.items()))
