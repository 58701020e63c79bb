"""Ours beside the published figures of study 2: triplet mining and ArcFace on plankton."""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from sweeps.analysis.document import Section, Table
from sweeps.analysis.figures.labels import KINDS
from sweeps.analysis.published.published import ABSENT, Settings, differs, mean
from sweeps.analysis.stats.descriptive import rows_of
from sweeps.analysis.stats.held_out import mean_of, measured
from sweeps.analysis.wording import number

HEADING: Final = "Beside study 2"

DATASET: Final = "plankton"

ACCURACY: Final = 0.9706
"""ArcFace on the test images of its 6 classes, one run."""

TRIPLET, ARCFACE = "triplet curriculum", "ArcFace"

BUDGETS: Final = (30, 100, 1000, 3000)

PROBES: Final = {
    TRIPLET: {
        "probe_svc": (0.43, 0.59, 0.655, 0.71),
        "probe_linear": (0.60, 0.665, 0.81, 0.845),
        "probe_knn": (0.44, 0.62, 0.68, 0.72),
    },
    ARCFACE: {
        "probe_svc": (0.49, 0.60, 0.68, 0.745),
        "probe_linear": (0.65, 0.735, 0.75, 0.79),
        "probe_knn": (0.53, 0.595, 0.74, 0.78),
    },
}
"""Balanced accuracy on 3 unseen classes at each of `BUDGETS`, one draw of one run."""

MARGIN: Final = 0.5
"""Of both, in squared distance and in radians."""

SETTINGS: Final[Settings] = {
    "dataset": ("FlowCamNet, private",),
    "backbone": ("efficientnet_v2_s",),
    "weights": ("imagenet",),
    "head": ("study2",),
    "image_size": (128,),
    "seen_classes": (6,),
    "unseen_classes": (3,),
    "dropout": (0.2,),
    "embedding_dim": (128,),
    "augmentation": ("none",),
    "optimizer": ("adam",),
    "lr": (1.4e-3,),
    "batch_size": (128, 64),
    "epochs": (35, 10),
    "freeze_epochs": (35, 10),
}
"""How the study trained, backbone frozen throughout; 64 and 10 are ArcFace's. What a sweep has otherwise is told."""

EVALUATION: Final = (
    "The study probed the embeddings of one run with one draw of labels, on three unseen classes of a private set. "
    "Ours are means over blocks and over repeated draws, on other classes of "
    "other plankton: orders and slopes compare, levels do not. Its mined negatives were partly of the anchor's class."
)


def section(trials: pa.Table, evaluations: pa.Table) -> Section:
    """The tables and what differs; empty unless the sweep trained a curriculum or ArcFace on plankton.

    Args:
        trials: with the column `stage`.
        evaluations: with the column `stage`.
    """
    rows = rows_of(trials, "confirm")
    own = {name: _rows_of(name, rows) for name in PROBES}
    compared = [row for name in PROBES for row in own[name]]
    if not compared or {row["dataset"] for row in rows} != {DATASET}:
        return Section(HEADING)
    accuracy = Table(
        ["test accuracy", "published", "ours", "our runs"],
        [
            [
                ARCFACE,
                number(ACCURACY, decimals=4),
                mean(r["test_accuracy"] for r in own[ARCFACE]),
                str(len(own[ARCFACE])),
            ]
        ],
    )
    tables = [*([accuracy] if own[ARCFACE] else []), _probes(trials, evaluations, own)]
    return Section(HEADING, [EVALUATION, _who(own), differs(compared, SETTINGS)], tables=tables)


def _rows_of(name: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of the cell that is nearest to the study's: its margin, or the nearest to it."""
    own = [
        row
        for row in rows
        if (row["loss"] == "arcface" if name == ARCFACE else (row["loss"], row["mining"]) == ("mined", "curriculum"))
    ]
    best = min(own, key=lambda row: (abs(row["margin"] - MARGIN), row["cell_id"]), default=None)
    return [row for row in own if best is not None and row["cell_id"] == best["cell_id"]]


def _who(own: dict[str, list[dict[str, Any]]]) -> str:
    cells = [f"{name}: {runs[0]['cell_id']} ({len(runs)} runs)" for name, runs in own.items() if runs]
    return f"Ours: {'; '.join(cells)}."


def _probes(trials: pa.Table, evaluations: pa.Table, own: dict[str, list[dict[str, Any]]]) -> Table:
    found = measured(evaluations, trials, KINDS)
    rows = []
    for kind, name in KINDS.items():
        for i, budget in enumerate(BUDGETS):
            values = found.get((kind, "unseen", budget), {})
            line = [f"{name}, {budget:,} labels"]
            for who, runs in own.items():
                ours = mean_of(values, runs[0]["cell_id"]) if runs else None
                line += [number(PROBES[who][kind][i]), ABSENT if ours is None else number(ours.mean)]
            rows.append(line)
    header = [part for who in own for part in (f"{who}, published", f"{who}, ours")]
    return Table(["unseen classes", *header], rows)
