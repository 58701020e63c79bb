"""Which stored views of which runs the figures of embeddings show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.storage.result_tables import Row
from sweeps.analysis.figures.drawing.style import Looks, looks_of
from sweeps.analysis.stats.description.curves import MOST_CELLS
from sweeps.analysis.stats.description.descriptive import rows_of
from sweeps.analysis.stats.description.held_out import SPLITS
from sweeps.analysis.stats.reading.pairing import Place, place_of

STAGE: Final = "confirm"
"""Only its trials have views of the test split."""

IN_EMBEDDING_SPACE: Final = "computed in embedding space"

MOST_SHEETS: Final = 4
"""Cells that get sheets of images, and projections of training images."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The views of some cells, one trial per cell, replicate and block."""

    views: dict[tuple[str, str], pa.Table]
    """(view, split) -> its rows."""
    trials: dict[str, dict[Place, str]]
    """cell -> replicate and block -> trial; every cell has a trial."""
    sheet_cells: tuple[str, ...]
    """At most `MOST_SHEETS` of the cells."""
    looks: Looks
    dataset: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells, in the order they were asked for."""
        return tuple(self.trials)

    @property
    def block(self) -> Place | None:
        """The first block that all cells have: what is shown of single runs. None if there is none."""
        return min(set.intersection(*(set(blocks) for blocks in self.trials.values())), default=None)

    def named(self, block: Place) -> str:
        """`block 1`, with its replicate where there are several."""
        alone = len({place.replicate for places in self.trials.values() for place in places}) < 2
        return block.named(STAGE, alone=alone)

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
    found: dict[str, dict[Place, str]] = {}
    for row in rows_of(trials, STAGE, ("trial_id", "cell_id", "replicate", "block")):
        if row["trial_id"] in having:
            found.setdefault(row["cell_id"], {}).setdefault(place_of(row), row["trial_id"])
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


def where(data: Shown, split: str) -> str:
    """Data set and split, for a caption."""
    return f"{data.dataset}, {SPLITS.get(split, split)}"
