"""The table `contrasts`: every number of the findings, one row per contrast, scale, measure and mark."""

import json
from dataclasses import asdict
from typing import Any

from sweeps.analysis.stats.effects import Interval
from sweeps.analysis.stats.findings import Finding
from sweeps.results.columns import WHILE_TRAINING


def contrast_rows(found: list[Finding]) -> list[dict[str, Any]]:
    """Rows of the table `contrasts`, in the order of the findings; refused contrasts have none."""
    return [row for finding in found if finding.result is not None for row in _rows_of(finding)]


def _rows_of(finding: Finding) -> list[dict[str, Any]]:
    names, looks = _names(finding), finding.robustness
    rows = [_main(finding)]
    if looks is not None and looks.logit is not None:
        rows.append({**names, "metric": finding.contrast.outcome, "scale": "logit", **asdict(looks.logit)})
    rows += [
        {
            **names,
            "metric": WHILE_TRAINING[finding.contrast.outcome],
            "scale": "raw",
            "epoch": mark.epoch,
            **asdict(mark.effect),
        }
        for mark in finding.by_epoch
    ]
    rows += [
        {**names, "metric": effect.metric, "scale": "raw", **asdict(effect.effect)}
        for effect in finding.mechanism
        if effect.effect is not None
    ]
    # All but the planned outcome is exploratory, whatever the contrast's own family.
    return rows[:1] + [row | {"family": "exploratory"} for row in rows[1:]]


def _main(finding: Finding) -> dict[str, Any]:
    assert finding.result is not None
    effect, looks = finding.result[0], finding.robustness
    row = _names(finding) | {"metric": finding.contrast.outcome, "scale": "raw"} | asdict(effect)
    row |= {"p_holm": finding.p_holm, "sentence": finding.verdict}
    if looks is not None:
        row |= _ends("bca", looks.bca) | _ends("crossed", looks.crossed)
        row |= {"minimum_detectable": looks.minimum_detectable}
    return row


def _names(finding: Finding) -> dict[str, Any]:
    contrast = finding.contrast
    return {
        "code": contrast.code or None,
        "family": contrast.family,
        "estimand": contrast.estimand,
        "control": contrast.control,
        "treatment": contrast.treatment,
        "weights": json.dumps(dict(contrast.weights), sort_keys=True),
    }


def _ends(name: str, interval: Interval | None) -> dict[str, Any]:
    return {} if interval is None else {f"{name}_low": interval.ci_low, f"{name}_high": interval.ci_high}
