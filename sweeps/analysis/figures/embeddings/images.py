"""Images of each class in one run: closest to its mean, farthest from it, and the nearest of others."""

from typing import Final

from sweeps.analysis.figures.embeddings.sheets import SheetData, Tile, tile_of
from sweeps.analysis.figures.embeddings.stored_views import IN_EMBEDDING_SPACE, Shown, where
from sweeps.analysis.stats.reading.pairing import Place

READING: Final = (
    "Of each class the images nearest to its mean direction, those farthest from it, and the nearest of other classes "
    "(dashed, with their class). Numbers are cosines to the mean."
)

SHEET_CLASSES: Final = 10
"""Classes on a sheet of images."""

SHEET_IMAGES: Final = 3
"""Images of a kind per class on a sheet."""


def class_sheet(data: Shown, split: str, cell: str, *, block: Place) -> SheetData:
    """Closest, farthest and foreign images of each class in one run."""
    trial = data.trials[cell][block]
    kinds = ("closest", "farthest", "foreign")
    found: dict[int, dict[str, list[Tile]]] = {}
    names, seed = {}, None
    for kind in kinds:
        for row in data.rows(kind, split, trial):
            names[row["class_id"]], seed = row["class_name"], row["seed"]
            if row["rank"] < SHEET_IMAGES:
                found.setdefault(row["class_id"], {k: [] for k in kinds})[kind].append(tile_of(row))
    classes = sorted(found)[:SHEET_CLASSES]
    of = f"{len(classes)} of {len(found)} classes" if len(found) > len(classes) else f"{len(classes)} classes"
    return SheetData(
        title=f"Images of each class: {cell}",
        groups=("closest", "farthest", "foreign"),
        row_names=tuple(names[c] for c in classes),
        tiles=tuple(tuple(tuple(found[c][kind]) for kind in kinds) for c in classes),
        caption=f"n = {data.images(split):,} images, {of}; {cell}, {data.named(block)}, seed {seed}; "
        f"{where(data, split)}; cosine to the class mean, {IN_EMBEDDING_SPACE}",
    )
