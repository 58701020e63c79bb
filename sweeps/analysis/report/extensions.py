"""What was added to a sweep, joined or run again once it could be looked at, and what that does to its statements."""

from collections import Counter
from itertools import pairwise
from typing import Final

import pyarrow as pa

from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK
from sweeps.analysis.stats.reading.stored_plan import StoredPlan
from sweeps.results.endings import FAILED_TRAINING

HOLD: Final = (
    " The intervals of the contrasts hold at every look (anytime-valid), and are wider for it; those by epoch, over "
    "classes, without failed runs and of measures of the embeddings do not."
)


def extensions(plan: StoredPlan, units: int) -> list[str]:
    """What was added to a sweep after its confirmation had begun, and what that does to its statements.

    Args:
        plan: of the sweep.
        units: independent replicates that the primaries rest on.
    """
    lines = []
    names = ("samples", "blocks", "replicates")
    before = [tuple(int(plan.get(name, name == "replicates")) for name in names) for plan in plan.extended]
    sizes = [*before, (plan.samples, plan.blocks, plan.replicates)]
    for (_, blocks, replicates), (_, more_blocks, more_replicates) in pairwise(sizes):
        if more_replicates > replicates:
            lines.append(
                f"{_added('Replicate', replicates, more_replicates)} after the first {replicates} could be looked at."
                + _hold(units)
            )
        if more_blocks > blocks:
            lines.append(
                f"{_added('Block', blocks, more_blocks)} after the first {blocks} could be looked at."
                + (
                    f" Each is a replicate of its own here.{_hold(units)}"
                    if plan.grown and more_replicates == replicates
                    else " Intervals are those of a number of blocks fixed in advance: whoever extends a sweep until "
                    "it says something is misled more often than they state."
                )
            )
    if plan.looked:
        lines.append(f"Sweeps were joined whose reports could be read before.{_hold(units)}")
    for (samples, *_), (more_samples, *_) in pairwise(sizes):
        if more_samples > samples:
            lines.append(
                f"{more_samples - samples} search trials were added after the confirmation had begun; they did not "
                "choose its settings."
            )
    return lines


def _added(what: str, before: int, after: int) -> str:
    """`Replicate 5 was added`, `Blocks 3 to 4 were added`."""
    return f"{what} {after} was added" if after == before + 1 else f"{what}s {before + 1} to {after} were added"


def _hold(units: int) -> str:
    """What intervals do about a look; nothing where there are too few replicates for any."""
    return HOLD if units >= FIRST_LOOK else ""


def retries(attempts: pa.Table) -> list[str]:
    """Outcomes of a confirmation that later attempts replaced, by cell, and what that does to its statements.

    Args:
        attempts: `trials` of confirm, every attempt.
    """
    rows = attempts.select(["trial_id", "attempt", "cell_id", "end_reason"]).to_pylist()
    latest = {row["trial_id"]: row["attempt"] for row in sorted(rows, key=lambda row: row["attempt"])}
    replaced = {  # a row may be there twice
        (row["cell_id"], row["end_reason"], row["trial_id"], row["attempt"])
        for row in rows
        if row["end_reason"] in FAILED_TRAINING and row["attempt"] < latest[row["trial_id"]]
    }
    lines = []
    for cell in sorted({cell for cell, *_ in replaced}):
        endings = Counter(reason for own, reason, *_ in replaced if own == cell)
        counts = ", ".join(f"{n} {reason}" for reason, n in sorted(endings.items()))
        lines.append(
            f"{cell}: confirm runs that had ended ({counts}) were run again, and the later attempts count. Such "
            "endings are outcomes of a cell: one whose failures alone are tried again looks better than it is, and "
            "intervals and p-values do not state that."
        )
    return lines
