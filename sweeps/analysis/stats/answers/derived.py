"""Contrasts that follow from planned ones: the primaries on other outcomes, and at settings all cells share. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from sweeps.analysis.stats.description.descriptive import final_column
from sweeps.analysis.stats.reading.stored_plan import Contrast, Outcome, StoredPlan
from sweeps.results.columns import named


def beside(plan: StoredPlan) -> list[Contrast]:
    """Each primary on each outcome that the sweep was not tuned for, and each exploratory contrast, which stays one.

    None in old plans, which declare no outcome.
    """
    if plan.outcome is None:
        return []
    families = {"primary": "beside", "exploratory": "exploratory"}
    return [
        _on(contrast, other, plan.outcome, families[contrast.family])
        for other in plan.beside
        for contrast in plan.contrasts
        if contrast.family in families
    ]


def at_common_settings(plan: StoredPlan) -> list[Contrast]:
    """Each primary over the points of the tuning, which all cells of a replicate share: nothing was selected.

    None unless every point ran to its end in every cell, as without a tuner that proposes and stops; nor at one tuning,
    whose points share their split.
    """
    if plan.outcome is None or plan.tuner != "sobol" or plan.replicates < 2:
        return []
    column = final_column(plan.outcome.validation)
    label = named(column)
    return [
        replace(
            primary,
            family="common",
            outcome=column,
            outcome_label=primary.outcome_label.replace(plan.outcome.label, label),
        )
        for primary in primaries(plan.contrasts)
    ]


def primaries(contrasts: Iterable[Contrast]) -> list[Contrast]:
    """Those that the sweep is judged by."""
    return [contrast for contrast in contrasts if contrast.family == "primary"]


def codes(contrast: Contrast) -> list[str]:
    """Estimands that the contrast stands for: `E2, E3` -> ["E2", "E3"]."""
    return [code.strip() for code in contrast.code.split(",")]


def _on(contrast: Contrast, other: Outcome, declared: Outcome, family: str) -> Contrast:
    return replace(
        contrast,
        family=family,
        outcome=other.column,
        outcome_label=contrast.outcome_label.replace(declared.label, other.label),
        sesoi=other.sesoi,
    )
