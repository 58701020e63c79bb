"""What a sentence's brackets hold: how many units of what, which images, which loss, what was tuned. Pure."""

from typing import Final

import pyarrow as pa

from sweeps.analysis.stats.description.descriptive import distinct
from sweeps.analysis.stats.reading.contrasts import CellRuns

DATASETS: Final = {
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "stl10": "STL-10",
    "caltech101": "Caltech-101",
}
"""Names as people write them; others stay as they are."""

LOSSES: Final = {
    "triplet": "fixed triplets",
    "mined": "mined triplets",
    "semihard": "semi-hard triplets",
    "nt_xent": "NT-Xent",
    "arcface": "ArcFace",
}

NOTHING_TUNED: Final = "drop-in: nothing tuned"


def context_of(confirm: pa.Table, runs: CellRuns) -> str:
    """`6 tunings x 2 seeds, CIFAR-10, fixed triplets`.

    Args:
        confirm: rows of the contrast's cells.
        runs: those that its units are made of.
    """
    datasets, losses = (distinct(confirm, name) for name in ("dataset", "loss"))
    parts = [runs.counted(), ", ".join(DATASETS.get(name, name) for name in datasets.split(", "))]
    # Of several losses the cells say which is which.
    parts += [LOSSES.get(losses, losses)] if ", " not in losses else []
    origin = distinct(confirm, "origin")
    if not runs.tuned:
        parts.append(NOTHING_TUNED)
    elif origin == "best of search":
        parts.append(origin)
    return ", ".join(part for part in parts if part)
