"""What is measured on a set of embeddings, as rows of the tables `evaluations` and `eval_groups`, split left out."""

import math
import statistics
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from embedding_core.data.class_groups import by_class
from embedding_core.data.image_sets import ImageSet
from embedding_core.evaluation.classifiers import FITTED_KNN_NEIGHBOURS, fitted_knn, fitted_svm, share_right
from embedding_core.metrics.cosine_matrix import retrieval_with_recalls
from embedding_core.metrics.retrieval import QueryMean
from embedding_core.metrics.verification import Verification
from embedding_core.storage.result_tables import Row

LEAVE_ONE_OUT_NEIGHBOURS = 20
"""Votes of the kNN among the images themselves."""


def mean_row(metric: str, mean: QueryMean, *, k: int | None = None) -> Row:
    """A mean over images; `n_pairs` counts them."""
    return {"metric": metric, "k": k, "value": mean.value, "se": mean.se, "n_pairs": mean.n_queries}


def ranking(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], pairs: Verification, *, recalls: tuple[int, ...] = ()
) -> list[Row]:
    """Verification, retrieval, leave-one-out classification; `n_pairs` counts pairs of images, or queries.

    Args:
        z: embeddings.
        labels: class per row.
        pairs: their `verification_by_class`.
        recalls: neighbours besides one that recall looks at, each 2 to n - 1.
    """
    k = min(LEAVE_ONE_OUT_NEIGHBOURS, len(z) - 1)
    found, more = retrieval_with_recalls(z, labels, k=k, at=recalls)
    return [
        {"metric": "auc", "value": pairs.auc, "n_pairs": pairs.n_positive + pairs.n_negative},
        mean_row("recall", found.recall_at_1, k=1),
        *(mean_row("recall", mean, k=at) for at, mean in more.items()),
        mean_row("map_at_r", found.map_at_r),
        mean_row("knn_accuracy", found.knn_accuracy, k=k),
    ]


def metrics(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], pairs: Verification, *, recalls: tuple[int, ...] = ()
) -> list[Row]:
    """`ranking` and the numbers of pairs."""
    return [
        *ranking(z, labels, pairs, recalls=recalls),
        {"metric": "positive_pairs", "value": float(pairs.n_positive)},
        {"metric": "negative_pairs", "value": float(pairs.n_negative)},
    ]


def of_pixels(rows: list[Row]) -> list[Row]:
    """The same of raw pixels."""
    return [{**row, "metric": f"pixels_{row['metric']}"} for row in rows]


def classified(
    train_z: Float[Tensor, "n d"], train_labels: Int[Tensor, " n"], z: Float[Tensor, "t d"], labels: Int[Tensor, " t"]
) -> list[Row]:
    """Accuracy of classifiers that are fitted to `train_z`."""
    svm = fitted_svm(train_z, train_labels, z, labels)
    knn = fitted_knn(train_z, train_labels, z, labels)
    return [
        mean_row("fitted_svm_accuracy", svm),
        mean_row("fitted_knn_accuracy", knn, k=FITTED_KNN_NEIGHBOURS),
    ]


def class_aucs(pairs: Verification, images: ImageSet) -> Iterator[Row]:
    """What each class adds to the AUC, for a bootstrap over classes."""
    for part in pairs.classes:
        of = {"class_id": part.label, "class_name": images.name_of(part.label)}
        yield {"metric": "auc", **of, "value": part.auc, "n": part.size}


def class_accuracies(right: Bool[Tensor, " n"], images: ImageSet) -> Iterator[Row]:
    """Share of each class's images that are classified right."""
    groups = by_class(images.labels, torch.arange(len(right)))
    for label, own in zip(groups.labels.tolist(), groups.each(), strict=True):
        mean = share_right(right[own])
        of = {"class_id": label, "class_name": images.name_of(label)}
        yield {"metric": "accuracy", **of, "value": mean.value, "se": mean.se, "n": mean.n_queries}


def probes(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, repeats: int, seed: int) -> list[Row]:
    """Balanced accuracy of frozen embeddings by label budget (`k`); budgets beyond the images are left out."""
    from embedding_core.evaluation.probes import (  # scikit-learn's import takes a second or two
        BUDGETS,
        PROBE_TEST_SHARE,
        probe_curve,
    )

    available = len(z) - round(PROBE_TEST_SHARE * len(z))
    budgets = [budget for budget in BUDGETS if budget <= available]
    points = probe_curve(z, labels, budgets=budgets, repeats=repeats, seed=seed)
    return [
        {
            "metric": f"probe_{point.kind}",
            "k": point.budget,
            "value": point.mean,
            "se": statistics.stdev(point.scores) / math.sqrt(len(point.scores)),
            "n_pairs": len(point.scores),
        }
        for point in points
    ]
