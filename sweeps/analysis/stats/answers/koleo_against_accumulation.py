"""KoLeo against accumulation, both in the unit of the outcome, and how much of the one the other takes back. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import special

from sweeps.analysis.stats.answers.derived import primaries
from sweeps.analysis.stats.intervals.anytime import FIRST_LOOK, anytime_t
from sweeps.analysis.stats.intervals.effects import ALPHA, Effect, Interval, t_interval
from sweeps.analysis.stats.reading.contrasts import CellRuns, cell_runs
from sweeps.analysis.stats.reading.levels import levels_of
from sweeps.analysis.stats.reading.refusals import Refused
from sweeps.analysis.stats.reading.stored_plan import ROUNDING, Contrast, StoredPlan

K: Final = "accum_steps"

PARTS: Final = ("koleo", "accumulation", "difference", "taken_back")

Weights = dict[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """On one outcome; exploratory, so intervals alone."""

    outcome: str
    """Column of `trials`."""

    low: str
    """Lowest K."""

    high: str
    """Highest K."""

    koleo: Interval | Effect
    """Off to on, at the lowest K. Each part that a primary estimates too is that primary's effect."""

    accumulation: Interval | Effect
    """Lowest K to highest, with KoLeo on."""

    difference: Interval | Effect
    """The first less the second."""

    taken_back: Interval | Effect
    """What KoLeo changes at the highest K less what it changes at the lowest: the interaction."""

    share: Interval | None
    """Minus the interaction over KoLeo's effect; None where the interval of that effect has 0 in it."""

    weights: Mapping[str, Weights]
    """Field of this class -> weights of the cells."""

    counted: str
    """How many independent units there are, and of what."""

    anytime: bool = False
    """Whether the intervals hold at every look."""

    bare: bool = False
    """After a look, and too few replicates for an interval that holds at every one: ends are nan."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Parts that are primaries."""
        return tuple(part for part in PARTS if isinstance(getattr(self, part), Effect))


def comparisons(trials: pa.Table, plan: StoredPlan) -> list[Comparison]:
    """On the declared outcome and on those beside it; none where the plan has no primaries of both.

    Args:
        trials: with the column `stage`.
        plan: its primaries say which cells, replicates and blocks.
    """
    first = next(iter(primaries(plan.contrasts)), None)
    cells = list(dict.fromkeys(cell for contrast in primaries(plan.contrasts) for cell in contrast.weights))
    found = _weights(cells)
    confirm = trials.filter(pc.equal(trials["stage"], "confirm"))
    if first is None or found is None or not confirm.num_rows:
        return []
    outcomes = [plan.outcome, *plan.beside] if plan.outcome is not None else []
    columns = [one.column for one in outcomes] or [first.outcome]
    told = [_comparison(confirm, replace(first, outcome=column), plan, *found) for column in columns]
    return [one for one in told if one is not None]


def fieller(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], *, anytime: bool = False
) -> Interval | None:
    """Ratio of two means over the same units (n >= 2) with its 95 % interval; None where the interval is not bounded.

    That is where the denominator's own 95 % interval has 0 in it. `anytime`: by the interval that holds at every look.

    Source: Fieller 1954.
    """
    n = numerator.size
    t = anytime_t(n, ALPHA) if anytime else float(special.stdtrit(n - 1, 1 - ALPHA / 2))
    ((of_top, of_both), (_, of_bottom)) = (np.cov(numerator, denominator) * t**2 / n).tolist()
    top, bottom = float(numerator.mean()), float(denominator.mean())
    a = bottom**2 - of_bottom
    if a <= 0:
        return None
    b, c = top * bottom - of_both, top**2 - of_top
    half = math.sqrt(max(0.0, b**2 - a * c)) / a
    return Interval(top / bottom, b / a - half, b / a + half, n, half / t)


