"""`plan.json`: what a sweep set out to do, frozen with its hash before the confirmation."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from embedding_core.errors import Faults
from sweeps.design.design import Design, Settings
from sweeps.design.plan import Plan
from sweeps.design.selection import Tuned, best_of_search, best_of_tune, nuisance_of
from sweeps.results import frozen, store
from sweeps.results.files import holds_sweep, table_dir

NAME: Final = frozen.FILE

EXTENDABLE: Final = ("search", "confirm")
"""Stages that can be given more to run; the Sobol points of the stage tune are balanced in their number."""


def content_of(
    plan: Plan, study_id: str, nuisance: Mapping[str, Settings] | None = None, tuned: Mapping[str, Tuned] | None = None
) -> dict[str, Any]:
    """Contents of `plan.json`.

    Args:
        plan: settled.
        study_id: name of the sweep.
        nuisance: settings by cell id, as soon as they are settled.
        tuned: where they come from, if from the stage `tune`.
    """
    if nuisance is None and plan.confirm == "drop-in":
        nuisance = {cell.cell_id: cell.drop_in for cell in plan.cells}
    return {
        "study_id": study_id,
        "question": plan.design.question,
        "published": plan.design.published,
        "design": plan.design.name,
        "design_sha256": plan.design_sha256,
        "what": dict(plan.what),
        "stages": list(plan.stages),
        "samples": plan.samples,
        "points": plan.points,
        "blocks": plan.blocks,
        "confirm": plan.confirm,
        "cells": [
            {
                "cell_id": cell.cell_id,
                "levels": dict(cell.levels),
                "origin": "drop-in" if cell.role == "drop-in" else plan.confirm,
                "role": cell.role,
                "blocks": plan.blocks_of(cell),
                "settings_of": cell.settings_of or cell.cell_id,
            }
            for cell in plan.cells
        ],
        "nuisance": nuisance and {cell: dict(settings) for cell, settings in nuisance.items()},
        "tuned": tuned and {cell: asdict(found) for cell, found in tuned.items()},
        "contrasts": [asdict(contrast) for contrast in plan.contrasts()],
    }


def settle(plan: Plan, folder: Path) -> tuple[dict[str, Settings], str]:
    """Settings by cell id and the hash of the frozen plan; what an earlier start has settled is kept.

    Raises:
        Faults: a cell in which no trial completed, tuning runs that are to be run again, or a plan that was changed.
    """
    file = folder / NAME
    nuisance, tuned = settled(file), None
    if nuisance is None and plan.confirm == "best of tune":
        rows = store.read(folder, "trials", stage="tune").to_pylist()
        tuned = best_of_tune(rows, plan.factorial.distinct, plan.nuisances)
        nuisance = nuisance_of(plan.cells, tuned)
    elif nuisance is None and plan.confirm == "best of search":
        rows = store.read(folder, "trials", stage="search").to_pylist()
        nuisance = best_of_search(rows, plan.cells, plan.design.factors)
    elif nuisance is None:
        nuisance = {cell.cell_id: cell.drop_in for cell in plan.cells}
    return nuisance, freeze(file, content_of(plan, folder.name, nuisance, tuned))


def freeze(file: Path, content: dict[str, Any]) -> str:
    """Write the plan for good, and return its hash; a plan that is frozen already is left as it is.

    Raises:
        Faults: it was changed since.
    """
    there = _read(file)
    if frozen.KEY not in there:
        there = {**content, frozen.KEY: frozen.sha256_of(content)}
        write(file, there)
    fault = frozen.fault_of(there)
    if fault is not None:
        raise Faults([f"{file}: {fault} A confirmation keeps the plan it began with: restore the file."])
    return str(there[frozen.KEY])


def settled(file: Path) -> dict[str, Settings] | None:
    """Settings by cell id of a frozen plan; None before that."""
    content = _read(file)
    found: dict[str, Settings] | None = content.get("nuisance") if frozen.KEY in content else None
    return found


def missing(folder: Path) -> bool:
    """Whether a sweep was created there and its driver killed before it had a plan."""
    return holds_sweep(folder) and not (folder / NAME).exists() and not table_dir(folder, "trials").parent.exists()


def write(file: Path, content: dict[str, Any]) -> None:
    """Write `plan.json` atomically."""
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)


def resumed(design: Design, file: Path, given: Settings) -> Plan:
    """The plan of an earlier start.

    Raises:
        Faults: no readable plan, another design, or options that differ from it.
    """
    content = _read(file)
    if content["design_sha256"] != design.sha256:
        raise Faults([f"{file} belongs to another design ({content['design']}), or {design.name} has changed since."])
    what = content["what"]
    kept = Plan.of(design, what)
    differing = []
    for name, value in given.items():
        asked = Plan.of(design, {**what, name: value})
        if asked != replace(kept, what=asked.what):
            differing.append(f"`{name}` is {kept.setting(name)} there, {value} here")
    if differing:
        raise Faults([f"A resumed sweep keeps its plan, but {', '.join(differing)}. Leave these flags out."])
    return kept


def extended(design: Design, plan: Plan, stage: str, more: int) -> Plan:
    """The plan of an earlier start with `more` search trials, or blocks of the confirmation.

    Raises:
        Faults: the sweep does not have this stage.
    """
    if stage not in plan.stages:
        has = [other for other in EXTENDABLE if other in plan.stages]
        others = " or ".join(f"`--extend {other}=N`" for other in has)
        raise Faults([f"This sweep has no {stage} to extend ({', '.join(plan.stages)}); it could have {others}."])
    name = {"search": "samples", "confirm": "blocks"}[stage]
    return Plan.of(design, {**plan.what, name: int(getattr(plan, name)) + more})


def amend(plan: Plan, folder: Path) -> None:
    """Put an extended plan in the place of the one it extends; a frozen one keeps its settings and its old hash.

    Raises:
        Faults: the frozen plan was changed by hand.
    """
    file = folder / NAME
    there = _read(file)
    if frozen.KEY not in there:
        write(file, content_of(plan, folder.name))
        return
    fault = frozen.fault_of(there)
    if fault is not None:
        raise Faults([f"{file}: {fault}"])
    before = {frozen.KEY: there[frozen.KEY], "samples": there["samples"], "blocks": there["blocks"]}
    content = {
        **content_of(plan, folder.name, there["nuisance"]),
        "tuned": there["tuned"],
        frozen.EXTENDED: [*there.get(frozen.EXTENDED, []), before],
    }
    write(file, {**content, frozen.KEY: frozen.sha256_of(content)})


def _read(file: Path) -> dict[str, Any]:
    """Contents of a `plan.json`.

    Raises:
        Faults: it cannot be read, or is no plan.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Faults([f"`--resume` needs {file}, which cannot be read: {error}"]) from error
    kinds = {"design": str, "design_sha256": str, "what": dict}
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in kinds.items()):
        raise Faults([f"`--resume` needs {file}, but it is not the plan of a sweep."])
    return content
