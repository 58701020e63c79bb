"""The section on the settings that cells run with: over replicates, and of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from embedding_core.wording import plural
from sweeps.analysis.document import Picture, Section, Table, compact
from sweeps.analysis.numbers import ABSENT, or_absent, setting
from sweeps.analysis.stats.reading.stored_plan import StoredPlan, Tuned
from sweeps.analysis.wording import cell_name

EDGES: Final = (
    "A best setting lies at an edge of its range where a better one may lie beyond; such a cell may be tuned less well."
)
NO_EDGE: Final = "No best setting is at an edge of its range."


def section(plan: StoredPlan, measure: str, pictures: list[Picture]) -> Section:
    """Settings by cell, of all replicates in one table and of each in another; empty without any.

    Args:
        plan: what was settled.
        measure: what was tuned by, in words.
        pictures: of the tuning.
    """
    settings = plan.nuisance
    names = sorted({name for own in settings for values in own.values() for name in values})
    if not names and not plan.tuned:
        return Section("Settings", pictures=pictures)
    heading = "Tuned settings" if plan.tuned else "Settings"
    if len(settings) == 1:
        tables = _of_one(settings[0], plan.tuned[0] if plan.tuned else {}, names, measure)
        return Section(heading, _edges(plan), tables=tables, pictures=pictures)
    tables = [*_over_replicates(settings, names), *_of_each(plan, names, measure)]
    lines = [f"Median over {plural(len(settings), 'replicate')}, lowest and highest in brackets.", *_edges(plan)]
    return Section(heading, lines, tables=tables, pictures=pictures)


def _of_one(
    settings: Mapping[str, Mapping[str, Any]], best: Mapping[str, Tuned], names: Sequence[str], measure: str
) -> list[Table]:
    """Settings down, cells across."""
    columns = {}
    for cell, values in settings.items():
        found = best.get(cell)
        columns[cell] = [_setting(values, name, found) for name in names]
        if best:
            columns[cell] += [found.trial_id, or_absent(found.value)] if found else [ABSENT, ABSENT]
    labels = [name.replace("_", " ") for name in names] + (["from trial", f"its {measure}"] if best else [])
    return compact("", labels, columns)


def _over_replicates(settings: Sequence[Mapping[str, Mapping[str, Any]]], names: Sequence[str]) -> list[Table]:
    cells = dict.fromkeys(cell for own in settings for cell in own)
    columns = {
        cell: [_spread([own[cell][name] for own in settings if name in own.get(cell, {})]) for name in names]
        for cell in cells
    }
    return compact("over replicates", [name.replace("_", " ") for name in names], columns)


def _of_each(plan: StoredPlan, names: Sequence[str], measure: str) -> list[Table]:
    """A row per cell and replicate."""
    rows = []
    for cell in dict.fromkeys(cell for own in plan.nuisance for cell in own):
        for i, own in enumerate(plan.nuisance):
            if cell in own:
                found = plan.tuned[i].get(cell) if i < len(plan.tuned) else None
                texts = [_setting(own[cell], name, found) for name in names]
                of_trial = [found.trial_id, or_absent(found.value)] if found else [ABSENT, ABSENT]
                rows.append([cell, str(i + 1), *texts, *(of_trial if plan.tuned else [])])
    header = ["of each replicate", "replicate", *(name.replace("_", " ") for name in names)]
    return [Table([*header, *(["from trial", measure] if plan.tuned else [])], rows)]


def _edges(plan: StoredPlan) -> list[str]:
    """How many best settings are at an edge of their range; nothing where that is not known."""
    known = [(cell, found.edges) for own in plan.tuned for cell, found in own.items() if found.edges is not None]
    if not known:
        return []
    counts = Counter((cell, name, edge) for cell, edges in known for name, edge in edges.items())
    if not counts:
        return [NO_EDGE]
    of = f" of {len(plan.tuned)} replicates" if len(plan.tuned) > 1 else ""
    told = [
        f"{cell_name(cell)}: {name.replace('_', ' ')} at the {edge} end{f' in {n}{of}' if of else ''}"
        for (cell, name, edge), n in sorted(counts.items())
    ]
    return [f"{EDGES} {'; '.join(told)}."]


def _spread(values: Sequence[Any]) -> str:
    """`.0012 [.0004, .0031]`; of settings that are no numbers how often each was chosen."""
    if not values:
        return ABSENT
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return ", ".join(f"{value} ({n})" for value, n in sorted(Counter(map(str, values)).items()))
    median, low, high = (float(f(values)) for f in (np.median, min, max))
    return setting(median) if low == high else f"{setting(median)} [{setting(low)}, {setting(high)}]"


def _setting(values: Mapping[str, Any], name: str, found: Tuned | None) -> str:
    if name not in values:
        return ABSENT
    edge = None if found is None or found.edges is None else found.edges.get(name)
    return f"{setting(values[name])} ({edge} end)" if edge else setting(values[name])
