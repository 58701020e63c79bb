"""Contrasts on one axis: what a forest plot shows."""

from typing import NamedTuple

from sweeps.analysis.estimates import Effect
from sweeps.analysis.findings import Finding


class ForestItem(NamedTuple):
    """One line of a forest plot."""

    label: str
    effect: Effect
    family: str
    """One of `plan.FAMILIES`."""


def forest_items(found: list[Finding]) -> list[ForestItem]:
    """Estimated contrasts in units of AUC, in the order of the findings: primaries first."""
    return [
        ForestItem(name_of(finding), finding.result[0], finding.contrast.family)
        for finding in found
        if finding.result is not None and finding.contrast.outcome.endswith("auc")
    ]


def name_of(finding: Finding) -> str:
    """Short name of a contrast in tables and figures: code and estimand, or its cells where the plan has no code."""
    contrast = finding.contrast
    return f"{contrast.code} {contrast.estimand}" if contrast.code else f"{contrast.treatment} − {contrast.control}"
