"""Names of classes that people would call the same."""

import unicodedata
from collections.abc import Iterable

from embedding_core.data.readers.sentences import first_names


def folded(name: str) -> str:
    """What is left of a name without case, blanks and Unicode's several encodings of one text."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def alike_told(names: Iterable[str]) -> list[str]:
    """What to say of names that differ from another in case, blanks or encoding alone; nothing where none do."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(folded(name), set()).add(name)
    similar = [ascii(name) for same in found.values() if len(same) > 1 for name in sorted(same)]
    if not similar:
        return []
    return [f"classes whose names differ in case, blanks or encoding alone: {first_names(similar)}"]
