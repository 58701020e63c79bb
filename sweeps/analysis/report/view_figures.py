"""The figures of embeddings that a report shows, each with its name and how to read it."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure

from sweeps.analysis.figures import sheet_data, sheets, view_data, views
from sweeps.analysis.figures.view_data import Shown
from sweeps.analysis.stats.held_out import SPLITS

DISTANCES: Final = (
    "Mean distance between the images of two classes; on the diagonal within a class, without an image's distance to "
    "itself. One scale of colour for all panels."
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
GREY_SHEET: Final = (
    "The same queries turned grey, among the same images in colour. Neighbours that are lost here were found by colour."
)
TRAIN: Final = (
    "Training images beside test images of the same run. The two planes are laid out apart: classes that hold together "
    "on the left and mix on the right are learnt by heart."
)
SPECTRA: Final = "The flatter the line, the more directions the embeddings use. A thin line is one run."


def chosen(data: Shown) -> str:
    """Which cells get what, where there are too many for sheets of all."""
    return (
        f"Distances, planes and spectra are of {len(data.cells)} cells; sheets of images, and planes of training "
        f"images, of {len(data.sheet_cells)}, those of the first contrasts: {'; '.join(data.sheet_cells)}."
    )


def pictures(data: Shown, groups: pa.Table) -> Iterator[tuple[str, Figure, str]]:
    """(name, figure, reading) of everything stored: averages over blocks, and single runs of the first common block.

    Args:
        data: the views of the cells to compare.
        groups: the table `eval_groups` with `stage`.
    """
    for split in SPLITS:
        for view in view_data.DISTANCES:
            if data.has(view, split):
                figure = views.draw_distances(view_data.distance_data(data, split, view))
                yield f"{view.replace('class_distance', 'distances').replace('_', '-')}-{split}", figure, DISTANCES
        if data.has("spectrum", split):
            figure = views.draw_spectra(view_data.spectrum_data(data, split))
            yield f"spectra-{split}", figure, SPECTRA
        if data.block is not None:
            yield from _of_one_block(data, groups, split, data.block)


def _of_one_block(data: Shown, groups: pa.Table, split: str, block: int) -> Iterator[tuple[str, Figure, str]]:
    for view in view_data.PLANES:
        if data.has(view, split):
            figure = views.draw_plane(view_data.plane_data(data, split, view, block=block))
            yield f"{view}-{split}", figure, PCA if view == "pca" else NEIGHBOUR_EMBEDDING
        if split == "test" and data.has(view, "train"):
            figure = views.draw_plane(view_data.train_plane_data(data, view, block=block))
            yield f"{view}-train", figure, TRAIN
    for i, cell in enumerate(data.sheet_cells, start=1):
        if data.has("closest", split):
            sheet = sheet_data.class_sheet(data, split, cell, block=block)
            yield f"images-{split}-{i}", sheets.draw_sheet(sheet), CLASS_SHEET
        if data.has("neighbours", split):
            sheet = sheet_data.neighbour_sheet(data, groups, split, cell, block=block)
            yield f"neighbours-{split}-{i}", sheets.draw_sheet(sheet), NEIGHBOUR_SHEET
        if data.has("neighbours_grey", split):
            sheet = sheet_data.neighbour_sheet(data, groups, split, cell, block=block, view="neighbours_grey")
            yield f"neighbours-grey-{split}-{i}", sheets.draw_sheet(sheet), GREY_SHEET
