"""The contrasts a sweep set out to estimate, read from its `plan.json`."""

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from embedding_core.faults import Faults
from sweeps.analysis.estimates import SESOI


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One planned comparison of two cells."""

    control: str
    """cell_id."""

    treatment: str
    """cell_id."""

    treatment_label: str
    """The treatment in a sentence: `KoLeo (weight .1)`."""

    estimand: str = "koleo"
    """Short name of what is estimated."""

    outcome: str = "test_auc"
    """Column of the trials table."""

    sesoi: float = SESOI
    """Smallest effect size of interest, > 0."""

    question: str = ""
    """What the sweep asks, for the head of the report."""

    study_id: str = ""
    """Name of the sweep."""

    @classmethod
    def from_plan(cls, values: dict[str, Any]) -> Self:
        """Build from one entry of `contrasts`; keys this analysis does not know are left to later readers.

        Raises:
            Faults: a missing name, or a value of the wrong type or sign.
        """
        missing = [name for name in ("control", "treatment") if not isinstance(values.get(name), str)]
        if missing:
            raise Faults([f"A contrast of the plan needs `{name}`, a cell_id; got {values}." for name in missing])
        known = {field.name for field in fields(cls)}
        contrast = cls(**{"treatment_label": values["treatment"]} | {k: v for k, v in values.items() if k in known})
        texts = [name for name in known - {"sesoi"} if not isinstance(getattr(contrast, name), str)]
        if texts:
            raise Faults([f"`{name}` of a planned contrast must be text; got {values[name]!r}." for name in texts])
        if not (isinstance(contrast.sesoi, int | float) and 0 < contrast.sesoi < math.inf):
            raise Faults([f"`sesoi` of a planned contrast must be positive and finite; got {contrast.sesoi!r}."])
        return contrast


def read_contrasts(results_dir: Path, trials: pa.Table) -> list[Contrast]:
    """Planned contrasts; without `plan.json`, KoLeo on against off if `confirm` has both cells.

    Raises:
        Faults: a plan that cannot be read.
    """
    path = results_dir / "plan.json"
    if not path.is_file():
        cells = {row["cell_id"] for row in trials.to_pylist() if row["stage"] == "confirm"}
        default = Contrast(control="koleo=off", treatment="koleo=on", treatment_label="KoLeo")
        return [default] if {default.control, default.treatment} <= cells else []
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Faults([f"{path} is not readable as JSON: {error}."]) from None
    if not isinstance(plan, dict):
        raise Faults([f"{path} must hold an object, but holds {type(plan).__name__}."])
    entries = plan.get("contrasts", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Faults([f"`contrasts` in {path} must be a list of objects, but got {entries!r}."])
    common = {name: plan[name] for name in ("study_id", "question") if name in plan}
    return [Contrast.from_plan(common | entry) for entry in entries]
