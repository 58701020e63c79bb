"""A sweep as data: factors, cells, contrasts, presets. No callables, so workers can unpickle everything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

Value = bool | int | float | str | None
Settings = Mapping[str, Value]
"""TrainConfig fields by name."""


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`, evenly or (`log`) evenly in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Levels:
    """A finite choice."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One TrainConfig field that the search varies."""

    name: str
    domain: Range | Levels
    role: Literal["scientific", "nuisance"]
    """`scientific`: what is asked about. `nuisance`: tuned, not asked about."""
    when: tuple[str, Value] | None = None
    """Drawn only where an earlier factor has this value; otherwise the field keeps its fixed value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of scientific levels."""

    levels: Settings
    drop_in: Settings = field(default_factory=dict)
    """Nuisance values of the cell where nothing is tuned."""

    @property
    def cell_id(self) -> str:
        """`koleo=on`; several levels are joined by commas."""
        return ",".join(f"{name}={spelled(value)}" for name, value in self.levels.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Treatment minus control, by cell id."""

    estimand: str
    control: str
    treatment: str
    label: str
    """The treatment in a sentence; `{field}` stands for a value of its configuration."""
    sesoi: float = 0.003
    """Smallest effect size of interest, in AUC; > 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A budget with a purpose."""

    purpose: str
    dataset: str
    samples: int
    """Trials of the search."""
    epochs: int
    blocks: int
    """Paired seeds of the confirmation."""
    confirm: Literal["drop-in", "best of search"]
    fixed: Settings = field(default_factory=dict)
    first_trials: tuple[Settings, ...] = ()
    """Factor values that the search tries first."""
    next_command: str = ""
    """Arguments worth running afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """One question and everything that is varied to answer it."""

    name: str
    question: str
    factors: tuple[Factor, ...]
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    presets: Mapping[str, Preset]
    fixed: Settings = field(default_factory=dict)
    """Declared values that hold whatever the data set."""
    datasets: Mapping[str, Settings] = field(default_factory=dict)
    """Declared values per data set."""

    def cell_of(self, settings: Settings) -> str:
        """Id of the cell that `settings` belong to; cells partition the levels they name.

        Raises:
            ValueError: no cell has these levels.
        """
        for cell in self.cells:
            if all(settings.get(name) == value for name, value in cell.levels.items()):
                return cell.cell_id
        raise ValueError(f"No cell of {self.name} has the levels of {dict(settings)}.")

    def corners(self) -> Iterator[Settings]:
        """Every combination of the factors' levels and ends of range: what must be valid before any trial starts."""
        ends = [(f.domain.low, f.domain.high) if isinstance(f.domain, Range) else f.domain.values for f in self.factors]
        for values in product(*ends):
            drawn: dict[str, Value] = {}
            for factor, value in zip(self.factors, values, strict=True):
                if factor.when is None or drawn.get(factor.when[0]) == factor.when[1]:
                    drawn[factor.name] = value
            yield drawn


def spelled(value: Value) -> str:
    """A level as people write it: on, off, and numbers without a leading zero."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.3g}".removeprefix("0") if 0 < value < 1 else f"{value:g}"
    return str(value)
