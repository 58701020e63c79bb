"""Our runs beside the published figures of an earlier study: one renderer for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from embedding_core.storage.result_tables import Row
from embedding_core.wording import plural
from sweeps.analysis.document import Section, Table, transposed
from sweeps.analysis.numbers import plain
from sweeps.analysis.published import study1, study2, study3, study4
from sweeps.analysis.published.study import Ours, Settings, Study, StudyArm, StudyTable
from sweeps.analysis.stats.description.curves import MOST_CELLS, STAGE, Run
from sweeps.analysis.stats.description.descriptive import rows_of

STUDIES: Final = {"study1": study1.STUDY, "study2": study2.STUDY, "study3": study3.STUDY, "study4": study4.STUDY}
"""By the name that a design's `published` gives."""

MOST_VALUES: Final = 3
"""Of a setting, above which its range is told."""


def beside(
    study: Study, trials: pa.Table, curves: pa.Table, cells: Sequence[str], *, evaluations: pa.Table, views: pa.Table
) -> Section:
    """The study's tables with our means in them, and which settings differ; empty where nothing can be compared.

    Args:
        study: whose figures.
        trials, curves, evaluations, views: the tables with `stage`.
        cells: those to compare, in order; at most `MOST_CELLS` of them are.
    """
    heading = f"Beside {study.name}"
    cells = cells[:MOST_CELLS]
    rows = [row for row in rows_of(trials, STAGE) if row["cell_id"] in cells]
    fitting = [row for row in rows if _fits(row, study.runs)]
    by_cell = _runs(fitting, curves, cells)
    own = {arm.name: _own(arm, by_cell, study.nearest) for arm in study.arms}
    named = {name: runs for name, runs in own.items() if runs} if study.nearest else {}
    compared = [run.trial for runs in (named if study.nearest else by_cell).values() for run in runs]
    if not compared or (study.alone and len(fitting) < len(rows)):
        return Section(heading)
    who = [f"{name}: {runs[0].trial['cell_id']} ({plural(len(runs), 'run')})" for name, runs in named.items()]
    lines = [study.evaluation, *([f"Ours: {'; '.join(who)}."] if who else []), _differing(compared, study.settings)]
    arms = [(arm, Ours(own[arm.name], evaluations, views)) for arm in study.arms]
    below = [(StudyArm(name=cell, published={}), Ours(runs, evaluations, views)) for cell, runs in by_cell.items()]
    tables = [table for one in study.tables for table in _table(one, arms, below)]
    return Section(heading, lines, tables=tables)


def _differing(rows: Sequence[Row], settings: Settings) -> str:
    """A sentence on the settings of these runs that are not the study's."""
    found = []
    for name, theirs in settings.items():
        ours = {row[name] for row in rows}
        if not ours <= set(theirs):
            found.append(f"{name} {_values(ours - {None})} (study: {_value(theirs[0])})")
    return f"Settings that differ from the study's: {'; '.join(found)}." if found else "Settings are the study's."


def _values(ours: set[Any]) -> str:
    """Their texts in order; of many numbers the lowest and the highest."""
    if len(ours) > MOST_VALUES and all(isinstance(value, int | float) for value in ours):
        return f"{plain(min(ours))} to {plain(max(ours))}"
    return ", ".join(map(_value, sorted(ours, key=str) or [None]))


def _value(value: Any) -> str:
    return "not set" if value is None else plain(value)


def _fits(row: Row, settings: Settings) -> bool:
    return all(row[name] in values for name, values in settings.items())


def _runs(rows: Sequence[Row], curves: pa.Table, cells: Sequence[str]) -> dict[str, list[Run]]:
    """Cell -> its runs, also those that failed before their first epoch; cells without any left out."""
    epochs: dict[str, list[Row]] = {row["trial_id"]: [] for row in rows}
    for epoch in rows_of(curves, STAGE) if rows else ():
        if epoch["trial_id"] in epochs:
            epochs[epoch["trial_id"]].append(epoch)
    found = {cell: [Run(r, tuple(epochs[r["trial_id"]])) for r in rows if r["cell_id"] == cell] for cell in cells}
    return {cell: runs for cell, runs in found.items() if runs}


def _own(arm: StudyArm, by_cell: Mapping[str, Sequence[Run]], nearest: tuple[str, float] | None) -> list[Run]:
    """Our runs that stand beside an arm."""
    if arm.ours is None:
        return []
    own = [run for runs in by_cell.values() for run in runs if _fits(run.trial, arm.ours)]
    if nearest is None or not own:
        return own
    setting, value = nearest
    best = min(own, key=lambda run: (abs(run.trial[setting] - value), run.trial["cell_id"]))
    return [run for run in own if run.trial["cell_id"] == best.trial["cell_id"]]


def _table(
    table: StudyTable, arms: Sequence[tuple[StudyArm, Ours]], cells: Sequence[tuple[StudyArm, Ours]]
) -> list[Table]:
    """The table with its arms and, where it wants them, a line for each cell of ours; none without a line."""
    shown = [(arm, ours) for arm, ours in arms if arm.published.keys() & table.measures.keys()]
    if table.layout == "arms across":
        columns = {arm.name: _texts(table, arm, ours) for arm, ours in shown}
        return transposed(table.title, list(table.measures), columns)
    if table.layout == "arms across, ours beside":
        columns = {}
        for arm, ours in shown:
            columns[f"{arm.name}, published"] = [arm.published[name] for name in table.measures]
            columns[f"{arm.name}, ours"] = [tell(ours) for tell in table.measures.values()]
        return transposed(table.title, list(table.measures), columns)
    down = [(arm, ours) for arm, ours in shown if arm.ours is None or ours.runs]
    down += cells if table.layout == "arms and our cells down" else []
    lines = [[arm.name, *_texts(table, arm, ours)] for arm, ours in down]
    return [Table([table.title, *table.measures], lines)] if lines else []


def _texts(table: StudyTable, arm: StudyArm, ours: Ours) -> list[str]:
    """By measure, what was published of the arm; of our runs where nothing was."""
    return [arm.published[name] if name in arm.published else tell(ours) for name, tell in table.measures.items()]
