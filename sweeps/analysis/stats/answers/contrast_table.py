"""The table `contrasts`: every number of the findings, one row per contrast, measure and mark."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.analysis.stats.answers.findings import Finding, findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import Comparison, comparisons
from sweeps.analysis.stats.intervals.effects import Effect, Interval
from sweeps.analysis.stats.reading.plan_reader import read_plan
from sweeps.results import store
from sweeps.results.columns import WHILE_TRAINING
from sweeps.results.rows import cast

if TYPE_CHECKING:
    import pandas as pd

PARTS = {
    "koleo": "KoLeo, off to on, at K={low}",
    "accumulation": "accumulation (K={high} against {low}) with KoLeo",
    "difference": "KoLeo less accumulation",
    "taken_back": "KoLeo at K={high} less KoLeo at K={low}",
}
"""Field of `Comparison` -> its label."""


def effects(results_dir: Path | str) -> "pd.DataFrame":
    """What a sweep supports, as a frame with the columns of the table `contrasts`: one row per contrast.

    Contrasts that were refused have none; marks of the curves and measures of the embeddings are left to the table.

    Raises:
        Faults: no sweep there, or a plan that cannot be read.
    """
    folder = Path(results_dir)
    trials, curves, groups = (store.read(folder, name) for name in ("trials", "curves", "eval_groups"))
    plan = read_plan(folder, trials)
    rows = [_main(one) for one in findings(trials, curves, plan, groups) if one.estimated is not None]
    return cast("contrasts", [*rows, *_compared(comparisons(trials, plan))]).to_pandas()


def contrast_rows(found: Sequence[Finding], compared: Sequence[Comparison] = ()) -> list[dict[str, Any]]:
    """Rows of the table `contrasts`, in the order of the findings; contrasts without an estimate have none."""
    rows = [row for finding in found if finding.estimated is not None for row in _rows_of(finding)]
    return [*rows, *_compared(compared)]


def _rows_of(finding: Finding) -> list[dict[str, Any]]:
    # All but the planned outcome is exploratory, whatever the contrast's own family.
    names = _names(finding) | {"family": "exploratory", "scale": "raw"}
    metric = WHILE_TRAINING.get(finding.contrast.outcome)
    marks = [{"metric": metric, "epoch": mark.epoch, **_numbers(mark.effect)} for mark in finding.by_epoch]
    measures = [{"metric": m.metric, **_numbers(m.effect)} for m in finding.mechanism if m.effect is not None]
    return [_main(finding), *(names | row for row in (*marks, *measures))]


def _main(finding: Finding) -> dict[str, Any]:
    found, runs = finding.estimated, finding.runs
    assert found is not None
    assert runs is not None
    row = _names(finding) | {"metric": finding.contrast.outcome, "scale": "raw"} | _numbers(found)
    row |= {"unit": "replicate" if len(runs.places) > 1 else "block", "blocks": len(runs.places[0])}
    row |= {"sentence": finding.sentence or None}
    if finding.superiority is not None:
        share = finding.superiority
        row |= {"share_above_zero": share.estimate, **_ends("share_above_zero", share)}
    if finding.over_classes is not None:
        row |= _ends("crossed", finding.over_classes)
    if finding.detectable is not None:
        row |= _ends("detectable", finding.detectable)
    return row


def _numbers(found: Effect | Interval) -> dict[str, Any]:
    values = asdict(found)
    if isinstance(found, Effect):
        values["family_size"] = values.pop("family")
        for name in ("inner_low", "inner_high", "unit", "blocks"):
            del values[name]
    return values


def _unjudged(found: Effect | Interval) -> dict[str, Any]:
    """What stands in the row of a primary, but for p and the verdict."""
    left_out = ("p_value", "verdict", "equivalent", "tau_squared")
    return {name: value for name, value in _numbers(found).items() if name not in left_out}


def _names(finding: Finding) -> dict[str, Any]:
    contrast = finding.contrast
    return {
        "code": contrast.code or None,
        "family": contrast.family,
        "estimand": contrast.estimand,
        "label": finding.name,
        "control": contrast.control,
        "treatment": contrast.treatment,
        "weights": json.dumps(dict(contrast.weights), sort_keys=True),
    }


def _compared(compared: Iterable[Comparison]) -> list[dict[str, Any]]:
    """KoLeo against accumulation: its parts, and the share that is taken back."""
    rows = []
    for one in compared:
        shared = {"family": "exploratory", "metric": one.outcome, "scale": "raw"}
        for part, label in PARTS.items():
            named = {
                "estimand": f"koleo against accumulation: {part}",
                "label": label.format(low=one.low, high=one.high),
            }
            if not one.bare:
                rows.append(shared | named | _sides(one.weights[part]) | _unjudged(getattr(one, part)))
        if one.share is not None:
            named = {"estimand": "koleo against accumulation: share taken back", "label": "share taken back"}
            rows.append(shared | named | {"scale": "share"} | _sides(one.weights["taken_back"]) | _numbers(one.share))
    return rows


def _sides(weights: Mapping[str, float]) -> dict[str, Any]:
    control, treatment = (" + ".join(c for c, w in sorted(weights.items()) if sign * w > 0) for sign in (-1, 1))
    return {"control": control, "treatment": treatment, "weights": json.dumps(dict(weights), sort_keys=True)}


def _ends(name: str, interval: Interval) -> dict[str, Any]:
    return {f"{name}_low": interval.ci_low, f"{name}_high": interval.ci_high}
