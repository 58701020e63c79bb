"""What each figure of embeddings shows, from the stored views: the tested half. `view_figures` draws it."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.descriptive import rows_of
from sweeps.analysis.figure_data import looks_of
from sweeps.analysis.style import Looks
from sweeps.analysis.wording import number

STAGE: Final = "confirm"
"""Only its trials have views of the test split."""

PLANES: Final = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}

SPLITS: Final = {"test": "test split", "unseen": "unseen classes"}

IN_EMBEDDING_SPACE: Final = "computed in embedding space"

MOST_CELLS: Final = 4
"""Cells side by side."""

SHEET_CLASSES: Final = 10
"""Classes on a sheet of images."""

SHEET_IMAGES: Final = 3
"""Images of a kind per class on a sheet."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """The views of some cells, one trial per cell and block."""

    views: pa.Table
    trials: dict[str, dict[int, str]]
    """cell -> block -> trial; every cell has a trial."""
    looks: Looks
    dataset: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells, in the order they were asked for."""
        return tuple(self.trials)

    @property
    def block(self) -> int | None:
        """The first block that all cells have: what is shown of single runs. None if there is none."""
        return min(set.intersection(*(set(blocks) for blocks in self.trials.values())), default=None)

    def has(self, view: str, split: str) -> bool:
        """Whether every run has it."""
        wanted = {trial for blocks in self.trials.values() for trial in blocks.values()}
        return wanted <= set(pc.unique(self._select(view, split)["trial_id"]).to_pylist())

    def rows(self, view: str, split: str, trial: str) -> list[Row]:
        """One trial's rows of a view, by item and rank."""
        found = self._select(view, split)
        rows: list[Row] = found.filter(pc.equal(found["trial_id"], trial)).to_pylist()
        return rows

    def images(self, split: str) -> int:
        """Images in the split."""
        trial = next(iter(self.trials[self.cells[0]].values()))
        return next((row["n"] for row in self.rows("spectrum", split, trial)), 0)

    def _select(self, view: str, split: str) -> pa.Table:
        return self.views.filter(pc.and_(pc.equal(self.views["view"], view), pc.equal(self.views["split"], split)))


@dataclass(frozen=True, slots=True)
class DistanceData:
    """Mean cosine distance between classes per cell, averaged over blocks."""

    cells: tuple[str, ...]
    class_names: tuple[str, ...]
    matrices: tuple[tuple[tuple[float | None, ...], ...], ...]
    """One per cell, classes by row and column; None where no pair exists."""
    caption: str


@dataclass(frozen=True, slots=True)
class PlanePanel:
    """One run's points and ellipses."""

    title: str
    points: tuple[tuple[float, float, str], ...]
    """x, y and class name."""
    ellipses: tuple[tuple[float, float, float, float, float, str], ...]
    """Centre x and y, full width and height, angle in degrees, class name."""


@dataclass(frozen=True, slots=True)
class PlaneData:
    """One method's plane per cell."""

    method: str
    panels: tuple[PlanePanel, ...]
    class_names: tuple[str, ...]
    caption: str


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


@dataclass(frozen=True, slots=True)
class SpectrumData:
    """Share of each singular value in their sum, per cell: every run and the mean."""

    cells: tuple[str, ...]
    runs: tuple[tuple[tuple[float, ...], ...], ...]
    means: tuple[tuple[float, ...], ...]
    looks: Looks
    caption: str


def shown(views: pa.Table, trials: pa.Table, cells: Sequence[str], *, dataset: str) -> Shown | None:
    """The views of the cells that have some; of the first cells where none of these has. None without any views.

    Args:
        views: the table `views` with `stage`.
        trials: the table `trials` with `stage`.
        cells: what to compare, in this order.
        dataset: for the captions.
    """
    having = set(pc.unique(views["trial_id"].filter(pc.equal(views["stage"], STAGE))).to_pylist())
    found: dict[str, dict[int, str]] = {}
    for row in rows_of(trials, STAGE, ("trial_id", "cell_id", "block")):
        if row["trial_id"] in having:
            found.setdefault(row["cell_id"], {}).setdefault(row["block"], row["trial_id"])
    chosen = ([cell for cell in cells if cell in found] or sorted(found))[:MOST_CELLS]
    if not chosen:
        return None
    of_stage = views.filter(pc.equal(views["stage"], STAGE))
    blocks = {cell: dict(sorted(found[cell].items())) for cell in chosen}
    return Shown(of_stage, blocks, looks_of(trials), dataset)


def distance_data(data: Shown, split: str) -> DistanceData:
    """Class distances, mean over each cell's blocks; classes that every run shows."""
    per_cell = [
        [
            {(r["class_id"], r["other_class_id"]): r for r in data.rows("class_distance", split, trial)}
            for trial in blocks.values()
        ]
        for blocks in data.trials.values()
    ]
    runs = [run for cell in per_cell for run in cell]
    classes = sorted(set.intersection(*({row for row, _ in run} for run in runs)))
    matrices = tuple(
        tuple(tuple(_mean([run[a, b]["value"] for run in cell]) for b in classes) for a in classes) for cell in per_cell
    )
    names = tuple(runs[0][c, c]["class_name"] for c in classes)
    blocks = " and ".join(_count(n, "block") for n in sorted({len(cell) for cell in per_cell}))
    what = f"n = {data.images(split):,} images, {len(classes)} classes shown, mean over {blocks}"
    return DistanceData(
        data.cells, names, matrices, f"{what}; {_where(data, split)}; cosine distance, {IN_EMBEDDING_SPACE}"
    )


