"""The figures of embeddings that a report shows, each with its name and how to read it."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure

from sweeps.analysis import view_data, view_figures
from sweeps.analysis.view_data import Shown

DISTANCES: Final = (
    "Mean cosine distance between the images of two classes; on the diagonal within a class, without an image's "
    "distance to itself. One scale of colour for all panels."
)
PCA: Final = (
    "An ellipse holds the half of a class that is nearest to its mean. Each run has axes of its own: compare sizes and "
    "overlap, not positions."
)
NEIGHBOUR_EMBEDDING: Final = (
    "The same images in each panel. Neighbours are kept, distances, sizes and gaps are not: read clusters, not lengths."
)
CLASS_SHEET: Final = (
    "Of each class the images nearest to its mean direction, those farthest from it, and the nearest of other classes "
    "(dashed, with their class). Numbers are cosines to the mean."
)
NEIGHBOUR_SHEET: Final = (
    "Queries drawn at random, the same in each run. A dashed frame marks a neighbour of another class; numbers are "
    "cosines to the query."
)
SPECTRA: Final = "The flatter the line, the more directions the embeddings use. A thin line is one run."


def pictures(data: Shown, groups: pa.Table) -> Iterator[tuple[str, Figure, str]]:
    """(name, figure, reading) of everything stored: averages over blocks, and single runs of the first common block.

    Args:
        data: the views of the cells to compare.
        groups: the table `eval_groups` with `stage`.
    """
    for split in view_data.SPLITS:
        if data.has("class_distance", split):
            figure = view_figures.draw_distances(view_data.distance_data(data, split))
            yield f"distances-{split}", figure, DISTANCES
        if data.has("spectrum", split):
            figure = view_figures.draw_spectra(view_data.spectrum_data(data, split))
            yield f"spectra-{split}", figure, SPECTRA
        if data.block is not None:
            yield from _of_one_block(data, groups, split, data.block)


def _of_one_block(data: Shown, groups: pa.Table, split: str, block: int) -> Iterator[tuple[str, Figure, str]]:
    for view in view_data.PLANES:
        if data.has(view, split):
            figure = view_figures.draw_plane(view_data.plane_data(data, split, view, block=block))
            yield f"{view}-{split}", figure, PCA if view == "pca" else NEIGHBOUR_EMBEDDING
    for i, cell in enumerate(data.cells, start=1):
        if data.has("closest", split):
            sheet = view_data.class_sheet(data, split, cell, block=block)
            yield f"images-{split}-{i}", view_figures.draw_sheet(sheet), CLASS_SHEET
        if data.has("neighbours", split):
            sheet = view_data.neighbour_sheet(data, groups, split, cell, block=block)
            yield f"neighbours-{split}-{i}", view_figures.draw_sheet(sheet), NEIGHBOUR_SHEET
