"""E6: how often training fails, per cell and between the arms of a contrast. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.stats.intervals.effects import share_of
from sweeps.results.endings import FAILED_TRAINING

DESIGNED: Final = ("tune", "confirm")
"""Stages in which every cell had the same chances to fail."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Runs of one cell, or of several, that diverged or whose embeddings collapsed."""

    name: str
    failed: int
    n: int
    """Runs that training itself ended: without those that memory, an error, preemption or the user did."""

    by_stage: tuple[tuple[str, int, int], ...]
    """(stage, failed, n)"""

    ci_low: float
    """Lower end of the 95 % Wilson interval of failed / n."""

    ci_high: float

    @property
    def share(self) -> float:
        """Failed / n."""
        return self.failed / self.n


@dataclass(frozen=True, slots=True)
class RiskDifference:
    """Risk of the treatment's cells minus risk of the control's."""

    estimate: float
    ci_low: float
    """95 % interval of Newcombe for independent shares."""

    ci_high: float


def failure_risks(trials: pa.Table) -> list[Risk]:
    """Risk of each cell in `tune` and `confirm`, in order of cell."""
    return [risk_of(trials, (cell,), name=cell) for cell in sorted(set(_ended(trials)["cell_id"].to_pylist()))]


def risk_of(trials: pa.Table, cells: Iterable[str], *, name: str) -> Risk:
    """Risk of all runs of `cells` together.

    Raises:
        ValueError: no run of them.
    """
    wanted = set(cells)
    rows = [row for row in _ended(trials).to_pylist() if row["cell_id"] in wanted]
    if not rows:
        raise ValueError(f"No run of {sorted(wanted)} in {' or '.join(DESIGNED)}.")
    # In confirm a collapse is a label, not an ending: the run goes on.
    lost = [row["stage"] for row in rows if row["end_reason"] in FAILED_TRAINING or row["collapsed"]]
    stages = [row["stage"] for row in rows]
    share = share_of(len(lost), len(rows))
    by_stage = tuple((s, lost.count(s), stages.count(s)) for s in DESIGNED if s in stages)
    return Risk(name, len(lost), len(rows), by_stage, share.ci_low, share.ci_high)


def risk_difference(control: Risk, treatment: Risk) -> RiskDifference:
    """Treatment minus control. Runs of a block share a seed, which this takes no account of.

    Source: Newcombe 1998, method 10.
    """
    a, b = (share_of(risk.failed, risk.n) for risk in (treatment, control))
    estimate = a.estimate - b.estimate
    below = math.hypot(a.estimate - a.ci_low, b.ci_high - b.estimate)
    above = math.hypot(a.ci_high - a.estimate, b.estimate - b.ci_low)
    return RiskDifference(estimate, estimate - below, estimate + above)


def _ended(trials: pa.Table) -> pa.Table:
    """Runs of the designed stages that completed or that training ended."""
    of_method = pc.is_in(trials["end_reason"], pa.array(["completed", *FAILED_TRAINING]))
    mask = pc.and_(of_method, pc.is_in(trials["stage"], pa.array(DESIGNED)))
    return trials.filter(mask).select(["stage", "cell_id", "end_reason", "collapsed"])
