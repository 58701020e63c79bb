"""From the levels of a preset to its distinct cells, and from estimands to weights on them."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from sweeps.design.design import Cell, Design, Estimand, Outcome, Settings, Value, spelled

NEGLIGIBLE = 1e-12
"""Weights below are the rounding of sums that are zero."""

IDENTITY = "The other arm is the same by construction, so this is also the"

ACCUMULATION = "accum_steps"
"""The one field that may change nothing at all, which cells leave out then."""

BATCH_SIZE, BETA2 = "batch_size", "beta2"

CELL = "cell"
"""Name of the factor that listed cells are the levels of."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of cells per block: one entry of `plan.json`."""

    code: str
    estimand: str
    label: str
    weights: Mapping[str, float]
    """By cell id; their sum is 0."""
    outcome: str
    outcome_label: str
    sesoi: float
    family: str = "primary"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Factorial:
    """All combinations of levels, and the distinct cells that they fall into."""

    levels: Mapping[str, Sequence[Value]]
    cells: Mapping[tuple[Value, ...], Cell]
    """By combination of levels, in their order; combinations that compute the same share a cell."""

    @classmethod
    def of(cls, design: Design, levels: Mapping[str, Sequence[Value]], base: Settings) -> "Factorial":
        """Cross the levels."""
        cells: dict[tuple[Value, ...], Cell] = {}
        for values in product(*levels.values()):
            crossed = dict(zip(levels, values, strict=True))
            drawn = {factor.name: factor.is_drawn({**base, **crossed}) for factor in design.factors}
            point = {name: value for name, value in crossed.items() if drawn.get(name, True)}
            arm = design.arm_of({**base, **point})
            if ACCUMULATION in point and not _accumulation_acts({**base, **arm.drop_in, **point}):
                del point[ACCUMULATION]
            fixed = _memory(levels, point, base)
            cells[values] = Cell(levels=point, fixed=fixed, drop_in=arm.drop_in)
        return cls(levels, cells)

    @classmethod
    def listed(cls, cells: Sequence[Cell]) -> "Factorial":
        """Cells that are no crossing of levels: one factor, whose levels are their ids."""
        return cls({CELL: [cell.cell_id for cell in cells]}, {(cell.cell_id,): cell for cell in cells})

    @property
    def distinct(self) -> tuple[Cell, ...]:
        """Each cell once, in order of first appearance."""
        return tuple({cell.cell_id: cell for cell in self.cells.values()}.values())

    def points(self) -> Iterator[tuple[dict[str, Value], Cell]]:
        """Each combination of levels with its cell."""
        for values, cell in self.cells.items():
            yield dict(zip(self.levels, values, strict=True)), cell

    def at(self, point: Settings) -> Cell:
        """The cell of a combination of levels."""
        return self.cells[tuple(point[name] for name in self.levels)]

    def controls(self, design: Design, base: Settings) -> tuple[Cell, ...]:
        """Cells that accumulate without effect, with the twin that does not; other factors at their first level."""
        found = []
        for given in design.controls if ACCUMULATION in self.levels else ():
            point = {**{name: levels[0] for name, levels in self.levels.items()}, **given}
            drop_in = design.arm_of({**base, **point}).drop_in
            if not _accumulation_acts({**base, **drop_in, **point}):
                twin = self.at({**point, ACCUMULATION: self.levels[ACCUMULATION][0]})
                found.append(Cell(levels=point, drop_in=drop_in, role="control", settings_of=twin.cell_id))
        return tuple(found)


def contrasts_of(estimands: Sequence[Estimand], factorial: Factorial, outcome: Outcome) -> list[Contrast]:
    """Every estimand that these cells can tell; those with the same weights are one contrast.

    Args:
        estimands: what is asked.
        factorial: the cells.
        outcome: what they are judged by.
    """
    found: dict[frozenset[tuple[str, float]], Contrast] = {}
    for estimand in _each_level(estimands, factorial):
        weights = _weights(estimand, factorial)
        if not weights:
            continue  # by identity zero, or a factor with one level
        key = frozenset(weights.items())
        if key in found and found[key].family == estimand.family:
            same = found[key]
            found[key] = replace(same, code=f"{same.code}, {estimand.code}", note=f"{IDENTITY} {estimand.name}.")
            continue
        found.setdefault(
            key,
            Contrast(
                code=estimand.code,
                estimand=estimand.name,
                label=_spelled_label(estimand, factorial),
                weights=weights,
                outcome=outcome.column,
                outcome_label=estimand.outcome_label.format(outcome=outcome.label),
                sesoi=outcome.sesoi,
                family=estimand.family,
            ),
        )
    return list(found.values())


