"""Reads a sweep's `plan.json`, of today's form or of an older one, and refuses what cannot be."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from embedding_core.errors import Faults, unknown
from sweeps.analysis.stats.intervals.effects import SESOI
from sweeps.analysis.stats.reading.stored_plan import (
    PLANNED_FAMILIES,
    ROUNDING,
    Contrast,
    Outcome,
    PlannedCell,
    StoredPlan,
    Tuned,
)
from sweeps.results import frozen

T = TypeVar("T")

TEXTS: Final = ("code", "estimand", "label", "outcome", "outcome_label", "family", "note")

LISTS: Final = ("contrasts", "cells", "beside")

COUNTS: Final = {"replicates": 1, "points": 0, "blocks": 0, "samples": 0}
"""Key of a plan -> the least it may be."""


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
    faults = _shape_faults(plan)
    if faults:
        raise Faults([f"{path}: {fault}" for fault in faults])
    return plan_of(plan)


def _shape_faults(plan: Mapping[str, Any]) -> list[str]:
    """Keys of the plan that hold something else than they must."""
    faults = []
    for name in (*LISTS, frozen.EXTENDED):
        entries = plan.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            faults.append(f"`{name}` must be a list of objects, but got {entries!r}.")
    pin = plan.get(frozen.DATA) or {}
    if not isinstance(pin, dict) or not isinstance(pin.get(frozen.LINES, []), list):
        faults.append(f"`{frozen.DATA}` must be an object with a list of `{frozen.LINES}`, but got {pin!r}.")
    for name, least in COUNTS.items():
        count = plan.get(name, least)
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            faults.append(f"`{name}` must be a whole number of at least {least}, but got {count!r}.")
    for name in ("nuisance", "tuned"):
        given = plan.get(name)
        cells = given if isinstance(given, list) else [given] * (given is not None)
        if not all(isinstance(own, dict) and all(isinstance(one, dict) for one in own.values()) for own in cells):
            faults.append(f"`{name}` must give each cell its settings, in a list over replicates; got {given!r}.")
    return faults


def plan_of(plan: dict[str, Any]) -> StoredPlan:
    """The plan that a `plan.json` holds, of either form.

    Raises:
        Faults: its contrasts, cells or outcomes are impossible.
    """
    cells = tuple(_collected(_cell, plan.get("cells", [])))
    sha256 = plan.get(frozen.KEY)
    extended = tuple(plan.get(frozen.EXTENDED, []))
    nuisance = _by_replicate(plan.get("nuisance"))
    shared = {
        "plans": (*(before.get("plan_sha256", before.get(frozen.KEY)) for before in extended), sha256)
        if sha256 is not None
        else (),
        "replicates": tuple(range(1, plan["replicates"] + 1)) if "replicates" in plan else None,
        "nuisances": tuple(sorted({name for cells in nuisance for values in cells.values() for name in values})),
    }
    outcome = plan.get("outcome")
    return StoredPlan(
        study_id=plan.get("study_id", ""),
        question=plan.get("question", ""),
        published=plan.get("published", ""),
        cells=cells,
        replicates=plan.get("replicates", 1),
        points=plan.get("points", 0),
        blocks=plan.get("blocks", 0),
        confirm=plan.get("confirm", ""),
        tuner=plan.get("tuner", ""),
        outcome=None if outcome is None else _outcome(outcome),
        beside=tuple(_collected(_outcome, plan.get("beside", []))),
        data_lines=tuple(" ".join(str(line).split()) for line in (plan.get(frozen.DATA) or {}).get(frozen.LINES, [])),
        nuisance=nuisance,
        tuned=tuple({cell: _tuned(found) for cell, found in own.items()} for own in _by_replicate(plan.get("tuned"))),
        contrasts=tuple(_collected(lambda entry: _contrast(entry, cells, shared), plan.get("contrasts", []))),
        sha256=sha256,
        samples=plan.get("samples", 0),
        extended=extended,
        looked=plan.get("looked", False),
    )


def _by_replicate(given: Any) -> tuple[Mapping[str, Any], ...]:
    """A list over replicates; the single mapping of an old plan is that of replicate 1."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, list) else (given,)


def _outcome(values: Any) -> Outcome:
    names = [one.name for one in fields(Outcome)]
    missing = [name for name in names if not isinstance(values, dict) or name not in values]
    if missing:
        raise Faults([f"An outcome of the plan needs {', '.join(f'`{name}`' for name in missing)}; got {values}."])
    return Outcome(**{name: values[name] for name in names})


def _tuned(values: Mapping[str, Any]) -> Tuned:
    """Old plans flagged the outermost of few points, which says nothing about the range."""
    new = "value" in values
    value = values["value"] if new else values.get("final_val_auc")
    return Tuned(trial_id=values.get("trial_id", ""), value=value, edges=values.get("edges") if new else None)


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


def _contrast(values: dict[str, Any], cells: tuple[PlannedCell, ...], shared: Mapping[str, Any]) -> Contrast:
    """One entry of `contrasts`, old form or new; keys this analysis does not know are left to later readers.

    Args:
        values: the entry.
        cells: of the plan.
        shared: fields that all contrasts of the plan have alike.
    """
    weights = values["weights"] if "weights" in values else _pair_weights(values)
    faults = _weight_faults(weights, cells)
    label = values.get("label", values.get("treatment_label", values.get("treatment", values.get("estimand", ""))))
    texts = {name: values[name] for name in TEXTS if name in values} | {"label": label}
    faults += [f"`{n}` of a planned contrast must be text; got {t!r}." for n, t in texts.items() if type(t) is not str]
    sesoi = values.get("sesoi", SESOI)
    if isinstance(sesoi, bool) or not (isinstance(sesoi, int | float) and 0 < sesoi < math.inf):
        faults.append(f"`sesoi` of a planned contrast must be positive and finite; got {sesoi!r}.")
    if isinstance(texts.get("family"), str) and texts["family"] not in PLANNED_FAMILIES:
        faults.append(unknown("family of a contrast", texts["family"], PLANNED_FAMILIES))
    if faults:
        raise Faults(faults)
    planned = [cell.blocks for cell in cells if cell.cell_id in weights]
    blocks = tuple(range(1, min(planned) + 1)) if planned else None
    return Contrast(weights=weights, sesoi=sesoi, blocks=blocks, **shared, **texts)


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
