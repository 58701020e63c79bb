"""Two sweeps side by side: the same contrast in each, whether they are comparable, the difference. Pure."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.effects import MIN_BLOCKS, Interval, t_interval
from sweeps.analysis.stats.findings import Finding
from sweeps.analysis.wording import capital

NOT_COMPARED: Final = ("seed", "data_root", "device", "views", "probes", "stop_if_collapsed")
"""Fields that do not change what a run learns, and the seed, which blocks differ in by design."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a comparison needs of one sweep."""

    name: str
    found: list[Finding]
    confirm: pa.Table
    """`confirm` rows of `trials`."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """One primary contrast in both sweeps."""

    first: Finding
    second: Finding
    difference: Interval | None
    """Second minus first with its 95 % interval; None where something refuses it."""

    method: str
    """`paired by seed` or `Welch`; empty without an interval."""

    sentence: str


def compare(first: Sweep, second: Sweep) -> list[Pairing]:
    """Each primary of `first` that `second` has too, in the order of `first`."""
    refused = refusals(first, second)
    others = {_key(finding): finding for finding in _primaries(second)}
    return [_paired(one, others[_key(one)], first, second, refused) for one in _primaries(first) if _key(one) in others]


def only_in(first: Sweep, second: Sweep) -> list[str]:
    """Labels of the primaries of `first` that `second` has not."""
    known = {_key(finding) for finding in _primaries(second)}
    return [finding.contrast.label for finding in _primaries(first) if _key(finding) not in known]


def refusals(first: Sweep, second: Sweep) -> list[str]:
    """Why no difference between the sweeps gets an interval; empty if nothing stands against it."""
    reasons = []
    for column, what in (("dataset", "data sets"), ("data_sha256", "training images"), ("test_sha256", "test splits")):
        a, b = (_values(sweep.confirm, column) for sweep in (first, second))
        if not a or not b:
            reasons.append(f"which {what} were used is not recorded")
        elif a != b:
            reasons.append(f"the {what} differ ({_short(a)} and {_short(b)})")
    return reasons


def config_differences(first: Sweep, second: Sweep) -> dict[str, list[str]]:
    """Cells of both sweeps -> the settings that differ, as `name: first, second`; only cells with a difference."""
    a, b = (_configs(sweep.confirm) for sweep in (first, second))
    found = {}
    for cell in sorted(a.keys() & b.keys()):
        names = sorted((a[cell].keys() | b[cell].keys()) - set(NOT_COMPARED))
        values = [(name, a[cell].get(name), b[cell].get(name)) for name in names]
        lines = [f"{name}: {one}, {other}" for name, one, other in values if one != other]
        if lines:
            found[cell] = lines
    return found


def welch(first: Interval, second: Interval) -> Interval:
    """Second minus first of two independent means with 95 % t intervals; `n` is the smaller number of blocks.

    Source: Welch 1947, degrees of freedom after Satterthwaite.
    """
    variances = [_variance(one) for one in (first, second)]
    total = sum(variances)
    estimate = second.estimate - first.estimate
    if total == 0:
        return Interval(estimate, estimate, estimate, min(first.n, second.n))
    freedom = total**2 / sum(v**2 / (one.n - 1) for v, one in zip(variances, (first, second), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(total)
    return Interval(estimate, estimate - half, estimate + half, min(first.n, second.n))


def _variance(one: Interval) -> float:
    """Squared standard error of the mean."""
    return float(((one.ci_high - one.ci_low) / 2 / stats.t.ppf(0.975, one.n - 1)) ** 2)


def _paired(one: Finding, other: Finding, first: Sweep, second: Sweep, refused: Sequence[str]) -> Pairing:
    reasons = list(refused)
    for sweep, finding in ((first, one), (second, other)):
        if finding.result is None:
            reasons.append(f"{sweep.name} has no estimate")
    if dict(one.contrast.weights) != dict(other.contrast.weights):
        reasons.append("the contrasts weigh other cells")
    if one.result is None or other.result is None or reasons:
        return Pairing(one, other, None, "", _refused(one, reasons))
    values = [
        dict(zip((seeds[block] for block in finding.result[1].blocks), finding.result[1].values.tolist(), strict=True))
        for finding, seeds in ((one, _seeds(first.confirm)), (other, _seeds(second.confirm)))
        if finding.result is not None
    ]
    a, b = values
    if a.keys() == b.keys():
        difference, method = t_interval(np.array([b[seed] - a[seed] for seed in a])), "paired by seed"
    elif a.keys() & b.keys():
        shared = f"{len(a.keys() & b.keys())} seeds are in both sweeps, others in one: neither pairs nor independent"
        return Pairing(one, other, None, "", _refused(one, [shared]))
    else:
        sides = [t_interval(np.array(list(side.values()))) for side in values]
        difference, method = welch(*sides), "Welch"
    return Pairing(one, other, difference, method, _said(one, difference, method, first, second))


def _said(one: Finding, difference: Interval, method: str, first: Sweep, second: Sweep) -> str:
    label, outcome = one.contrast.label.removesuffix(","), one.contrast.outcome_text
    what = f"the effect of {label} on {outcome}"
    context = f"({second.name} minus {first.name}, {method}, at least {difference.n} blocks, exploratory)"
    text = interval(difference)
    if difference.n < MIN_BLOCKS:
        return f"Pilot, no verdict: {what} differed by {text} {context}."
    if difference.ci_low <= 0 <= difference.ci_high:
        return f"No evidence that {what} differs between the sweeps: {text} {context}."
    higher = "higher" if difference.estimate > 0 else "lower"
    return f"{capital(what)} was {higher} in {second.name} than in {first.name}: {text} {context}."


def _refused(one: Finding, reasons: Sequence[str]) -> str:
    label = one.contrast.label.removesuffix(",")
    return f"{label}: the two estimates stand side by side only: {'; '.join(reasons)}."


def _primaries(sweep: Sweep) -> list[Finding]:
    return [finding for finding in sweep.found if finding.contrast.family == "primary"]


def _key(finding: Finding) -> tuple[str, str]:
    return finding.contrast.estimand, finding.contrast.outcome


def _values(rows: pa.Table, column: str) -> set[str]:
    return {str(value) for value in pc.unique(rows[column]).to_pylist() if value is not None}


def _short(values: set[str]) -> str:
    return ", ".join(value[:12] for value in sorted(values))


def _seeds(confirm: pa.Table) -> dict[int, int]:
    """Seed of each block; every cell of a block has the same."""
    return {row["block"]: row["seed"] for row in confirm.select(["block", "seed"]).to_pylist()}


def _configs(confirm: pa.Table) -> dict[str, dict[str, Any]]:
    """Configuration of each cell, from its first block."""
    rows = confirm.select(["cell_id", "block", "config_json"]).sort_by(
        [("cell_id", "ascending"), ("block", "ascending")]
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        if row["cell_id"] not in found:
            found[row["cell_id"]] = json.loads(row["config_json"])
    return found