def _each_level(estimands: Sequence[Estimand], factorial: Factorial) -> Iterator[Estimand]:
    for estimand in estimands:
        if estimand.each is None:
            yield estimand
            continue
        levels = factorial.levels.get(estimand.each, ())
        for level in levels if len(levels) > 1 else ():
            named = Kept({estimand.each: spelled(level)})
            yield replace(
                estimand,
                each=None,
                within={**estimand.within, estimand.each: level},
                name=estimand.name.format_map(named),
                label=estimand.label.format_map(named),
            )


class Kept(dict[str, str]):
    """Leaves the braces that it has nothing for."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def _spelled_label(estimand: Estimand, factorial: Factorial) -> str:
    """The label with the levels that are compared."""
    levels = factorial.levels.get(estimand.times or estimand.factor, ())
    numbers = sorted(level for level in levels if _is_number(level))  # type: ignore[type-var]
    ends = {"low": spelled(numbers[0]), "high": spelled(numbers[-1])} if numbers else {}
    return estimand.label.format_map(Kept(ends))


def _weights(estimand: Estimand, factorial: Factorial) -> dict[str, float]:
    """Coefficients of the combinations, added up by cell; empty where nothing remains, or a cell is not there."""
    if not estimand.factor:
        there = {cell.cell_id for cell in factorial.distinct}
        if not there.issuperset({*estimand.control, *estimand.treatment}):
            return {}
        sides = ((-1, estimand.control), (1, estimand.treatment))
        return {cell: sign / len(side) for sign, side in sides for cell in side}
    factors = [estimand.factor, *([estimand.times] if estimand.times else [])]
    least = 3 if estimand.slope else 2
    if any(len(factorial.levels.get(name, ())) < least for name in factors):
        return {}
    scales = {name: _scale(factorial.levels[name], slope=estimand.slope) for name in factors}
    inside = [(p, cell) for p, cell in factorial.points() if all(p.get(n) == v for n, v in estimand.within.items())]
    crossed = math.prod(len(factorial.levels[name]) for name in factors)
    sums: defaultdict[str, float] = defaultdict(float)
    for point, cell in inside:
        coefficient = math.prod(scales[name][point[name]] for name in factors)
        sums[cell.cell_id] += coefficient * crossed / len(inside)
    return {cell: weight for cell, weight in sums.items() if abs(weight) > NEGLIGIBLE}


def _scale(levels: Sequence[Value], *, slope: bool) -> dict[Value, float]:
    """Last minus first of two levels; of positive numbers, highest minus lowest, or the slope per doubling."""
    numbers = [level for level in levels if _is_number(level)]
    if len(numbers) < len(levels):
        if len(levels) != 2:
            raise ValueError(f"The effect of a factor that is no number needs two levels, but it has {tuple(levels)}.")
        return {levels[0]: -1.0, levels[1]: 1.0}
    if not slope:
        return {level: float(level == max(numbers)) - float(level == min(numbers)) for level in numbers}  # type: ignore[type-var]
    logs = [math.log2(number) for number in numbers]  # type: ignore[arg-type]
    mean = sum(logs) / len(logs)
    square = sum((log - mean) ** 2 for log in logs)
    return {level: (log - mean) / square for level, log in zip(numbers, logs, strict=True)}


def _is_number(level: Value) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool)


def _memory(levels: Mapping[str, Sequence[Value]], point: Settings, base: Settings) -> Settings:
    """Beside batch sizes, Adam's beta2 per sample rather than per step; else both would be one factor.

    Source: Marek et al. 2025, arXiv 2507.07101: beta2' = beta2 ** (B' / B).
    """
    first, size = levels.get(BATCH_SIZE, (None,))[0], point.get(BATCH_SIZE)
    if size is None or first is None or size == first:
        return {}
    beta2 = base.get(BETA2, TrainConfig().beta2)
    return {BETA2: float(beta2) ** (float(size) / float(first))}  # type: ignore[arg-type]


def _accumulation_acts(settings: Settings) -> bool:
    """Whether the number of accumulation steps changes what is computed; impossible settings are told elsewhere."""
    try:
        return TrainConfig.from_flat(dict(settings)).depends_on_accum_steps
    except Faults:
        return True
