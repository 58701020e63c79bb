"""Nearest neighbours of some queries in one run, with the queries in colour or turned grey."""

import operator
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.embeddings.sheets import SheetData, tile_of
from sweeps.analysis.figures.embeddings.stored_views import IN_EMBEDDING_SPACE, STAGE, Shown, where
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.reading.pairing import Place

_COLOUR_READING: Final = (
    "Queries drawn at random, the same in each run. A dashed frame marks a neighbour of another class; numbers are "
    "cosines to the query."
)
_GREY_READING: Final = (
    "The same queries turned grey, among the same images in colour. Neighbours that are lost here were found by colour."
)

READINGS: Final = {"neighbours": _COLOUR_READING, "neighbours_grey": _GREY_READING}
"""How to read the figure of each view."""


def neighbour_sheet(
    data: Shown, groups: pa.Table, split: str, cell: str, *, block: Place, view: str = "neighbours"
) -> SheetData:
    """Queries and their nearest others in one run, with the share of the query's class here and over all images.

    Args:
        data: the views.
        groups: the table `eval_groups`, for the rate over all images.
        split: `test` or `unseen`.
        cell: one of the cells shown.
        block: one of its blocks.
        view: one of READINGS; `neighbours_grey` has the same queries turned grey, and no rate over all images.
    """
    grey = view == "neighbours_grey"
    trial = data.trials[cell][block]
    sheets: dict[int, list[Row]] = {}
    for row in data.rows(view, split, trial):
        sheets.setdefault(row["item"], []).append(row)
    queries = list(sheets.values())
    tiles = tuple(((tile_of(rows[0]),), tuple(tile_of(row) for row in rows[1:])) for rows in queries)
    same = [tile.same for _, others in tiles for tile in others]
    k = len(tiles[0][1])
    wanted = {"trial_id": trial, "stage": STAGE, "split": split, "metric": "hit_rate", "k": k}
    own = groups.filter(reduce(operator.and_, (pc.field(name) == value for name, value in wanted.items())))
    rates = list(zip(own["value"].to_pylist(), own["n"].to_pylist(), strict=True))
    overall = sum(value * n for value, n in rates) / sum(n for _, n in rates) if rates else None
    everyone = f"; over all {data.images(split):,} images {number(overall)}" if overall is not None and not grey else ""
    return SheetData(
        title=f"Nearest neighbours{' of grey queries' * grey}: {cell}",
        groups=("query", f"{k} nearest"),
        row_names=tuple(rows[0]["class_name"] for rows in queries),
        tiles=tiles,
        caption=f"n = {len(queries)} queries: {sum(same)} of {len(same)} neighbours of the query's class{everyone}; "
        f"{cell}, {data.named(block)}, seed {queries[0][0]['seed']}; {where(data, split)}; "
        f"cosine, {IN_EMBEDDING_SPACE}",
    )
