"""Views as runs store them: of digits whose `embeddings` are their pixels, more or less contrasted."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from embedding_core.data.image_sets import ImageSet, load
from embedding_core.views.view_tables import ViewTables, compute_views
from sweeps.results.store import Store, read

BLOCKS = (1, 2)
IMAGES = 120
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@cache
def computed(contrast: int, block: int) -> ViewTables:
    """`contrast` tells the cells apart, the block their runs; UMAP stands in as another PCA."""
    digits = load("digits")
    images = ImageSet(digits.images[:IMAGES], digits.labels[:IMAGES], NAMES)
    z = images.images.flatten(1).float().pow(1 + contrast) + 10 * block
    found = compute_views(torch.nn.functional.normalize(z), images, split="test", seed=block)
    planar = [{**row, "view": "umap"} for row in found.views if row["view"] == "pca"]
    return found._replace(views=[*found.views, *planar])


def of(tables: ViewTables, view: str) -> list[dict[str, Any]]:
    """Rows of one view."""
    return [row for row in tables.views if row["view"] == view]


def write_views(folder: Path, cells: Sequence[str]) -> dict[str, ViewTables]:
    """Store them for the first blocks of these cells of a stored sweep; returns them by trial."""
    store, stored = Store.open(folder), {}
    for row in read(folder, "trials", stage="confirm").to_pylist():
        if row["cell_id"] in cells and row["block"] in BLOCKS:
            tables = computed(cells.index(row["cell_id"]), row["block"])
            store.write("views", "confirm", row["trial_id"], 1, tables.views)
            store.write("eval_groups", "confirm", row["trial_id"], 1, tables.eval_groups)
            stored[row["trial_id"]] = tables
    return stored
