"""The figures of embeddings that a report shows."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

import pyarrow as pa

from sweeps.analysis.document import Picture
from sweeps.analysis.figures.embeddings import distances, images, micro_batches, neighbours, pca_umap_tsne, spectra
from sweeps.analysis.figures.embeddings.sheets import draw_sheet
from sweeps.analysis.figures.embeddings.stored_views import STAGE, Shown
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.description.held_out import SPLITS
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.analysis.wording import cell_name

FAILED: Final = re.compile(r"(?:^|; )([a-z0-9_ ]+) \((\w+)\): ")
"""Before each reason in `views_failed`: the view and its split."""

CALLED: Final = {
    **pca_umap_tsne.PROJECTIONS,
    "ellipses": "ellipses of the classes",
    "distances": "distances between classes",
    "exemplars": "closest and farthest images of each class",
    "neighbours": "nearest neighbours",
    "neighbours of grey copies": "nearest neighbours of grey queries",
    "groups": "spreads and neighbours by class",
}
"""Views of `views_failed`, as the report has them."""


def chosen(data: Shown) -> str:
    """Which cells get what, where there are too many for sheets of all."""
    return (
        f"Distances, planes and spectra are of {len(data.cells)} cells; sheets of images, and planes of training "
        f"images, of {len(data.sheet_cells)}, those of the first contrasts: "
        f"{'; '.join(map(cell_name, data.sheet_cells))}."
    )


def missing(trials: pa.Table) -> list[str]:
    """A sentence for each view that some confirmed run could not compute, with a figure of its own or not, and why.

    Args:
        trials: the table `trials` with `stage`.
    """
    told = [row["views_failed"] for row in rows_of(trials, STAGE, ("views_failed",))]
    found: dict[tuple[str, str], list[str]] = {}
    for text in filter(None, told):
        _, *parts = FAILED.split(text)
        for view, split, reason in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            found.setdefault((view, split), []).append(reason)
    splits = {**SPLITS, "train": "training images"}
    return [
        f"Missing: {CALLED.get(view, view)}, {splits.get(split, split)}. It could not be computed "
        f"in {len(reasons)} of {len(told)} runs ({'; '.join(dict.fromkeys(reasons))})."
        for (view, split), reasons in found.items()
    ]


def pictures(data: Shown, groups: pa.Table) -> Iterator[Picture]:
    """Everything stored: averages over blocks, and single runs of the first common block.

    Args:
        data: the views of the cells to compare.
        groups: the table `eval_groups` with `stage`.
    """
    for split in SPLITS:
        # The stored Euclidean and angular distances order the classes alike: one matrix says it.
        view = next((view for view in distances.DISTANCES if data.has(view, split)), None)
        if view is not None:
            matrices = distances.distance_data(data, split, view)
            yield Picture(f"distances-{split}", partial(distances.draw_distances, matrices), distances.READING)
        if data.has("spectrum", split):
            spectrum = spectra.spectrum_data(data, split)
            yield Picture(f"spectra-{split}", partial(spectra.draw_spectra, spectrum), spectra.READING)
        if data.block is not None:
            yield from _micro_batches(data, split, data.block)
            yield from _projections(data, split, data.block)
            yield from _sheets(data, groups, split, data.block)


def _micro_batches(data: Shown, split: str, block: Place) -> Iterator[Picture]:
    found = micro_batches.micro_batch_data(data, split, block=block) if data.has("pca", split) else None
    if found is not None and split == "test":
        draw = partial(micro_batches.draw_micro_batches, found)
        yield Picture("micro-batches", draw, micro_batches.READING, found.moving)


def _projections(data: Shown, split: str, block: Place) -> Iterator[Picture]:
    for view in pca_umap_tsne.PROJECTIONS:
        if data.has(view, split):
            found = pca_umap_tsne.projection_data(data, split, view, block=block)
            reading = pca_umap_tsne.PCA_READING if view == "pca" else pca_umap_tsne.UMAP_TSNE_READING
            yield Picture(f"{view}-{split}", partial(pca_umap_tsne.draw_projection, found), reading)
        if split == "test" and data.has(view, "train"):
            found = pca_umap_tsne.train_projection_data(data, view, block=block)
            yield Picture(f"{view}-train", partial(pca_umap_tsne.draw_projection, found), pca_umap_tsne.TRAIN_READING)


def _sheets(data: Shown, groups: pa.Table, split: str, block: Place) -> Iterator[Picture]:
    for i, cell in enumerate(data.sheet_cells, start=1):
        if data.has("closest", split):
            sheet = images.class_sheet(data, split, cell, block=block)
            yield Picture(f"images-{split}-{i}", partial(draw_sheet, sheet), images.READING)
        for view, reading in neighbours.READINGS.items():
            if data.has(view, split):
                sheet = neighbours.neighbour_sheet(data, groups, split, cell, block=block, view=view)
                yield Picture(f"{view.replace('_', '-')}-{split}-{i}", partial(draw_sheet, sheet), reading)
