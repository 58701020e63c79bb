"""The section on how well embeddings do with few labels: probes by the number of labels."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from sweeps.analysis.document import Picture, Section, Table
from sweeps.analysis.figures.labels import READING, LabelData, draw_labels, label_data
from sweeps.analysis.numbers import ABSENT, number
from sweeps.analysis.stats.description.held_out import PROBES, SPLITS, Mean, unit_of

HEADING: Final = "Few labels"

METHOD: Final = (
    "Probes fitted to the embeddings of a few labelled images, tested on others of the same classes: balanced "
    "accuracy, mean over repeated draws within a run. Means over {unit}; bars and ± are 95 % t "
    "intervals."
)


def section(evaluations: pa.Table, trials: pa.Table, cells: Sequence[str], *, dataset: str) -> Section:
    """Tables and figures of every split; empty without probes."""
    found = [label_data(evaluations, trials, cells, split=split, dataset=dataset) for split in SPLITS]
    there = [data for data in found if data is not None]
    pictures = [Picture(f"labels-{data.split}", partial(draw_labels, data), READING) for data in there]
    tables = [table for data in there for table in label_tables(data)]
    return Section(HEADING, [METHOD.format(unit=unit_of(trials))] if there else [], tables=tables, pictures=pictures)


def label_tables(data: LabelData) -> list[Table]:
    """A table per kind: cells down, numbers of labels across."""
    return [
        Table(
            [f"{PROBES[kind]}, {SPLITS[data.split]}", *(f"{k:,} labels" for k in data.budgets)],
            [[cell, *(_text(points.get(k)) for k in data.budgets)] for cell, points in of_cell.items()],
        )
        for kind, of_cell in data.means.items()
    ]


def _text(mean: Mean | None) -> str:
    if mean is None:
        return ABSENT
    half = "" if mean.interval is None else f" ± {number(mean.interval.ci_high - mean.mean)}"
    return number(mean.mean) + half
