"""Ours beside the published figures of study 1, where the sweep asks its question on its data set."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from sweeps.analysis.document import Section, Table
from sweeps.analysis.published.published import Settings, differs, four, mean
from sweeps.analysis.stats.descriptive import last_rows, rows_of

HEADING: Final = "Beside study 1"


@dataclass(frozen=True, slots=True)
class Published:
    """One run of the study, its best epoch by validation AUC."""

    name: str
    koleo: bool
    accum_steps: int
    auc: float
    intra: float
    inter: float


PUBLISHED: Final = (
    Published("without KoLeo", False, 1, 0.9538, 0.2249, 1.0392),
    Published("KoLeo", True, 1, 0.9433, 0.5202, 1.0350),
    Published("KoLeo, K=4", True, 4, 0.9486, 0.4854, 1.0279),
)
"""adlane98/koleo-study: one run each, 1,250 fixed validation triplets, 96 % of their negatives trained on."""

SETTINGS: Final[Settings] = {
    "backbone": ("vgg11",),
    "weights": ("imagenet",),
    "epochs": (15,),
    "triplets": ("study",),
    "subset": (None, 23750),
    "embedding_dim": (128,),
    "batch_size": (64,),
    "optimizer": ("adam",),
    "lr": (5e-4,),
    "margin": (0.4,),
    "koleo_weight": (0.1, None),
}
"""How the study trained; what a sweep has otherwise is told."""

EVALUATION: Final = (
    "The study reports the best epoch of one run on validation triplets whose images were mostly trained on; its "
    "distances within a class count an image's distance to itself. Ours are means over blocks: validation AUC on "
    "triplets, test AUC over all pairs of an untouched test split, distances on validation images without self-pairs."
)


def section(trials: pa.Table, curves: pa.Table, *, without: Collection[str] = ()) -> Section:
    """The table and what differs; empty unless all confirm runs are fixed triplets of CIFAR-10.

    Args:
        trials: the table `trials` with `stage`.
        curves: the table `curves` with `stage`.
        without: cells that are no part of the comparison: controls, drop-in cells of a tuned sweep.
    """
    rows = [row for row in rows_of(trials, "confirm") if row["cell_id"] not in without]
    if {(row["dataset"], row["loss"]) for row in rows} != {("cifar10", "triplet")}:
        return Section(HEADING)
    ends = last_rows(curves, "confirm", ("val_intra", "val_inter"))
    columns = []
    for published in PUBLISHED:
        own = [row for row in rows if _matches(row, published)]
        distances = [ends[row["trial_id"]] for row in own if row["trial_id"] in ends]
        columns.append(
            [
                four(published.auc),
                mean([row["best_val_auc"] for row in own]),
                mean([row["final_val_auc"] for row in own]),
                mean([row["test_auc"] for row in own]),
                f"{four(published.intra)} / {four(published.inter)}",
                f"{mean([end['val_intra'] for end in distances])} / {mean([end['val_inter'] for end in distances])}",
                str(len(own)),
            ]
        )
    names = [
        "AUC, published",
        "validation AUC, best epoch",
        "validation AUC, last epoch",
        "test AUC",
        "within / between classes, published",
        "within / between classes",
        "our runs",
    ]
    table = [[name, *(column[i] for column in columns)] for i, name in enumerate(names)]
    return Section(
        HEADING, [EVALUATION, differs(rows, SETTINGS)], tables=[Table(["", *(one.name for one in PUBLISHED)], table)]
    )


def _matches(row: dict[str, Any], published: Published) -> bool:
    """Naive accumulation at the study's batch size."""
    same = (row["koleo"], row["accum_steps"]) == (published.koleo, published.accum_steps)
    return same and row["batch_size"] == 64 and (row["accum_mode"] == "naive" or row["accum_steps"] == 1)