def _comparison(
    confirm: pa.Table, contrast: Contrast, plan: StoredPlan, low: str, high: str, weights: Mapping[str, Weights]
) -> Comparison | None:
    cells = {cell: 0.0 for of_part in weights.values() for cell in of_part}
    try:
        runs = cell_runs(confirm, replace(contrast, weights=cells))
    except Refused:  # a primary of the same cells says why
        return None
    values = {part: _values(runs, of_part) for part, of_part in weights.items()}
    bare = plan.grown and len(runs.places) < FIRST_LOOK
    share = None if bare else fieller(-values["taken_back"], values["koleo"], anytime=plan.grown)
    return Comparison(
        outcome=contrast.outcome,
        low=low,
        high=high,
        **{
            part: _bare(units) if bare else _part(runs, contrast.outcome, weights[part], plan)
            for part, units in values.items()
        },
        share=share,
        weights=weights,
        counted=runs.counted(),
        anytime=plan.grown,
        bare=bare,
    )


def _part(runs: CellRuns, outcome: str, weights: Weights, plan: StoredPlan) -> Interval | Effect:
    """The effect of the primary with these weights on this outcome; an interval of its own where there is none."""
    judged = primaries(plan.contrasts)
    same = next((one for one in judged if one.outcome == outcome and _equal(one.weights, weights)), None)
    if same is None:
        return t_interval(_values(runs, weights), anytime=plan.grown)
    own = replace(runs, weights=tuple(weights.get(cell, 0.0) for cell in runs.cells))
    return own.effect(sesoi=same.sesoi, family=len(judged), anytime=plan.grown)


def _bare(units: NDArray[np.float64]) -> Interval:
    """The estimate alone."""
    return replace(t_interval(units), ci_low=math.nan, ci_high=math.nan)


def _equal(weights: Mapping[str, float], others: Mapping[str, float]) -> bool:
    cells: Iterable[str] = weights.keys() | others.keys()
    return all(abs(weights.get(cell, 0.0) - others.get(cell, 0.0)) < ROUNDING for cell in cells)


def _values(runs: CellRuns, weights: Weights) -> NDArray[np.float64]:
    return replace(runs, weights=tuple(weights.get(cell, 0.0) for cell in runs.cells)).values


def _weights(cells: Sequence[str]) -> tuple[str, str, dict[str, Weights]] | None:
    """Lowest and highest K, and the weights of each part, averaged over the other factors; None without both."""
    levels = {cell: levels_of(cell) for cell in cells}
    on = {cell: own for cell, own in levels.items() if own.get("koleo") == "on" and K in own}
    on = {cell: own for cell, own in on.items() if own.get("accum_mode") != "cached"}
    steps = sorted({own[K] for own in on.values()}, key=float)
    if len(steps) < 2:
        return None
    low, high = steps[0], steps[-1]
    at = {(k, _rest(own)): cell for cell, own in on.items() for k in (own[K],)}
    found: list[tuple[str, str, str, str]] = []
    for k, rest in at:
        others = [_off(levels, dict(rest) | {K: step}) for step in (low, high)]
        if k == low and (high, rest) in at and None not in others:
            found.append((at[low, rest], at[high, rest], *others))  # type: ignore[arg-type]
    if not found:
        return None
    parts: dict[str, Weights] = {name: {} for name in PARTS}
    for on_low, on_high, off_low, off_high in found:
        _add(parts["koleo"], {on_low: 1, off_low: -1}, len(found))
        _add(parts["accumulation"], {on_high: 1, on_low: -1}, len(found))
        for cell, sign in ((on_high, 1), (off_high, -1), (on_low, -1), (off_low, 1)):
            _add(parts["taken_back"], {cell: sign}, len(found))
    _add(parts["difference"], parts["koleo"], 1)
    _add(parts["difference"], {cell: -weight for cell, weight in parts["accumulation"].items()}, 1)
    return low, high, parts


def _rest(levels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, level) for name, level in levels.items() if name not in ("koleo", K)))


def _off(levels: Mapping[str, Mapping[str, str]], wanted: Mapping[str, str]) -> str | None:
    """The cell without KoLeo that shares most levels with `wanted` and has none that differs: it may serve all K."""
    wanted = dict(wanted) | {"koleo": "off"}
    fitting = [cell for cell, own in levels.items() if own.get("koleo") == "off" and own.items() <= wanted.items()]
    return max(fitting, key=lambda cell: (len(levels[cell]), cell), default=None)


def _add(to: Weights, weights: Mapping[str, float], over: int) -> None:
    for cell, weight in weights.items():
        to[cell] = to.get(cell, 0.0) + weight / over
