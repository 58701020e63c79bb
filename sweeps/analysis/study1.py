"""Ours beside the published figures of study 1, where the sweep asks its question on its data set."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sweeps.analysis.descriptive import last_rows, rows_of
from sweeps.analysis.page import Section, Table
from sweeps.analysis.wording import number

HEADING: Final = "Beside study 1"

ABSENT: Final = "–"


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

SETTINGS: Final[dict[str, tuple[Any, ...]]] = {
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
                _four(published.auc),
                _mean([row["best_val_auc"] for row in own]),
                _mean([row["final_val_auc"] for row in own]),
                _mean([row["test_auc"] for row in own]),
                f"{_four(published.intra)} / {_four(published.inter)}",
                f"{_mean([end['val_intra'] for end in distances])} / {_mean([end['val_inter'] for end in distances])}",
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
    return Section(HEADING, [EVALUATION, _differs(rows)], tables=[Table(["", *(one.name for one in PUBLISHED)], table)])


def _matches(row: dict[str, Any], published: Published) -> bool:
    """Naive accumulation at the study's batch size."""
    same = (row["koleo"], row["accum_steps"]) == (published.koleo, published.accum_steps)
    return same and row["batch_size"] == 64 and (row["accum_mode"] == "naive" or row["accum_steps"] == 1)


def _differs(rows: list[dict[str, Any]]) -> str:
    found = []
    for name, theirs in SETTINGS.items():
        ours = {row[name] for row in rows}
        if not ours <= set(theirs):
            found.append(
                f"{name} {', '.join(map(_plain, sorted(ours - {None}, key=str)))} (study: {_plain(theirs[0])})"
            )
    return f"Settings that differ from the study's: {'; '.join(found)}." if found else "Settings are the study's."


def _plain(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _four(float(np.mean(known))) if known else ABSENT


def _four(value: float) -> str:
    return number(value, decimals=4)
