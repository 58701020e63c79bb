"""What a sweep set out to estimate: outcomes, cells, settled nuisances by replicate, weighted contrasts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from sweeps.analysis.stats.intervals.effects import SESOI
from sweeps.analysis.wording import AN_EFFECT
from sweeps.results.columns import named

PLANNED_FAMILIES: Final = ("primary", "exploratory", "control")
"""`primary`: their intervals hold together. `control`: the same computation but for the order of additions."""

FAMILIES: Final = ("primary", "beside", "common", "exploratory", "control")
"""`beside`: a primary on another outcome; `common`: one at settings that all cells share. Both follow from a plan."""

ROUNDING: Final = 1e-9
"""How far the weights of a contrast may add up from zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCell:
    """One combination of scientific levels and how its nuisances were settled."""

    cell_id: str
    levels: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    """`best of tune`, `best of search` or `drop-in`."""

    role: str = "factorial"
    """`factorial`, `drop-in` or `control`."""

    blocks: int
    """It runs in blocks 1 to this one of `confirm`, in every replicate."""

    settings_of: str = ""
    """cell_id whose tuned settings it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A weighted sum of cells per block, in units of the outcome."""

    weights: Mapping[str, float]
    """cell_id -> weight; they add up to 0."""

    label: str
    """The treatment in a sentence: `KoLeo (weight .1)`."""

    code: str = ""
    """Place among the estimands: `E1`; `E2, E3` where two are one by identity."""

    estimand: str = "koleo"
    """Short name of what is estimated."""

    outcome: str = "test_auc"
    """Column of the trials table."""

    outcome_label: str = "AUC"
    """The outcome in a sentence."""

    sesoi: float = SESOI
    """Smallest effect size of interest, > 0."""

    family: str = "primary"
    """One of `FAMILIES`."""

    note: str = ""
    """A sentence on what it stands for."""

    replicates: tuple[int, ...] | None = None
    """Planned ones; None: those that have rows."""

    blocks: tuple[int, ...] | None = None
    """Blocks of every replicate in which all its cells are planned; None: those that have rows."""

    nuisances: tuple[str, ...] = ()
    """Settings that every replicate tunes anew, so that runs of a cell may differ by them across replicates."""

    plans: tuple[str, ...] = ()
    """Hashes of the frozen plan and of those that it extends: each confirm row carries one. Empty: never frozen."""

    @classmethod
    def pair(cls, control: str, treatment: str, *, label: str, **others: Any) -> Self:
        """Treatment minus control."""
        return cls(weights={control: -1.0, treatment: 1.0}, label=label, **others)

    @property
    def outcome_text(self) -> str:
        """The outcome in a sentence: the plan's word for it, but never `AUC` for what is none."""
        return named(self.outcome) if self.outcome_label == "AUC" and self.outcome != "test_auc" else self.outcome_label

    @property
    def name(self) -> str:
        """The treatment, for tables and figures: `KoLeo`, `accumulation (K=4 against 1), on KoLeo's effect`."""
        label = self.label.removesuffix(",")
        changed, effect, _ = self.outcome_label.partition(AN_EFFECT)
        return f"{label}, on {changed} effect" if effect else label

    @property
    def control_cells(self) -> tuple[str, ...]:
        """Cells with a negative weight."""
        return tuple(cell for cell, weight in self.weights.items() if weight < 0)

    @property
    def treatment_cells(self) -> tuple[str, ...]:
        """Cells with a positive weight."""
        return tuple(cell for cell, weight in self.weights.items() if weight > 0)

    @property
    def control(self) -> str:
        """Names of the cells with a negative weight."""
        return " + ".join(self.control_cells)

    @property
    def treatment(self) -> str:
        """Names of the cells with a positive weight."""
        return " + ".join(self.treatment_cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a sweep is judged by, or shown beside that."""

    name: str
    """`auc`"""

    column: str
    """Of the trials table: `test_auc`."""

    label: str
    """In a sentence: `AUC`."""

    sesoi: float
    """Smallest effect size of interest, > 0."""

    validation: str
    """Column of `curves` with the same measure of the validation images: `val_auc`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The settings of one cell that the tuning of a replicate found best."""

    trial_id: str
    value: float | None
    """Final value of the measure that was tuned by."""

    edges: Mapping[str, str] | None
    """Setting -> `low` or `high`, the end of its range that it sits at; None: not known, as in old plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """What a sweep's `plan.json` says, as the analysis reads it."""

    study_id: str = ""
    question: str = ""
    published: str = ""
    """Study whose published figures stand beside ours, `study2` say."""

    cells: tuple[PlannedCell, ...] = ()
    """Empty for plans that list none."""

    replicates: int = 1
    """Independent tunings with their confirmations; 1 in old plans."""

    points: int = 0
    """Settings per cell and replicate."""

    blocks: int = 0
    """Paired seeds of the confirmation, per replicate."""

    confirm: str = ""
    """`drop-in`, `best of search` or `best of tune`."""

    tuner: str = ""
    """`optuna`, `sobol`, or nothing without a tune stage."""

    outcome: Outcome | None = None
    """What the sweep is tuned for and judged by; None in old plans, whose contrasts name their own."""

    beside: tuple[Outcome, ...] = ()
    """The other outcomes, shown without a verdict."""

    nuisance: tuple[Mapping[str, Mapping[str, Any]], ...] = ()
    """By replicate: cell_id -> settings; empty until settled."""

    tuned: tuple[Mapping[str, Tuned], ...] = ()
    """By replicate: cell_id -> its best; empty without a tune stage."""

    contrasts: tuple[Contrast, ...] = ()
    sha256: str | None = None
    """Hash of the plan frozen before `confirm`."""

    samples: int = 0
    """Trials of the search."""

    extended: tuple[Mapping[str, Any], ...] = ()
    """`sha256`, `samples`, `blocks`, `replicates` of each frozen plan that this one extends, the oldest first."""

    data_lines: tuple[str, ...] = ()
    """What was said of the data when the sweep began."""

    looked: bool = False
    """Whether sweeps were joined whose reports could be read before."""

    @property
    def grown(self) -> bool:
        """Whether units of inference were added to a sweep whose results could be looked at."""
        sizes = [(before.get("replicates", 1), before.get("blocks", 0)) for before in self.extended]
        of_blocks = self.confirm == "drop-in" and self.replicates == 1
        return self.looked or any(r < self.replicates or (of_blocks and b < self.blocks) for r, b in sizes)
