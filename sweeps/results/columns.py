"""What each measured column is called and which way is better; types, units and descriptions are the schema's."""

from dataclasses import dataclass
from typing import Final, Literal

from embedding_core.config.train_config import MEASURES
from sweeps.results.schema import TABLES


@dataclass(frozen=True, slots=True)
class Column:
    """A measured column of a table."""

    table: str
    """The first of `TABLES` that has it; in others the same name is the same measure."""

    name: str
    label: str
    """In sentences, in tables and at axes."""

    better: Literal["higher", "lower"] | None = None
    """None: neither is."""

    short: str = ""
    """Above a column of numbers about held-out images; empty: the label."""

    validation: str = ""
    """Column of `curves` with the same measure on the validation split; empty: not taken while training."""

    tuned_by: str = ""
    """Column of `curves` that settings are chosen by where this is the outcome, if that is not `validation`: the
    nearest measure of the validation split, though of seen classes or by another classifier."""

    note: str = ""
    """What has to be known to read it."""

    @property
    def header(self) -> str:
        """The label, or the short one."""
        return self.short or self.label

    @property
    def unit(self) -> str:
        """As in the schema: `AUC`, `s`, `1` for what has none."""
        return bytes(TABLES[self.table].field(self.name).metadata[b"unit"]).decode()


_SVM_NOTE: Final = (
    "Fitted: to the embeddings of all training images; an SVM of more than 64 numbers, as of raw pixels, by gradient "
    "descent that stops a little short of the optimum"
)

_VAL_KNN: Final = "leave-one-out kNN accuracy, validation"

MEASURED: Final = {
    column.name: column
    for column in (
        Column("trials", "final_val_auc", "validation AUC", "higher", validation="val_auc"),
        Column("trials", "final_val_recall_at_1", "validation recall at 1", "higher", validation="val_recall_at_1"),
        Column("trials", "final_val_map_at_r", "validation MAP@R", "higher", validation="val_map_at_r"),
        Column("trials", "final_val_knn_accuracy", _VAL_KNN, "higher", validation="val_knn_accuracy"),
        Column("trials", "best_val_auc", "best validation AUC", "higher", validation="val_auc"),
        Column("trials", "test_auc", "test AUC", "higher", validation="val_auc"),
        Column("trials", "test_recall_at_1", "test recall at 1", "higher", "R@1", "val_recall_at_1"),
        *(
            Column(
                "trials", f"test_recall_at_{k}", f"test recall at {k}", "higher", f"R@{k}", tuned_by="val_recall_at_1"
            )
            for k in (2, 4, 8)
        ),
        Column("trials", "test_map_at_r", "test MAP@R", "higher", "MAP@R", "val_map_at_r"),
        Column(
            "trials",
            "test_knn_accuracy",
            "leave-one-out kNN accuracy, test",
            "higher",
            "leave-one-out kNN",
            "val_knn_accuracy",
            note="Leave-one-out kNN: by the nearest other images of the split",
        ),
        Column(
            "trials",
            "test_accuracy",
            "test accuracy",
            "higher",
            "classified right",
            "val_accuracy",
            note="Classified right: by the trained head",
        ),
        Column(
            "trials",
            "test_fitted_svm_accuracy",
            "test accuracy of a fitted SVM",
            "higher",
            "fitted SVM",
            note=_SVM_NOTE,
        ),
        Column(
            "trials",
            "test_fitted_knn_accuracy",
            "test accuracy of a fitted kNN",
            "higher",
            "fitted kNN",
            tuned_by="val_knn_accuracy",
        ),
        Column("trials", "unseen_auc", "AUC on unseen classes", "higher", "unseen: AUC", tuned_by="val_auc"),
        Column(
            "trials",
            "unseen_recall_at_1",
            "recall at 1 on unseen classes",
            "higher",
            "unseen: R@1",
            tuned_by="val_recall_at_1",
        ),
        Column(
            "trials", "unseen_map_at_r", "MAP@R on unseen classes", "higher", "unseen: MAP@R", tuned_by="val_map_at_r"
        ),
        Column(
            "trials",
            "unseen_knn_accuracy",
            "leave-one-out kNN accuracy on unseen classes",
            "higher",
            tuned_by="val_knn_accuracy",
        ),
        Column("trials", "wall_s", "time", "lower"),
        Column("trials", "gpu_s", "GPU time", "lower"),
        Column("trials", "images_seen", "images forwarded", "lower", "images"),
        Column("curves", "val_auc", "validation AUC", "higher"),
        Column("curves", "val_recall_at_1", "validation recall at 1", "higher"),
        Column("curves", "val_map_at_r", "validation MAP@R", "higher"),
        Column("curves", "val_knn_accuracy", _VAL_KNN, "higher"),
        Column("curves", "val_triplet_auc", "AUC on validation triplets", "higher"),
        Column("curves", "val_accuracy", "validation accuracy", "higher"),
        Column("curves", "val_effective_rank", "effective rank"),
        Column("curves", "val_uniformity", "uniformity (lower: more uniform)"),
        Column("curves", "val_nn_distance", "nearest-neighbour distance"),
        Column("curves", "val_sim_mean", "mean cosine similarity"),
        Column("curves", "koleo_nn_same_class_frac", "same-class share of KoLeo's neighbours"),
        Column("curves", "nn_agreement", "neighbours in the same micro-batch", "higher"),
        Column("curves", "micro_full_grad_cos", "cosine of naive and full-batch gradient", "higher"),
    )
}
"""By name."""

WHILE_TRAINING: Final = {name: column.validation for name, column in MEASURED.items() if column.validation}
"""Outcome -> column of `curves` with the same measure on the validation split."""

TUNED_BY: Final = {
    name: measure for name, column in MEASURED.items() if (measure := column.tuned_by or column.validation) in MEASURES
}
"""Outcome -> the one of `MEASURES` that settings are chosen by for its sake."""


def named(column: str) -> str:
    """The column in words: its label, or its name with spaces where it is none of `MEASURED`."""
    return MEASURED[column].label if column in MEASURED else column.replace("_", " ")


def is_auc(name: str) -> bool:
    """Whether chance is .5, so that a run that failed has a value all the same."""
    return name.endswith("auc")
