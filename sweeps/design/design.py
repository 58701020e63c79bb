"""A sweep as data: factors, arms, estimands, presets. No callables, so workers can unpickle everything."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from embedding_core.errors import Faults, unknown
from embedding_core.plugins.builtin import REGISTRIES
from sweeps.design.corners import corners

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


OF_PLUGINS: Final = "of plug-ins"
"""Stands in `Factor.when` for every loss, backbone or data set that is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One TrainConfig field that is varied."""

    name: str
    domain: Range | Levels
    role: Literal["scientific", "nuisance", "fixed"]
    """`scientific`: what is asked about. `nuisance`: tuned in every cell, not asked about. `fixed`: declared, and
    varied by the search alone."""
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Drawn only where each of these fields has one of its values: earlier factors, or fields that nothing varies."""

    def is_drawn(self, settings: Settings) -> bool:
        """Whether it has a value beside these settings."""
        return all(is_one_of(name, settings.get(name), values) for name, values in self.when.items())


def is_one_of(name: str, value: Value, values: tuple[Value, ...]) -> bool:
    """Whether the field `name` has one of these values; see `OF_PLUGINS`."""
    if value in values:
        return True
    registry = next((each for each in REGISTRIES if each.kind == name), None)
    return OF_PLUGINS in values and registry is not None and value in registry and value not in registry.builtin


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What cells are judged by on held-out images, and tuned by on validation images."""

    name: str
    """As `--outcome` has it."""
    column: str
    """Of the trials table."""
    label: str
    """In a sentence."""
    sesoi: float
    """Smallest effect size of interest, in units of the outcome; > 0."""
    validation: str
    """Column of the curves: the measure that settings are chosen by, and that ASHA and TPE follow."""

    @property
    def final(self) -> str:
        """Column of the trials table with that measure at a run's last epoch."""
        return f"final_{self.validation}"


AUC = Outcome(name="auc", column="test_auc", label="AUC", sesoi=0.003, validation="val_auc")
"""All pairs of images, one threshold for all classes."""

