"""What a finished run says about images it never trained on: the test split, and the unseen classes."""

import math
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from embedding_core import evaluate, retrieval, views
from embedding_core.config import TrainConfig
from embedding_core.data import ImageSet
from embedding_core.device_data import DeviceData
from embedding_core.models import EmbeddingNetwork
from embedding_core.monitor import Row, embed
from embedding_core.splits import Split

KNN = 20
"""Neighbours that vote."""

PROJECTIONS = {"pca": ("pca",), "all": ("pca", "umap", "tsne")}
"""By `TrainConfig.views`."""


class HeldOut(NamedTuple):
    """Results of one run on held-out images."""

    row: Row
    """`test_*` and `unseen_*` columns."""
    tables: dict[str, list[dict[str, Any]]]
    """Longer results by table of the store, without the ids of the trial."""


def held_out_images(data: DeviceData, split: Split) -> dict[str, ImageSet]:
    """The images that a finished run is evaluated on, by split; called before a run too, lest it fail at its end.

    Raises:
        Faults: see `DeviceData.test` and `DeviceData.unseen`.
    """
    parts = {"test": data.test(split)}
    return parts | {"unseen": data.unseen(split)} if len(split.unseen) else parts


def held_out(network: EmbeddingNetwork, parts: dict[str, ImageSet], config: TrainConfig) -> HeldOut:
    """Evaluate on each part of `held_out_images`; `probes` and `views` say how much is stored."""
    row: Row = {"test_sha256": parts["test"].sha256}
    tables: dict[str, list[dict[str, Any]]] = {"evaluations": [], "eval_groups": []}
    for name, images in parts.items():
        z = embed(network, images.images.to(network.mean.device)).cpu()
        pairs = evaluate.verification(z, images.labels)
        evaluations = [*_metrics(z, images, pairs), *(_probes(z, images, config) if config.probes else [])]
        tables["evaluations"] += [{"checkpoint": "final", "split": name, **e} for e in evaluations]
        tables["eval_groups"] += [{"split": name, **part} for part in _class_aucs(pairs, images)]
        row |= {f"{name}_{_column(e)}": e["value"] for e in evaluations if not e["metric"].startswith("probe")}
        if config.views != "none":
            found = views.compute(z, images, split=name, seed=config.seed, projections=PROJECTIONS[config.views])
            for table, rows in found._asdict().items():
                tables.setdefault(table, []).extend(rows)
    return HeldOut(row, tables)


def _column(evaluation: dict[str, Any]) -> str:
    k = evaluation.get("k")
    return str(evaluation["metric"]) if k is None else f"{evaluation['metric']}_at_{k}"


def _metrics(z: Float[Tensor, "n d"], images: ImageSet, pairs: evaluate.Verification) -> list[dict[str, Any]]:
    """Verification, retrieval and leave-one-out classification; `n_pairs` counts pairs of images, or queries."""
    labels = images.labels
    found: list[dict[str, Any]] = [
        {"metric": "auc", "value": pairs.auc, "n_pairs": pairs.n_positive + pairs.n_negative},
        {"metric": "positive_pairs", "value": float(pairs.n_positive)},
        {"metric": "negative_pairs", "value": float(pairs.n_negative)},
    ]
    k = min(KNN, len(z) - 1)
    queries = {
        ("recall", 1): retrieval.hits(z, labels, k=1).mean(),
        ("map_at_r", None): retrieval.average_precisions(z, labels).mean(),
        ("knn_accuracy", k): retrieval.knn_accuracy(z, labels, z, labels, k=k, exclude_self=True),
    }
    for (metric, at), mean in queries.items():
        found.append({"metric": metric, "k": at, "value": mean.value, "se": mean.se, "n_pairs": mean.n_queries})
    return found


def _class_aucs(pairs: evaluate.Verification, images: ImageSet) -> Iterator[dict[str, Any]]:
    """What each class adds to the AUC, for a bootstrap over classes."""
    for part in pairs.classes:
        of = {"class_id": part.label, "class_name": images.name_of(part.label)}
        yield {"metric": "auc", **of, "value": part.auc, "n": part.size}


def _probes(z: Float[Tensor, "n d"], images: ImageSet, config: TrainConfig) -> list[dict[str, Any]]:
    """Balanced accuracy of frozen embeddings by label budget (`k`); budgets beyond the images are left out."""
    from embedding_core.probes import BUDGETS, TEST_SHARE, probe_curve  # scikit-learn's import takes a second or two

    available = len(z) - round(TEST_SHARE * len(z))
    budgets = [budget for budget in BUDGETS if budget <= available]
    points = probe_curve(z, images.labels, budgets=budgets, repeats=config.probes, seed=config.seed)
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