def plane_data(data: Shown, split: str, view: str, *, block: int) -> PlaneData:
    """The runs of one block in the plane of `view`, one of PLANES; PCA with the ellipses of its classes."""
    panels, counts = [], set()
    names: dict[int, str] = {}
    for cell, blocks in data.trials.items():
        rows = data.rows(view, split, blocks[block])
        names |= {row["class_id"]: row["class_name"] for row in rows}
        counts.add((len(rows), rows[0]["seed"]))
        points = tuple((row["x"], row["y"], row["class_name"]) for row in rows)
        ellipses: tuple[Any, ...] = ()
        title = cell
        if view == "pca":
            found = [row for row in data.rows("ellipse", split, blocks[block]) if row["width"] is not None]
            ellipses = tuple((*(r[k] for k in ("x", "y", "width", "height", "angle")), r["class_name"]) for r in found)
            title += f": {_axes(data.rows('pca_axis', split, blocks[block]))}; {_area(found)}"
        panels.append(PlanePanel(title, points, ellipses))
    ((n, seed),) = counts
    total = data.images(split)
    fit = "fitted to all" if view == "pca" else f"{PLANES[view]} of standardised embeddings"
    caption = (
        f"n = {n:,} of {total:,} images, {len(names)} classes, {fit}; block {block}, seed {seed}; {_where(data, split)}"
    )
    return PlaneData(PLANES[view], tuple(panels), tuple(names[c] for c in sorted(names)), caption)


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
        caption=f"n = {data.images(split):,} images, {of}; {cell}, block {block}, seed {seed}; {_where(data, split)}; "
        f"cosine to the class mean, {IN_EMBEDDING_SPACE}",
    )


def neighbour_sheet(data: Shown, groups: pa.Table, split: str, cell: str, *, block: int) -> SheetData:
    """Queries and their nearest others in one run, with the share of the query's class here and over all images.

    Args:
        data: the views.
        groups: the table `eval_groups`, for the rate over all images.
        split: `test` or `unseen`.
        cell: one of the cells shown.
        block: one of its blocks.
    """
    trial = data.trials[cell][block]
    sheets: dict[int, list[Row]] = {}
    for row in data.rows("neighbours", split, trial):
        sheets.setdefault(row["item"], []).append(row)
    queries = list(sheets.values())
    tiles = tuple(((_tile(rows[0]),), tuple(_tile(row) for row in rows[1:])) for rows in queries)
    same = [tile.same for _, others in tiles for tile in others]
    k = len(tiles[0][1])
    wanted = {"trial_id": trial, "stage": STAGE, "split": split, "metric": "hit_rate", "k": k}
    own = groups.filter(reduce(operator.and_, (pc.field(name) == value for name, value in wanted.items())))
    rates = list(zip(own["value"].to_pylist(), own["n"].to_pylist(), strict=True))
    overall = sum(value * n for value, n in rates) / sum(n for _, n in rates) if rates else None
    everyone = f"; over all {data.images(split):,} images {number(overall)}" if overall is not None else ""
    return SheetData(
        title=f"Nearest neighbours: {cell}",
        groups=("query", f"{k} nearest"),
        row_names=tuple(rows[0]["class_name"] for rows in queries),
        tiles=tiles,
        caption=f"n = {len(queries)} queries: {sum(same)} of {len(same)} neighbours of the query's class{everyone}; "
        f"{cell}, block {block}, seed {queries[0][0]['seed']}; {_where(data, split)}; cosine, {IN_EMBEDDING_SPACE}",
    )


def spectrum_data(data: Shown, split: str) -> SpectrumData:
    """Singular values over their sum, which the number of images does not change, per cell and block."""
    runs = []
    for blocks in data.trials.values():
        values = [np.array([r["value"] for r in data.rows("spectrum", split, t)], dtype=float) for t in blocks.values()]
        runs.append([value / value.sum() for value in values])
    counts = ", ".join(f"{cell} {len(cell_runs)}" for cell, cell_runs in zip(data.cells, runs, strict=True))
    return SpectrumData(
        cells=data.cells,
        runs=tuple(tuple(tuple(run.tolist()) for run in cell_runs) for cell_runs in runs),
        means=tuple(tuple(np.mean(_same_length(cell_runs), axis=0).tolist()) for cell_runs in runs),
        looks=data.looks,
        caption=f"n = {data.images(split):,} images; blocks: {counts}; {_where(data, split)}; uncentred, "
        f"{IN_EMBEDDING_SPACE}",
    )


def _same_length(runs: list[np.ndarray]) -> list[np.ndarray]:
    """Runs as long as the longest; where the rank is lower the rest is 0."""
    longest = max(len(run) for run in runs)
    return [np.pad(run, (0, longest - len(run))) for run in runs]


def _tile(row: Row) -> Tile:
    return Tile(row["thumbnail"], row["other_class_name"], row["value"], row["class_id"] == row["other_class_id"])


def _where(data: Shown, split: str) -> str:
    return f"{data.dataset}, {SPLITS.get(split, split)}"


def _axes(rows: list[Row]) -> str:
    shares = [row["value"] for row in rows]
    return "no variance" if None in shares else f"{number(sum(shares), decimals=2)} of the variance"


def _area(ellipses: list[Row]) -> str:
    return (
        f"mean ellipse area {number(float(np.mean([row['value'] for row in ellipses])), decimals=3)}"
        if ellipses
        else ""
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
