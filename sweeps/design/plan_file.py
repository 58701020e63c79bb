"""`plan.json`: what a sweep set out to do, frozen with its hash before the confirmation."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from embedding_core.errors import Faults
from embedding_core.wording import plural
from sweeps.design import planned_plugins
from sweeps.design.design import Design, Settings
from sweeps.design.plan import Plan
from sweeps.design.selection import Tuned, best_of_search, best_of_tune, nuisance_of
from sweeps.results import frozen, store
from sweeps.results.files import holds_sweep, table_dir
from sweeps.results.frozen import write as write  # part of this module's public names

NAME: Final = frozen.FILE

NEEDED_BY: Final = "`--resume`"
"""What reads the plan of an earlier start."""

EXTENDABLE: Final = ("search", "replicates", "confirm")
"""What can be given more to run: `confirm`, blocks, only where there is one replicate. The points of a tuning are no
such thing: what was chosen from fewer is confirmed."""

SIZE_OF: Final = {"search": "samples", "replicates": "replicates", "confirm": "blocks"}
"""Field of a plan that says how much there is of each."""


def content_of(plan: Plan, study_id: str) -> dict[str, Any]:
    """Contents of `plan.json` before anything is settled."""
    untuned = [{cell.cell_id: dict(cell.drop_in) for cell in plan.cells}] * plan.replicates
    others = [outcome for outcome in plan.design.outcomes if outcome != plan.outcome]
    return {
        **planned_plugins.content(),
        "study_id": study_id,
        "question": plan.design.question,
        "published": plan.design.published,
        "design": plan.design.name,
        "design_sha256": plan.design_sha256,
        "what": dict(plan.what),
        **({frozen.GUESSED: dict(plan.guessed)} if plan.guessed else {}),
        "base": {name: value for name, value in plan.base.items() if name != "data_root"},
        "stages": list(plan.stages),
        "samples": plan.samples,
        "replicates": plan.replicates,
        "points": plan.points,
        "blocks": plan.blocks,
        "seed": plan.seed,
        "confirm": plan.confirm,
        "tuner": plan.tuner,
        "outcome": asdict(plan.outcome),
        "beside": [asdict(outcome) for outcome in others],
        "cells": [
            {
                "cell_id": cell.cell_id,
                "levels": dict(cell.levels),
                "origin": plan.confirm,
                "role": cell.role,
                "blocks": plan.blocks_of(cell),
                "settings_of": cell.settings_of or cell.cell_id,
            }
            for cell in plan.cells
        ],
        "nuisance": untuned if plan.confirm == "drop-in" else None,
        "tuned": None,
        "contrasts": [asdict(contrast) for contrast in plan.contrasts()],
    }


def settle(plan: Plan, folder: Path) -> tuple[list[dict[str, Settings]], str]:
    """Settings by cell id of each replicate and the hash of the frozen plan; what an earlier start settled is kept.

    Raises:
        Faults: a cell in which no trial completed, tuning runs that are to be run again, or a plan that was changed.
    """
    file = folder / NAME
    there = _untouched(file) or content_of(plan, folder.name)
    nuisance, tuned = list(there["nuisance"] or []), list(there["tuned"] or [])
    if len(nuisance) < plan.replicates and plan.confirm == "best of tune":
        for found in _tuned(plan, folder, after=len(nuisance)):
            tuned.append({cell: asdict(best) for cell, best in found.items()})
            nuisance.append({cell: dict(own) for cell, own in nuisance_of(plan.cells, found).items()})
    elif len(nuisance) < plan.replicates and plan.confirm == "best of search":
        rows = store.read(folder, "trials", stage="search").to_pylist()
        found_ = best_of_search(rows, plan.cells, plan.design.factors, measure=plan.outcome.final)
        nuisance = [{cell: dict(own) for cell, own in found_.items()}]
    elif frozen.KEY in there:
        return nuisance, str(there[frozen.KEY])
    content = {**there, "nuisance": nuisance, "tuned": tuned or None}
    return nuisance, _freeze(file, content)


def _tuned(plan: Plan, folder: Path, *, after: int) -> list[dict[str, Tuned]]:
    """The best settings of the replicates after so many."""
    rows = store.read(folder, "trials", stage="tune").to_pylist()
    return [
        best_of_tune(
            [row for row in rows if row["replicate"] == number],
            plan.factorial.distinct,
            plan.nuisances,
            measure=plan.outcome.final,
        )
        for number in range(after + 1, plan.replicates + 1)
    ]


def _freeze(file: Path, content: dict[str, Any]) -> str:
    """Write a plan for good, and return its hash."""
    fixed = frozen.with_hash(content)
    write(file, fixed)
    return str(fixed[frozen.KEY])


def _untouched(file: Path) -> dict[str, Any] | None:
    """A plan as it stands; None without a file.

    Raises:
        Faults: it was frozen and changed since, or cannot be read.
    """
    if not file.exists():
        return None
    there = frozen.read(file, needed_by=NEEDED_BY)
    fault = frozen.fault_of(there)
    if fault is not None:
        raise Faults([f"{file}: {fault} A confirmation keeps the plan it began with: restore the file."])
    return there


def missing(folder: Path) -> bool:
    """Whether a sweep was created there and its driver killed before it had a plan."""
    return holds_sweep(folder) and not (folder / NAME).exists() and not table_dir(folder, "trials").parent.exists()


def resumed(design: Design, file: Path, given: Settings) -> Plan:
    """The plan of an earlier start.

    Raises:
        Faults: no readable plan, a merge, another design, other plug-ins, or options that differ from it.
    """
    content = frozen.read(file, needed_by=NEEDED_BY)
    if frozen.MERGED in content:
        names = ", ".join(content[frozen.MERGED])
        text = f"{file.parent} is a merge of {names}, and no driver goes on with it: `--resume` and `--extend` are for"
        raise Faults([f"{text} those. More replicates: a sweep with a `--seed` of its own, merged with them."])
    if content["design_sha256"] != design.sha256:
        raise Faults([f"{file} belongs to another design ({content['design']}), or {design.name} has changed since."])
    planned_plugins.check(content, file)
    what = content["what"]
    kept = Plan.of(design, what)
    differing = []
    for name, value in given.items():
        asked = Plan.of(design, {**what, name: value})
        if asked != replace(kept, what=asked.what):
            differing.append(f"`{name}` is {kept.setting(name)} there, {value} here")
    if differing:
        raise Faults([f"A resumed sweep keeps its plan, but {', '.join(differing)}. Leave these flags out."])
    return replace(kept, guessed=content.get(frozen.GUESSED, {}))


def extended(design: Design, plan: Plan, what: str, more: int) -> Plan:
    """The plan of an earlier start with `more` search trials, replicates, or blocks of its only replicate.

    Raises:
        Faults: the sweep has nothing of the kind to extend.
    """
    can = [name for name in EXTENDABLE if _extends(plan, name)]
    if what not in can:
        others = " or ".join(f"`--extend {other}=N`" for other in can)
        there = f"{', '.join(plan.stages)}; {plural(plan.replicates, 'replicate')}"
        raise Faults([f"This sweep has no {what} to extend ({there}); it could have {others}."])
    name = SIZE_OF[what]
    longer = Plan.of(design, {**plan.what, name: int(getattr(plan, name)) + more})
    return replace(longer, guessed=plan.guessed)


def _extends(plan: Plan, what: str) -> bool:
    """A search is one tuning, whatever confirms it; and blocks can be appended where no other replicate follows."""
    if what == "search":
        return "search" in plan.stages
    if "confirm" not in plan.stages:
        return False
    return plan.replicates == 1 if what == "confirm" else plan.confirm != "best of search"


def amend(plan: Plan, folder: Path, pin: Mapping[str, Any] | None = None) -> None:
    """Put an extended plan in the place of the one it extends; a frozen one keeps its settings and its old hash.

    Args:
        plan: the longer one.
        folder: of the sweep.
        pin: see `data_pin.pin_of`, for a plan that pins nothing yet; None: it goes on without.

    Raises:
        Faults: the frozen plan was changed by hand.
    """
    file = folder / NAME
    there = _untouched(file) or {}
    pinned = there.get(frozen.DATA) or pin
    content = content_of(plan, folder.name) | ({frozen.DATA: dict(pinned)} if pinned else {})
    if frozen.KEY not in there:
        write(file, content)
        return
    before = {frozen.KEY: there[frozen.KEY], **{name: there[name] for name in SIZE_OF.values()}}
    if plan.confirm != "drop-in":
        content |= {"nuisance": there["nuisance"], "tuned": there["tuned"]}
    _freeze(file, {**content, frozen.EXTENDED: [*there.get(frozen.EXTENDED, []), before]})
