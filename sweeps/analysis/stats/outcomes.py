"""What a contrast may be about: names of the columns of `trials`, and what holds for an AUC alone. Pure."""

from typing import Final

from sweeps.analysis.stats.plan import Contrast

DEFAULT_LABEL: Final = "AUC"
"""`outcome_label` of a contrast whose plan gives none."""

NAMES: Final = {
    "test_auc": "test AUC",
    "val_auc": "validation AUC",
    "final_val_auc": "validation AUC",
    "best_val_auc": "best validation AUC",
    "unseen_auc": "AUC on unseen classes",
    "test_recall_at_1": "test recall at 1",
    "unseen_recall_at_1": "recall at 1 on unseen classes",
    "val_recall_at_1": "validation recall at 1",
    "test_map_at_r": "test MAP@R",
    "unseen_map_at_r": "MAP@R on unseen classes",
    "test_knn_accuracy": "leave-one-out kNN accuracy, test",
    "unseen_knn_accuracy": "leave-one-out kNN accuracy on unseen classes",
    "test_accuracy": "test accuracy",
    "val_accuracy": "validation accuracy",
    "test_fitted_svm_accuracy": "test accuracy of a fitted SVM",
    "test_fitted_knn_accuracy": "test accuracy of a fitted kNN",
}

CURVES: Final = {
    "test_auc": "val_auc",
    "final_val_auc": "val_auc",
    "best_val_auc": "val_auc",
    "test_recall_at_1": "val_recall_at_1",
    "test_accuracy": "val_accuracy",
}
"""Outcome -> the same measure on the validation split, a column of `curves`; others are not taken while training."""

SPLITS: Final = {"test_auc": "test", "unseen_auc": "unseen"}
"""Outcomes whose parts by class are stored, and of which split."""


def is_auc(outcome: str) -> bool:
    """Whether chance is .5, so that a run that failed has an outcome all the same."""
    return outcome.endswith("auc")


def named(outcome: str) -> str:
    """The column in words; one that is not known with spaces."""
    return NAMES.get(outcome, outcome.replace("_", " "))


def label_of(contrast: Contrast) -> str:
    """The outcome in a sentence: the plan's word for it, but never `AUC` for what is none."""
    label, outcome = contrast.outcome_label, contrast.outcome
    return named(outcome) if label == DEFAULT_LABEL and outcome != "test_auc" else label