RECALL_AT_1 = Outcome(
    name="recall_at_1", column="test_recall_at_1", label="recall@1", sesoi=0.01, validation="val_recall_at_1"
)
"""Retrieval: whether an image's nearest other is of its class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of levels, and how its nuisance settings are found."""

    levels: Settings
    """What it is named by; a run that has others is refused."""
    fixed: Settings = field(default_factory=dict)
    """Settings that go with these levels: an optimiser's own schedule, say."""
    drop_in: Settings = field(default_factory=dict)
    """Nuisance values of the cell where nothing is tuned."""
    role: Literal["factorial", "control"] = "factorial"
    """`control`: in truth equal to another cell."""
    settings_of: str = ""
    """Id of the cell whose tuned settings it takes; its own where empty."""

    @property
    def cell_id(self) -> str:
        """`koleo=on`; several levels are joined by commas."""
        return ",".join(f"{name}={spelled(value)}" for name, value in self.levels.items())

    @property
    def settings(self) -> Settings:
        """Everything that it sets whatever its nuisance settings are."""
        return {**self.fixed, **self.levels}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimand:
    """What is to be estimated of the declared outcome; `cells.contrasts_of` makes the weights.

    Of a factor, in words that need no list of cells: last level minus first, of numbers the highest minus the lowest,
    averaged over all other factors. Or between cells: the mean of `treatment` minus that of `control`.
    """

    code: str
    """Short name in tables: E1."""
    name: str
    factor: str = ""
    times: str | None = None
    """Another factor: how the effect of `factor` changes with it (difference of differences)."""
    slope: bool = False
    """Of numbers, and only of three levels or more: the least-squares slope per doubling."""
    within: Settings = field(default_factory=dict)
    """Only at these levels of other factors."""
    each: str | None = None
    """Another factor: one estimand at each of its levels, which `name` and `label` may hold in braces."""
    control: tuple[str, ...] = ()
    """Ids of cells, where there is no `factor`."""
    treatment: tuple[str, ...] = ()
    label: str
    """The treatment in a sentence. `{low}` and `{high}` stand for the levels that are compared, of `times` if given."""
    drop_in_label: str = ""
    """The same where nothing is tuned; `{field}` stands for the stated value. `label` where empty."""
    outcome_label: str = "{outcome}"
    """What is changed, in a sentence."""
    family: Literal["primary", "exploratory"] = "primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A budget with a purpose."""

    purpose: str
    dataset: str
    samples: int = 0
    """Trials of the search; 0: none."""
    epochs: int
    replicates: int = 1
    """Independent tunings, each with a confirmation of its own; where nothing is tuned, independent seeds and draws of
    images."""
    blocks: int = 1
    """Paired seeds of the confirmation, per replicate."""
    confirm: Literal["drop-in", "best of search", "best of tune"]
    outcome: str = ""
    """Name of the outcome that is declared; the design's first where empty."""
    levels: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Levels of the factors that the cells of tune and confirm cross; without any, the arms are the cells."""
    cells: tuple[str, ...] = ()
    """Ids of the design's `cells` that are compared; all where empty."""
    points: int = 0
    """Settings tried in every cell of every replicate, in the stage `tune`; 0: nothing is tuned there."""
    fixed: Settings = field(default_factory=dict)
    first_trials: tuple[Settings, ...] = ()
    """Factor values that the search tries first."""
    next_command: str = ""
    """Arguments worth running afterwards."""
    takes: str = ""
    """Wall time that a run of it took, and on what machine; empty: nobody has noted one. No part of `Design.sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """One question and everything that is varied to answer it."""

    name: str
    question: str
    factors: tuple[Factor, ...] = ()
    arms: tuple[Cell, ...] = ()
    """What trials of the search are counted under, with the settings of each where nothing is tuned."""
    cells: tuple[Cell, ...] = ()
    """What is compared where that is no crossing of levels. Such a design has no arms and no search."""
    estimands: tuple[Estimand, ...]
    outcomes: tuple[Outcome, ...] = (AUC, RECALL_AT_1)
    """What it may be judged by; the first is declared unless a preset or `--outcome` says otherwise, and the others are
    read beside it."""
    presets: Mapping[str, Preset]
    fixed: Settings = field(default_factory=dict)
    """Declared values that hold whatever the data set."""
    datasets: Mapping[str, Settings] = field(default_factory=dict)
    """Declared values per data set."""
    controls: tuple[Settings, ...] = ()
    """Levels that change nothing but rounding where accumulation is exact: run beside their twin as A/A control."""
    published: str = ""
    """Study whose published figures the report puts beside its own, `study2` say."""

    def __post_init__(self) -> None:
        """Raises: Faults: estimands or presets that name no cell or outcome of the design."""
        ids = [cell.cell_id for cell in self.cells]
        listed = [(name, cell) for name, preset in self.presets.items() for cell in preset.cells]
        faults = [unknown(f"cell of preset {name}", cell, ids) for name, cell in listed if cell not in ids]
        outcomes = [outcome.name for outcome in self.outcomes]
        declared = [(name, preset.outcome) for name, preset in self.presets.items() if preset.outcome]
        faults += [unknown(f"outcome of preset {name}", one, outcomes) for name, one in declared if one not in outcomes]
        tuned = {factor.name for factor in self.factors if factor.role == "nuisance"}
        faults += [
            f"`{name}` is tuned: what {cell.cell_id} takes untuned belongs into `drop_in`."
            for cell in self.cells
            for name in cell.settings
            if name in tuned
        ]
        for estimand in self.estimands:
            named = (*estimand.control, *estimand.treatment)
            faults += [unknown(f"cell of estimand {estimand.name}", cell, ids) for cell in named if cell not in ids]
            if bool(estimand.factor) == bool(estimand.control and estimand.treatment):
                faults.append(f"Estimand {estimand.name} needs a factor, or cells on both sides, and not both.")
        if bool(self.arms) == bool(self.cells):
            faults.append(f"{self.name} needs arms or cells, and not both.")
        if faults:
            raise Faults(faults)

    @property
    def sha256(self) -> str:
        """Hash of the design; a resume under another design is refused."""
        content = asdict(self)
        for preset in content["presets"].values():
            del preset["takes"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def arm_of(self, settings: Settings) -> Cell:
        """The arm that `settings` belong to; arms partition the levels they name.

        Raises:
            ValueError: no arm has these levels.
        """
        for arm in self.arms:
            if all(settings.get(name) == value for name, value in arm.levels.items()):
                return arm
        raise ValueError(f"No arm of {self.name} has the levels of {dict(settings)}.")

    def corners(self) -> Iterator[Settings]:
        """Combinations of the factors' levels and ends of range, see `corners`; the first has the first of each."""
        ends = [(f.domain.low, f.domain.high) if isinstance(f.domain, Range) else f.domain.values for f in self.factors]
        for values in corners(ends):
            drawn: dict[str, Value] = {}
            for factor, value in zip(self.factors, values, strict=True):
                if factor.is_drawn(drawn):
                    drawn[factor.name] = value
            yield drawn


def spelled(value: Value) -> str:
    """A level as people write it: on, off, and numbers without a leading zero."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.3g}".removeprefix("0") if 0 < value < 1 else f"{value:g}"
    return str(value)
