"""Sheets of images from the stored views: of each class, and of queries with their neighbours."""

import operator
from dataclasses import dataclass
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.figures.view_data import IN_EMBEDDING_SPACE, STAGE, Row, Shown, where
from sweeps.analysis.numbers import number

SHEET_CLASSES: Final = 10
"""Classes on a sheet of images."""

SHEET_IMAGES: Final = 3
"""Images of a kind per class on a sheet."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a sheet."""

    png: bytes
    class_name: str
    value: float | None
    """Cosine to the class mean or the query; None for the query itself."""
    same: bool
    """Whether it is of the row's class."""


@dataclass(frozen=True, slots=True)
class SheetData:
    """Rows of images in groups: of classes, or of queries and their neighbours."""

    title: str
    groups: tuple[str, ...]
    row_names: tuple[str, ...]
    tiles: tuple[tuple[tuple[Tile, ...], ...], ...]
    """Row -> group -> images."""
    caption: str


def class_sheet(data: Shown, split: str, cell: str, *, block: int) -> SheetData:
    """Closest, farthest and foreign images of each class in one run."""
    trial = data.trials[cell][block]
    kinds = ("closest", "farthest", "foreign")
    found: dict[int, dict[str, list[Tile]]] = {}
    names, seed = {}, None
    for kind in kinds:
        for row in data.rows(kind, split, trial):
            names[row["class_id"]], seed = row["class_name"], row["seed"]
            if row["rank"] < SHEET_IMAGES:
                found.setdefault(row["class_id"], {k: [] for k in kinds})[kind].append(_tile(row))
    classes = sorted(found)[:SHEET_CLASSES]
    of = f"{len(classes)} of {len(found)} classes" if len(found) > len(classes) else f"{len(classes)} classes"
    return SheetData(
        title=f"Images of each class: {cell}",
        groups=("closest", "farthest", "foreign"),
        row_names=tuple(names[c] for c in classes),
        tiles=tuple(tuple(tuple(found[c][kind]) for kind in kinds) for c in classes),
        caption=f"n = {data.images(split):,} images, {of}; {cell}, block {block}, seed {seed}; {where(data, split)}; "
        f"cosine to the class mean, {IN_EMBEDDING_SPACE}",
    )


def neighbour_sheet(
    data: Shown, groups: pa.Table, split: str, cell: str, *, block: int, view: str = "neighbours"
) -> SheetData:
    """Queries and their nearest others in one run, with the share of the query's class here and over all images.

    Args:
        data: the views.
        groups: the table `eval_groups`, for the rate over all images.
        split: `test` or `unseen`.
        cell: one of the cells shown.
        block: one of its blocks.
        view: `neighbours`, or `neighbours_grey`: the same queries turned grey, which has no rate over all images.
    """
    grey = view == "neighbours_grey"
    trial = data.trials[cell][block]
    sheets: dict[int, list[Row]] = {}
    for row in data.rows(view, split, trial):
        sheets.setdefault(row["item"], []).append(row)
    queries = list(sheets.values())
    tiles = tuple(((_tile(rows[0]),), tuple(_tile(row) for row in rows[1:])) for rows in queries)
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
        f"{cell}, block {block}, seed {queries[0][0]['seed']}; {where(data, split)}; cosine, {IN_EMBEDDING_SPACE}",
    )


def _tile(row: Row) -> Tile:
    return Tile(row["thumbnail"], row["other_class_name"], row["value"], row["class_id"] == row["other_class_id"])
