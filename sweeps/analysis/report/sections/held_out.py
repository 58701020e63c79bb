"""Tables of what held-out images say: accuracy, retrieval, classes, and whether colour does the work."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.document import Section, Table
from sweeps.analysis.numbers import ABSENT, four, interval, mean_text, number, or_absent
from sweeps.analysis.stats.description.descriptive import mean_of_known, rows_of
from sweeps.analysis.stats.description.held_out import (
    SHOWN_NEIGHBOURS,
    SPLITS,
    STAGE,
    Mean,
    Values,
    column_values,
    differences,
    having,
    mean_of,
    measured,
    unit_of,
)
from sweeps.analysis.stats.intervals.effects import t_interval
from sweeps.results.columns import MEASURED

RAW_PIXELS: Final = "raw pixels"

SHOWN: Final = (
    "test_accuracy",
    "test_fitted_svm_accuracy",
    "test_fitted_knn_accuracy",
    "test_knn_accuracy",
    "test_recall_at_1",
    "test_recall_at_2",
    "test_recall_at_4",
    "test_recall_at_8",
    "test_map_at_r",
    "unseen_auc",
    "unseen_recall_at_1",
    "unseen_map_at_r",
)
"""Columns of `trials`."""

OF_PIXELS: Final = {
    "test_fitted_svm_accuracy": ("pixels_fitted_svm_accuracy", "test"),
    "test_fitted_knn_accuracy": ("pixels_fitted_knn_accuracy", "test"),
    "test_knn_accuracy": ("pixels_knn_accuracy", "test"),
    "test_recall_at_1": ("pixels_recall", "test"),
    "test_map_at_r": ("pixels_map_at_r", "test"),
    "unseen_auc": ("pixels_auc", "unseen"),
    "unseen_recall_at_1": ("pixels_recall", "unseen"),
    "unseen_map_at_r": ("pixels_map_at_r", "unseen"),
}
"""Column of `trials` -> metric and split of the same measure of the images themselves."""

MOST_CLASSES: Final = 30

SHORTCUT: Final = (
    f"Share of a query image's {SHOWN_NEIGHBOURS} nearest neighbours (in colour) that are of its class, with the query "
    "in colour and with the query turned grey. The difference is what colour alone contributed. 95 % intervals over "
    "{unit}."
)


def accuracy(trials: pa.Table, evaluations: pa.Table, eval_groups: pa.Table, cells: Sequence[str]) -> Section:
    """Accuracy and retrieval of every cell beside raw pixels, and accuracy by class; empty where none was measured.

    Args:
        trials: the table with `stage`.
        evaluations: the table with `stage`.
        eval_groups: the table with `stage`.
        cells: rows of the table.
    """
    found = {column: column_values(trials, column) for column in SHOWN}
    there = {column: values for column, values in found.items() if having([values], cells)}
    if not set(there) - {"unseen_auc"}:
        return Section("Accuracy")
    rows = []
    for cell in having(list(there.values()), cells):
        means = [mean_of(values, cell) for values in there.values()]
        n = max(mean.n for mean in means if mean is not None)
        rows.append([cell, *(_with_deviation(mean, n) for mean in means), str(n)])
    pixels = [_pixels(evaluations, trials, column) for column in there]
    if any(value is not None for value in pixels):
        rows.append([RAW_PIXELS, *(or_absent(value, four) for value in pixels), ""])
    notes = [
        f"Means ± SD over n {unit_of(trials)}",
        *(note for column in there if (note := MEASURED[column].note)),
    ]
    table = Table(["held-out images", *(MEASURED[column].header for column in there), "n"], rows)
    tables = [table, *_by_class(trials, eval_groups, cells)]
    return Section("Accuracy", [". ".join(notes) + "."], tables=tables)


def shortcut(trials: pa.Table, evaluations: pa.Table, cells: Sequence[str]) -> Section:
    """Hit rates of queries in colour and in grey, per split; empty for images without colour."""
    found = measured(evaluations, trials, ("hit_rate", "hit_rate_grey"))
    tables = []
    for split, name in SPLITS.items():
        colour, grey = (found.get((metric, split, SHOWN_NEIGHBOURS), {}) for metric in ("hit_rate", "hit_rate_grey"))
        rows = [_shortcut_row(colour, grey, cell) for cell in having([grey], cells)]
        if rows:
            tables.append(Table([name, "colour", "grey", "grey less colour", "n"], rows))
    return Section("Colour", [SHORTCUT.format(unit=unit_of(trials))] if tables else [], tables=tables)


def _shortcut_row(colour: Values, grey: Values, cell: str) -> list[str]:
    change = differences(grey, colour, cell)
    text = interval(t_interval(change)) if len(change) > 1 else "".join(number(x, signed=True) for x in change)
    means = [mean_of(values, cell) for values in (colour, grey)]
    return [cell, *(or_absent(mean and mean.mean) for mean in means), text or ABSENT, str(len(change))]


def _with_deviation(mean: Mean | None, n: int) -> str:
    """`.973 ± .004`; the number of replicates where it is not `n`."""
    if mean is None:
        return ABSENT
    spread = "" if mean.deviation is None else f" ± {four(mean.deviation)}"
    return f"{four(mean.mean)}{spread}" + (f" ({mean.n})" if mean.n != n else "")


def _pixels(evaluations: pa.Table, trials: pa.Table, column: str) -> float | None:
    """Mean over the runs that measured it: no training enters, but the training images of a block do."""
    if column not in OF_PIXELS:
        return None
    metric, wanted = OF_PIXELS[column]
    found = measured(evaluations, trials, (metric,))
    return mean_of_known(value for (_, split, _), runs in found.items() if split == wanted for value in runs.values())


def _by_class(trials: pa.Table, eval_groups: pa.Table, cells: Sequence[str]) -> list[Table]:
    """Share of each class that the head classifies right, mean over blocks: the classes with the most images."""
    names = {row["trial_id"]: row["cell_id"] for row in rows_of(trials, STAGE, ("trial_id", "cell_id"))}
    mask = pc.and_(pc.equal(eval_groups["metric"], "accuracy"), pc.equal(eval_groups["split"], "test"))
    values: dict[int, dict[str, list[float]]] = {}
    classes: dict[int, tuple[int, str]] = {}
    for row in rows_of(eval_groups.filter(mask), STAGE, ("trial_id", "class_id", "class_name", "value", "n")):
        cell = names.get(row["trial_id"])
        if cell is not None and cell in cells and row["value"] is not None:
            values.setdefault(row["class_id"], {}).setdefault(cell, []).append(row["value"])
            classes[row["class_id"]] = (row["n"], row["class_name"])
    if not values:
        return []
    shown = sorted(sorted(classes, key=lambda c: -classes[c][0])[:MOST_CLASSES])
    columns = [cell for cell in cells if any(cell in of_cell for of_cell in values.values())]
    rows = [
        [classes[c][1], str(classes[c][0]), *(mean_text(values[c].get(cell, ())) for cell in columns)] for c in shown
    ]
    which = f" ({len(shown)} largest of {len(classes)})" if len(shown) < len(classes) else ""
    return [Table([f"classified right, by class{which}", "images", *columns], rows)]
