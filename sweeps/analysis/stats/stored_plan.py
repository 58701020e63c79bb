"""What a sweep set out to estimate, read from its `plan.json`: cells, settled nuisances, weighted contrasts."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from sweeps.analysis.stats.effects import SESOI
from sweeps.results import frozen
from sweeps.results.columns import named

FAMILIES: Final = ("primary", "exploratory", "control")
"""`primary`: held to Holm's adjustment together. `control`: the same computation but for the order of additions."""

ROUNDING: Final = 1e-9
"""How far the weights of a contrast may add up from zero."""

T = TypeVar("T")

TEXTS: Final = ("code", "estimand", "label", "outcome", "outcome_label", "family", "note")


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
    """It runs in blocks 1 to this one of `confirm`."""

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

    blocks: tuple[int, ...] | None = None
    """Blocks in which all its cells are planned; None: those that have rows."""

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
class StoredPlan:
    """What a sweep's `plan.json` says, as the analysis reads it."""

    study_id: str = ""
    question: str = ""
    published: str = ""
    """Study whose published figures stand beside ours, `study2` say."""

    cells: tuple[PlannedCell, ...] = ()
    """Empty for plans that list none."""

    nuisance: Mapping[str, Mapping[str, Any]] | None = None
    """cell_id -> settings; None until settled."""

    tuned: Mapping[str, Mapping[str, Any]] | None = None
    """cell_id -> `trial_id`, `final_val_auc`, `edges` of its best tune trial; None without a tune stage."""

    contrasts: tuple[Contrast, ...] = ()
    sha256: str | None = None
    """Hash of the plan frozen before `confirm`."""

    samples: int = 0
    """Trials of the search."""

    blocks: int = 0
    """Paired seeds of the confirmation."""

    extended: tuple[Mapping[str, Any], ...] = ()
    """`sha256`, `samples` and `blocks` of each frozen plan that this one extends, the oldest first."""


def read_plan(results_dir: Path, trials: pa.Table) -> StoredPlan:
    """The plan of a sweep; without `plan.json`, KoLeo on against off if `confirm` has both cells.

    Raises:
        Faults: a plan that cannot be read, that was changed after it was frozen, or whose contrasts are impossible.
    """
    path = results_dir / frozen.FILE
    if not path.is_file():
        cells = set(trials.filter(pc.equal(trials["stage"], "confirm"))["cell_id"].to_pylist())
        default = Contrast.pair("koleo=off", "koleo=on", label="KoLeo")
        return StoredPlan(contrasts=(default,) if set(default.weights) <= cells else ())
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Faults([f"{path} is not readable as JSON: {error}."]) from None
    if not isinstance(plan, dict):
        raise Faults([f"{path} must hold an object, but holds {type(plan).__name__}."])
    changed = frozen.fault_of(plan)
    if changed is not None:
        raise Faults([f"{path}: {changed}"])
    for name in ("contrasts", "cells", frozen.EXTENDED):
        entries = plan.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise Faults([f"`{name}` in {path} must be a list of objects, but got {entries!r}."])
    return _plan_of(plan)


def _plan_of(plan: dict[str, Any]) -> StoredPlan:
    cells = tuple(_collected(_cell, plan.get("cells", [])))
    sha256 = plan.get(frozen.KEY)
    extended = tuple(plan.get(frozen.EXTENDED, []))
    plans = (*(before[frozen.KEY] for before in extended), sha256) if sha256 is not None else ()
    return StoredPlan(
        study_id=plan.get("study_id", ""),
        question=plan.get("question", ""),
        published=plan.get("published", ""),
        cells=cells,
        nuisance=plan.get("nuisance"),
        tuned=plan.get("tuned"),
        contrasts=tuple(_collected(lambda entry: _contrast(entry, cells, plans), plan.get("contrasts", []))),
        sha256=sha256,
        samples=plan.get("samples", 0),
        blocks=plan.get("blocks", 0),
        extended=extended,
    )


def _collected(build: Callable[[dict[str, Any]], T], entries: list[dict[str, Any]]) -> list[T]:
    """Everything built, or the faults of all entries."""
    built: list[T] = []
    faults: list[str] = []
    for entry in entries:
        try:
            built.append(build(entry))
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(faults)
    return built


def _contrast(values: dict[str, Any], cells: tuple[PlannedCell, ...], plans: tuple[str, ...]) -> Contrast:
    """One entry of `contrasts`, old form or new; keys this analysis does not know are left to later readers."""
    weights = values["weights"] if "weights" in values else _pair_weights(values)
    faults = _weight_faults(weights, cells)
    label = values.get("label", values.get("treatment_label", values.get("treatment", values.get("estimand", ""))))
    texts = {name: values[name] for name in TEXTS if name in values} | {"label": label}
    faults += [f"`{n}` of a planned contrast must be text; got {t!r}." for n, t in texts.items() if type(t) is not str]
    sesoi = values.get("sesoi", SESOI)
    if isinstance(sesoi, bool) or not (isinstance(sesoi, int | float) and 0 < sesoi < math.inf):
        faults.append(f"`sesoi` of a planned contrast must be positive and finite; got {sesoi!r}.")
    if isinstance(texts.get("family"), str) and texts["family"] not in FAMILIES:
        faults.append(unknown("family of a contrast", texts["family"], FAMILIES))
    if faults:
        raise Faults(faults)
    planned = [cell.blocks for cell in cells if cell.cell_id in weights]
    blocks = tuple(range(1, min(planned) + 1)) if planned else None
    return Contrast(weights=weights, sesoi=sesoi, blocks=blocks, plans=plans, **texts)


def _pair_weights(values: dict[str, Any]) -> dict[str, float]:
    missing = [name for name in ("control", "treatment") if not isinstance(values.get(name), str)]
    if missing:
        raise Faults(
            [f"A contrast of the plan needs `{name}`, a cell_id, or `weights`; got {values}." for name in missing]
        )
    if values["control"] == values["treatment"]:
        raise Faults([f"A contrast needs two cells, but both are `{values['control']}`."])
    return {values["control"]: -1.0, values["treatment"]: 1.0}


def _weight_faults(weights: Any, cells: tuple[PlannedCell, ...]) -> list[str]:
    if not isinstance(weights, dict) or not all(
        isinstance(w, int | float) and not isinstance(w, bool) and math.isfinite(w) and w != 0 for w in weights.values()
    ):
        return [
            f"`weights` of a planned contrast must give each cell_id a finite number other than 0; got {weights!r}."
        ]
    faults = []
    if not weights or abs(math.fsum(weights.values())) > ROUNDING:
        faults.append(f"`weights` of a planned contrast must add up to 0 over its cells; got {weights}.")
    known = [cell.cell_id for cell in cells]
    return faults + [unknown("cell in `weights`", cell, known) for cell in weights if known and cell not in known]


def _cell(values: dict[str, Any]) -> PlannedCell:
    blocks = values.get("blocks")
    if not isinstance(values.get("cell_id"), str) or isinstance(blocks, bool) or not isinstance(blocks, int):
        raise Faults([f"A cell of the plan needs `cell_id`, a text, and `blocks`, a whole number; got {values}."])
    return PlannedCell(**{f.name: values[f.name] for f in fields(PlannedCell) if f.name in values})
