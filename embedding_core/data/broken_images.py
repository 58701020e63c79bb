"""Images that cannot be decoded, in sentences: refused with all of them named, or told where a user goes on without."""

from collections.abc import Mapping
from pathlib import Path

from embedding_core.data.readers.image_rows import WHY, list_file, listed
from embedding_core.data.readers.sentences import MAX_FAULTS, one_line
from embedding_core.wording import plural


def refused(name: str, broken: tuple[str, ...]) -> list[str]:
    """Faults of a data set where nobody has asked to go on without its broken images.

    Args:
        name: of the data set.
        broken: see `ImageSet.broken`.
    """
    ways = "`--skip-broken` (of a single run: skip_broken=true) goes on without them"
    return [*listed(broken, name), f"Images of `{name}` that cannot be decoded: {len(broken):,}; {ways}."]


def left_out(broken: Mapping[str, tuple[str, ...]], folder: Path) -> str:
    """What was left out, in a line that names the first and says where all are listed; empty where nothing was.

    Args:
        broken: see `ImageSet.broken`, by part: `train`, `test`.
        folder: of the data set; names of files within are shown from there on.
    """
    every = [sentence for part in broken.values() for sentence in part]
    if not every:
        return ""
    counts = [plural(len(own), f"{part} image") for part, own in broken.items()]
    names = [one.partition(WHY)[0].removeprefix(f"{folder}/") for one in every[:MAX_FAULTS]]
    if more := len(every) - len(names):
        file = list_file(every)
        names.append(f"{more:,} more" + (f"; all are listed in {file}" if file else ""))
    left = "is left out" if len(every) == 1 else "are left out"
    return one_line(f"{' and '.join(counts)} cannot be decoded and {left}: {', '.join(names)}")
