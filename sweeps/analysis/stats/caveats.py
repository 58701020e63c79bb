"""Sentences on how far a contrast hangs on failed runs, on its test, and on the classes of the test split."""

from collections import Counter

import pyarrow as pa

from sweeps.analysis.numbers import interval, number, p_text
from sweeps.analysis.stats.contrasts import COMPOSITE_AUC, CellBlocks
from sweeps.analysis.stats.effects import ALPHA, Effect
from sweeps.analysis.stats.robustness import Robustness
from sweeps.analysis.stats.stored_plan import Contrast
from sweeps.results.columns import is_auc


def caveats(rows: pa.Table, contrast: Contrast, effect: Effect, blocks: CellBlocks, looks: Robustness) -> list[str]:
    """All that should be said beside the effect; empty if nothing needs saying.

    Args:
        rows: trials of the contrast's cells.
        contrast: what was estimated.
        effect: its estimate, before Holm's adjustment.
        blocks: what it was estimated from.
        looks: other intervals of it.
    """
    lines = _failures(blocks, contrast) + _collapses(rows, blocks, contrast.outcome)
    if contrast.family == "control":
        return lines
    name = f"{contrast.code} ({contrast.estimand}): " if contrast.code else ""
    return lines + [name + line for line in (*_disagreement(effect), *_classes(effect, looks))]


def _failures(blocks: CellBlocks, contrast: Contrast) -> list[str]:
    """What the composite outcome of failed runs does to the estimate; nothing if no run failed."""
    if not blocks.failed:
        return []
    total = len(blocks.blocks)
    lines = []
    for cell in blocks.cells:
        reasons = Counter(reason for failed, _, reason in blocks.failed if failed == cell)
        if reasons:
            how = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            lines.append(f"{cell}: {how} of {total} runs, counted as AUC {number(COMPOSITE_AUC, decimals=1)}.")
    what = f" of {contrast.code}" if contrast.code else ""
    without = blocks.without_failures(sesoi=contrast.sesoi)
    if without is None:
        return [*lines, f"Fewer than two blocks{what} remain without them."]
    return [*lines, f"Without those blocks the difference{what} is {interval(without)} ({without.n} blocks)."]


def _collapses(rows: pa.Table, blocks: CellBlocks, outcome: str) -> list[str]:
    """Runs whose embeddings had collapsed at their last row: in confirm a label, not an ending."""
    own = rows.select(["cell_id", "block", "collapsed"]).to_pylist()
    collapsed = Counter(row["cell_id"] for row in own if row["collapsed"] and row["block"] in blocks.blocks)
    reached = "the AUC" if is_auc(outcome) else "what"
    return [
        f"{cell}: embeddings had collapsed at the last epoch of {collapsed[cell]} of {len(blocks.blocks)} runs, which "
        f"count with {reached} they reached."
        for cell in blocks.cells
        if collapsed[cell]
    ]


def _disagreement(effect: Effect) -> list[str]:
    """The interval assumes normal differences and the test does not, so now and then they part."""
    includes_zero = effect.ci_low <= 0 <= effect.ci_high
    if effect.verdict == "pilot" or includes_zero == (effect.p_value > ALPHA):
        return []
    which = "includes" if includes_zero else "excludes"
    return [
        f"Interval and test disagree: the 95 % interval {which} 0 while the sign-flip test gives "
        f"p = {p_text(effect.p_value)}. "
        "A difference counts as detected only where both agree; one extreme block can part them."
    ]


def _classes(effect: Effect, looks: Robustness) -> list[str]:
    """Whether the sign would hold for other classes of the same kind."""
    wide = looks.crossed
    if effect.verdict == "pilot" or wide is None or effect.ci_low <= 0 <= effect.ci_high:
        return []
    if wide.ci_low <= 0 <= wide.ci_high:
        return [
            f"The interval over blocks excludes 0, but that over blocks and classes, {interval(wide)}, does not: the "
            "sign is not settled for other classes of images."
        ]
    return []
