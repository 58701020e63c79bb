"""What each figure of embeddings shows, from the stored views: the tested half. `view_figures` draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.figures.figure_data import looks_of
from sweeps.analysis.figures.style import Looks
from sweeps.analysis.numbers import number
from sweeps.analysis.stats.curves import MOST_CELLS
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.analysis.stats.held_out import SPLITS

STAGE: Final = "confirm"
"""Only its trials have views of the test split."""

DISTANCES: Final = {
    "class_distance": "cosine distance",
    "class_distance_l2": "Euclidean distance",
    "class_distance_angular": "angular distance in radians",
}
"""View -> what it holds."""

PLANES: Final = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}

IN_EMBEDDING_SPACE: Final = "computed in embedding space"

MOST_SHEETS: Final = 4
"""Cells that get sheets of images, and projections of training images."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """The views of some cells, one trial per cell and block."""

    views: dict[tuple[str, str], pa.Table]
    """(view, split) -> its rows."""
    trials: dict[str, dict[int, str]]
    """cell -> block -> trial; every cell has a trial."""
    sheet_cells: tuple[str, ...]
    """At most `MOST_SHEETS` of the cells."""
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
        found = self.views.get((view, split))
        return found is not None and wanted <= set(pc.unique(found["trial_id"]).to_pylist())

    def rows(self, view: str, split: str, trial: str) -> list[Row]:
        """One trial's rows of a view, by item and rank."""
        found = self.views.get((view, split))
        if found is None:
            return []
        rows: list[Row] = found.filter(pc.equal(found["trial_id"], trial)).to_pylist()
        return rows

    def images(self, split: str) -> int:
        """Images in the split."""
        trial = next(iter(self.trials[self.cells[0]].values()))
        return next((row["n"] for row in self.rows("spectrum", split, trial)), 0)


@dataclass(frozen=True, slots=True)
class DistanceData:
    """Mean distance between classes per cell, averaged over blocks."""

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
    pairs: bool = False
    """Whether panels come in pairs that belong side by side."""


@dataclass(frozen=True, slots=True)
class SpectrumData:
    """Share of each singular value in their sum, per cell: every run and the mean."""

    cells: tuple[str, ...]
    runs: tuple[tuple[tuple[float, ...], ...], ...]
    means: tuple[tuple[float, ...], ...]
    looks: Looks
    caption: str


def shown(
    views: pa.Table, trials: pa.Table, cells: Sequence[str], *, dataset: str, first: Sequence[str] = ()
) -> Shown | None:
    """The views of the cells that have some; of the first cells where none of these has. None without any views.

    Args:
        views: the table `views` with `stage`.
        trials: the table `trials` with `stage`.
        cells: what to compare, in this order.
        dataset: for the captions.
        first: cells that get sheets before others, where there are more than `MOST_SHEETS`.
    """
    having = set(pc.unique(views["trial_id"].filter(pc.equal(views["stage"], STAGE))).to_pylist())
    found: dict[str, dict[int, str]] = {}
    for row in rows_of(trials, STAGE, ("trial_id", "cell_id", "block")):
        if row["trial_id"] in having:
            found.setdefault(row["cell_id"], {}).setdefault(row["block"], row["trial_id"])
    chosen = ([cell for cell in cells if cell in found] or sorted(found))[:MOST_CELLS]
    if not chosen:
        return None
    blocks = {cell: dict(sorted(found[cell].items())) for cell in chosen}
    ranked = [*(cell for cell in first if cell in chosen), *chosen] if len(chosen) > MOST_SHEETS else chosen
    sheets = tuple(dict.fromkeys(ranked))[:MOST_SHEETS]
    return Shown(
        _by_view(views, {t for own in blocks.values() for t in own.values()}), blocks, sheets, looks_of(trials), dataset
    )


def _by_view(views: pa.Table, trials: set[str]) -> dict[tuple[str, str], pa.Table]:
    """The rows of these trials by view and split."""
    mask = pc.and_(pc.equal(views["stage"], STAGE), pc.is_in(views["trial_id"], pa.array(sorted(trials), pa.string())))
    own = views.filter(mask)
    kinds = own.group_by(["view", "split"]).aggregate([]).to_pylist()
    return {
        (kind["view"], kind["split"]): own.filter(
            pc.and_(pc.equal(own["view"], kind["view"]), pc.equal(own["split"], kind["split"]))
        )
        for kind in kinds
    }


def distance_data(data: Shown, split: str, view: str = "class_distance") -> DistanceData:
    """Class distances of one of DISTANCES, mean over each cell's blocks; classes that every run shows."""
    per_cell = [
        [{(r["class_id"], r["other_class_id"]): r for r in data.rows(view, split, trial)} for trial in blocks.values()]
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
        data.cells, names, matrices, f"{what}; {where(data, split)}; {DISTANCES[view]}, {IN_EMBEDDING_SPACE}"
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
        f"n = {n:,} of {total:,} images, {len(names)} classes, {fit}; block {block}, seed {seed}; {where(data, split)}"
    )
    return PlaneData(PLANES[view], tuple(panels), tuple(names[c] for c in sorted(names)), caption)


def train_plane_data(data: Shown, view: str, *, block: int) -> PlaneData:
    """Training images beside test images in the plane of `view`, for the cells that get sheets; no ellipses."""
    panels: list[PlanePanel] = []
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for cell in data.sheet_cells:
        for split in ("train", "test"):
            rows = data.rows(view, split, data.trials[cell][block])
            names |= {row["class_id"]: row["class_name"] for row in rows}
            counts[split] = len(rows)
            points = tuple((row["x"], row["y"], row["class_name"]) for row in rows)
            panels.append(PlanePanel(f"{cell}\n{split}", points, ()))
    of = f", {len(data.sheet_cells)} of {len(data.cells)} cells" if len(data.sheet_cells) < len(data.cells) else ""
    caption = (
        f"n = {counts['train']:,} training and {counts['test']:,} test images, {len(names)} classes{of}; each laid out "
        f"by itself; block {block}; {data.dataset}"
    )
    return PlaneData(PLANES[view], tuple(panels), tuple(names[c] for c in sorted(names)), caption, pairs=True)


def spectrum_data(data: Shown, split: str) -> SpectrumData:
    """Singular values over their sum, which the number of images does not change, per cell and block."""
    runs = []
    for blocks in data.trials.values():
        values = [np.array([r["value"] for r in data.rows("spectrum", split, t)], dtype=float) for t in blocks.values()]
        runs.append([value / value.sum() for value in values])
    counts = {len(of_cell) for of_cell in runs}
    per_cell = " or ".join(_count(n, "block") for n in sorted(counts))
    return SpectrumData(
        cells=data.cells,
        runs=tuple(tuple(tuple(run.tolist()) for run in cell_runs) for cell_runs in runs),
        means=tuple(tuple(np.mean(_same_length(cell_runs), axis=0).tolist()) for cell_runs in runs),
        looks=data.looks,
        caption=f"n = {data.images(split):,} images; {per_cell} per cell; {where(data, split)}; uncentred, "
        f"{IN_EMBEDDING_SPACE}",
    )


def _same_length(runs: list[np.ndarray]) -> list[np.ndarray]:
    """Runs as long as the longest; where the rank is lower the rest is 0."""
    longest = max(len(run) for run in runs)
    return [np.pad(run, (0, longest - len(run))) for run in runs]


def where(data: Shown, split: str) -> str:
    """Data set and split, for a caption."""
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
