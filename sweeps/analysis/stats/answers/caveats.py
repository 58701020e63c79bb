"""Sentences on how far a contrast hangs on failed runs and on the classes of the test split."""

from collections import Counter

import pyarrow as pa

from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.intervals.effects import Effect, Interval, t_interval
from sweeps.analysis.stats.reading.composite import counted_as
from sweeps.analysis.stats.reading.contrasts import CellRuns
from sweeps.analysis.stats.reading.pairing import Place, place_of
from sweeps.analysis.stats.reading.stored_plan import Contrast
from sweeps.results.columns import named

RARE_BREAKDOWNS = (
    "Runs broke down here. Where that is rare, few replicates meet it too seldom to tell how often it happens, and a "
    "95 % interval then covers some 91 to 97 % of reruns (simulated: `benchmarks/coverage.py`, surface fragile)."
)
"""Said once where any run counts with the composite outcome: what simulated reruns with rare breakdowns have shown."""


def caveats(
    rows: pa.Table, contrast: Contrast, effect: Effect | Interval, runs: CellRuns, wide: Interval | None
) -> list[str]:
    """All that should be said beside the effect; empty if nothing needs saying.

    Args:
        rows: trials of the contrast's cells.
        contrast: what was estimated.
        effect: its estimate.
        runs: what it was estimated from.
        wide: its interval over replicates x classes, where there is one.
    """
    lines = _failures(runs, contrast) + _collapses(rows, runs, contrast.outcome)
    if contrast.family != "primary":
        return lines
    return lines + [f"{contrast.name}, {named(contrast.outcome)}: {line}" for line in _classes(effect, wide)]


def _failures(runs: CellRuns, contrast: Contrast) -> list[str]:
    """What the composite outcome of failed runs does to the estimate; nothing if no run failed."""
    if not runs.failed:
        return []
    total = sum(map(len, runs.places))
    lines = []
    for cell in runs.cells:
        reasons = Counter(reason for failed, _, reason in runs.failed if failed == cell)
        if reasons:
            how = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            lines.append(f"{cell}: {how} of {total} runs, {counted_as(contrast.outcome)} ({named(contrast.outcome)}).")
    lines.append(RARE_BREAKDOWNS)
    if contrast.family != "primary":
        return lines
    who = f"{contrast.name}, {named(contrast.outcome)}"
    left = runs.without_failures()
    if left.size < 2:
        return [*lines, f"{who}: without the blocks of failed runs fewer than two units remain."]
    text = f"{interval(t_interval(left))} ({left.size} of {runs.values.size} units; 95 % interval of its own)"
    return [*lines, f"{who}: without the blocks of failed runs the difference is {text}."]


def _collapses(rows: pa.Table, runs: CellRuns, outcome: str) -> list[str]:
    """Runs whose embeddings had collapsed at their last row and that have an outcome: there a label, no ending."""
    places: set[Place] = {place for line in runs.places for place in line}
    names = [name for name in ("cell_id", "replicate", "block", "point", "collapsed") if name in rows.column_names]
    own = [row for row in rows.select(names).to_pylist() if place_of(row, runs.stage) in places]
    collapsed = Counter(row["cell_id"] for row in own if row["collapsed"])
    return [
        f"{cell}: embeddings had collapsed at the last epoch of {collapsed[cell]} of {len(places)} runs, which "
        f"count with the {named(outcome)} they reached."
        for cell in runs.cells
        if collapsed[cell]
    ]


def _classes(effect: Effect | Interval, wide: Interval | None) -> list[str]:
    """Whether the sign would hold for other classes of the same kind."""
    if wide is None or (isinstance(effect, Effect) and effect.verdict == "pilot"):
        return []
    if effect.ci_low <= 0 <= effect.ci_high or not wide.ci_low <= 0 <= wide.ci_high:
        return []
    return [
        f"the interval over replicates excludes 0, but that over replicates and classes, {interval(wide)}, does not: "
        "the sign is not settled for other classes of images."
    ]
