"""What a contrast may be about: the outcome in a sentence, and what holds for an AUC alone. Pure."""

from typing import Final

from sweeps.analysis.stats.stored_plan import Contrast
from sweeps.results.columns import named

DEFAULT_LABEL: Final = "AUC"
"""`outcome_label` of a contrast whose plan gives none."""

SPLITS: Final = {"test_auc": "test", "unseen_auc": "unseen"}
"""Outcomes whose parts by class are stored, and of which split."""


def is_auc(outcome: str) -> bool:
    """Whether chance is .5, so that a run that failed has an outcome all the same."""
    return outcome.endswith("auc")


def label_of(contrast: Contrast) -> str:
    """The outcome in a sentence: the plan's word for it, but never `AUC` for what is none."""
    label, outcome = contrast.outcome_label, contrast.outcome
    return named(outcome) if label == DEFAULT_LABEL and outcome != "test_auc" else label
