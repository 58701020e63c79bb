"""Contrasts on one axis: what a forest plot shows."""

from typing import NamedTuple

from sweeps.analysis.stats.effects import Effect
from sweeps.analysis.stats.findings import Finding


class ForestItem(NamedTuple):
    """One line of a forest plot."""

    label: str
    effect: Effect
    family: str
    """One of `plan.FAMILIES`."""

    outcome: str
    """Column of `trials` in whose units the effect is."""


def forest_items(found: list[Finding]) -> list[ForestItem]:
    """Estimated contrasts in the order of the findings: primaries first."""
    return [
        ForestItem(name_of(finding), finding.result[0], finding.contrast.family, finding.contrast.outcome)
        for finding in found
        if finding.result is not None
    ]


def forests(found: list[Finding]) -> dict[str, list[ForestItem]]:
    """Outcome -> its contrasts, which share an axis; none of a single contrast, which needs none."""
    items = forest_items(found)
    by_outcome = {item.outcome: [one for one in items if one.outcome == item.outcome] for item in items}
    return {outcome: own for outcome, own in by_outcome.items() if len(own) > 1}


def name_of(finding: Finding) -> str:
    """Short name of a contrast in tables and figures: code and estimand, or its cells where the plan has no code."""
    contrast = finding.contrast
    return f"{contrast.code} {contrast.estimand}" if contrast.code else f"{contrast.treatment} − {contrast.control}"
