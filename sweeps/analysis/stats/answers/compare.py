"""Two sweeps side by side: the same contrast in each, whether they are comparable, the difference. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.answers.findings import Finding
from sweeps.analysis.stats.intervals.effects import Interval, t_interval
from sweeps.analysis.stats.intervals.independent_groups import welch
from sweeps.analysis.stats.reading.contrasts import CellRuns
from sweeps.analysis.stats.reading.pairing import place_of
from sweeps.analysis.wording import capital
from sweeps.results.columns import named

NOT_COMPARED: Final = ("seed", "split_seed", "data_root", "device", "views", "probes", "stop_if_collapsed")
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
    """Second minus first with its 95 % interval; None where something refuses it, or the outcomes differ."""

    method: str
    """`paired by seed` or `Welch`; empty without an interval."""

    sentence: str

    @property
    def other_outcomes(self) -> bool:
        """Whether the sweeps are judged by different outcomes."""
        return self.first.contrast.outcome != self.second.contrast.outcome


def compare(first: Sweep, second: Sweep) -> list[Pairing]:
    """Each primary of `first` that `second` has too, in the order of `first`; be it on another outcome."""
    refused = refusals(first, second)
    return [_paired(one, other, first, second, refused) for one, other in _partners(first, second)]


def only_in(first: Sweep, second: Sweep) -> list[str]:
    """Labels of the primaries of `first` that `second` has not."""
    paired = {_key(one) for one, _ in _partners(first, second)}
    return [finding.contrast.label for finding in _primaries(first) if _key(finding) not in paired]


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
    """Cells of both sweeps -> the settings that differ, as `name: first, second`; only cells with a difference.

    A setting that a sweep's replicates differ in is tuned there, and differs between sweeps by design.
    """
    a, b = (_configs(sweep.confirm) for sweep in (first, second))
    found = {}
    for cell in sorted(a.keys() & b.keys()):
        names = sorted((a[cell].keys() | b[cell].keys()) - set(NOT_COMPARED) - _tuned(a[cell]) - _tuned(b[cell]))
        values = [(name, a[cell].get(name), b[cell].get(name)) for name in names]
        lines = [f"{name}: {one}, {other}" for name, one, other in values if one != other]
        if lines:
            found[cell] = lines
    return found


def _paired(one: Finding, other: Finding, first: Sweep, second: Sweep, refused: Sequence[str]) -> Pairing:
    if one.contrast.outcome != other.contrast.outcome:
        return Pairing(one, other, None, "", _both_answers(one, other, first, second))
    reasons = list(refused)
    for sweep, finding in ((first, one), (second, other)):
        if finding.estimated is None:
            reasons.append(f"{sweep.name} has no estimate")
    if dict(one.contrast.weights) != dict(other.contrast.weights):
        reasons.append("the contrasts weigh other cells")
    if one.runs is None or other.runs is None or reasons:
        return Pairing(one, other, None, "", _refused(one, reasons))
    a, b = _by_seeds(one.runs, first.confirm), _by_seeds(other.runs, second.confirm)
    shared = a.keys() & b.keys()
    if a.keys() == b.keys():
        difference, method = t_interval(np.array([b[seeds] - a[seeds] for seeds in a])), "paired by seed"
    elif {seed for seeds in a for seed in seeds} & {seed for seeds in b for seed in seeds}:
        told = f"{len(shared)} units are in both sweeps, others in one" if shared else "units share some of their seeds"
        return Pairing(one, other, None, "", _refused(one, [f"{told}: neither pairs nor independent"]))
    else:
        sides = [t_interval(np.array(list(side.values()))) for side in (a, b)]
        difference, method = welch(*sides), "Welch"
    return Pairing(one, other, difference, method, _said(one, other, difference, method, first, second))


def _by_seeds(runs: CellRuns, confirm: pa.Table) -> dict[tuple[int, ...], float]:
    """The contrast of each unit, by the seeds of its runs."""
    rows = confirm.select(["trial_id", "seed"]).to_pylist()
    seed = {row["trial_id"]: row["seed"] for row in rows}
    seeds = [tuple(seed[trial] for trial in cells[0]) for cells in runs.trial_ids]
    units = seeds if len(seeds) > 1 else [(own,) for own in seeds[0]]
    return dict(zip(units, runs.values.tolist(), strict=True))


def _said(one: Finding, other: Finding, difference: Interval, method: str, first: Sweep, second: Sweep) -> str:
    """An estimate and its interval: nothing that compares sweeps was planned."""
    label, outcome = one.contrast.label.removesuffix(","), one.contrast.outcome_text
    units = " and ".join(dict.fromkeys(f.runs.counted() for f in (one, other) if f.runs is not None))
    return (
        f"The effect of {label} on {outcome} in {second.name} less that in {first.name}: {interval(difference)} "
        f"({units}; {method}, exploratory)."
    )


def _refused(one: Finding, reasons: Sequence[str]) -> str:
    label = one.contrast.label.removesuffix(",")
    return f"{label}: the two estimates stand side by side only: {'; '.join(reasons)}."


def _both_answers(one: Finding, other: Finding, first: Sweep, second: Sweep) -> str:
    """The answers of two sweeps that are judged by different outcomes: together they are the full one."""
    label = capital(one.contrast.label.removesuffix(","))
    by = [f"{named(finding.contrast.outcome)} in {s.name}" for finding, s in ((one, first), (other, second))]
    return f"{label}, judged by {by[0]}, by {by[1]}. {first.name}: {one.sentence} {second.name}: {other.sentence}"


def _partners(first: Sweep, second: Sweep) -> list[tuple[Finding, Finding]]:
    """Primaries of one estimand: on the same outcome, or each sweep on an outcome that the other is not judged by."""
    ones, others = _primaries(first), _primaries(second)
    known, there = {_key(one) for one in ones}, {_key(other): other for other in others}
    found = []
    for one in ones:
        elsewhere = [o for o in others if o.contrast.estimand == one.contrast.estimand and _key(o) not in known]
        partner = there.get(_key(one), next(iter(elsewhere), None))
        if partner is not None:
            found.append((one, partner))
    return found


def _primaries(sweep: Sweep) -> list[Finding]:
    return [finding for finding in sweep.found if finding.contrast.family == "primary"]


def _key(finding: Finding) -> tuple[str, str]:
    return finding.contrast.estimand, finding.contrast.outcome


def _values(rows: pa.Table, column: str) -> set[str]:
    return {str(value) for value in pc.unique(rows[column]).to_pylist() if value is not None}


def _short(values: set[str]) -> str:
    return ", ".join(value[:12] for value in sorted(values))


def _configs(confirm: pa.Table) -> dict[str, dict[str, Any]]:
    """Configuration of each cell; a tuple of all values of a setting that its runs differ in."""
    rows = confirm.select(["cell_id", "replicate", "block", "config_json"]).to_pylist()
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["cell_id"], place_of(row))):
        config = json.loads(row["config_json"])
        cell = found.setdefault(row["cell_id"], config)
        for name in config.keys() | cell.keys():
            values = cell.get(name)
            several = values if isinstance(values, tuple) else (values,)
            if config.get(name) not in several:
                cell[name] = (*several, config.get(name))
    return found


def _tuned(cell: Mapping[str, Any]) -> set[str]:
    """Settings that the runs of a cell differ in."""
    return {name for name, value in cell.items() if isinstance(value, tuple)}
