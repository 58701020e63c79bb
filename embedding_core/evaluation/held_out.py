"""What a finished run says about images it never trained on: the test split, and the unseen classes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from embedding_core.data.image_sets import ImageSet
from embedding_core.data.image_subset import ImageSubset
from embedding_core.evaluation import pixels, rows
from embedding_core.evaluation.classifiers import share_right
from embedding_core.evaluation.embedding import EVALUATION_BATCH, embed
from embedding_core.evaluation.held_out_sets import HeldOutImages
from embedding_core.losses.modules import Classifier
from embedding_core.losses.objective import Objective
from embedding_core.metrics import retrieval
from embedding_core.metrics.verification import verification_by_class
from embedding_core.models.inputs import Inputs
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.seeding import generator
from embedding_core.storage.result_tables import Row
from embedding_core.transforms.colour import has_colour
from embedding_core.views.optional_rows import OptionalRows
from embedding_core.views.projections import pca
from embedding_core.views.sampling import shown_queries
from embedding_core.views.scatter import point_rows
from embedding_core.views.view_tables import SHOWN_NEIGHBOURS, compute_views

HIT_QUERIES = 1000
"""Most images that are turned grey, to see whether they find their class by more than its colours."""

RECALLS = (2, 4, 8)
"""Neighbours besides one that recall looks at in a class-disjoint test set, as its published results do."""

PROJECTIONS_SHOWN = {"pca": ("pca",), "all": ("pca", "umap", "tsne")}
"""By `TrainConfig.views`."""

RowsByTable = dict[str, list[Row]]
"""Of the store, without the ids of the trial."""

Judge = Callable[[Tensor], Float[Tensor, "n d"]]
"""Inputs of the network -> what their images are judged by, of unit length, on the CPU."""


class HeldOut(NamedTuple):
    """Results of one run on held-out images."""

    row: Row
    """`test_*` and `unseen_*` columns, and what says how they came about."""
    tables: RowsByTable
    """Longer results."""


def evaluate_held_out(
    network: EmbeddingNetwork,
    objective: Objective,
    images: HeldOutImages,
    source: Callable[[ImageSet], Inputs],
    train_inputs: Inputs,
    *,
    layer: str,
    seed: int,
    probes: int = 0,
    classifiers: bool = False,
    views: str = "none",
) -> HeldOut:
    """Evaluate on each part of `images`.

    Of classifier losses, the accuracy of the trained head on the test split is always that of the embedding. The head
    and fitted classifiers are asked about test images of classes that they were trained on; where there are none, this
    is left out.

    Args:
        network: as trained.
        objective: as trained; of a classifier loss, its head is tested.
        images: see `held_out_images`.
        source: makes inputs of the network of a set of images.
        train_inputs: those of the training file.
        layer: of `outputs`, what images are judged by.
        seed: of the block, for every draw.
        probes: draws of the probes, 0 or at least 2.
        classifiers: whether classifiers are fitted to all training images.
        views: `none`, or a key of `PROJECTIONS_SHOWN`.
    """
    judge = partial(_judged, network, layer)
    inputs = {split: source(part) for split, part in images.parts.items()}
    z = {split: judge(given.plain()) for split, given in inputs.items()}
    tables: RowsByTable = {"evaluations": [], "eval_groups": []}
    optional = OptionalRows()
    recalls = {"test": RECALLS} if images.disjoint else {}
    found = [
        _of_part(
            split, z[split], part, inputs[split], judge, seed=seed, probes=probes, views=views,
            recalls=recalls.get(split, ()), optional=optional,
        )
        for split, part in images.parts.items()
    ]  # fmt: skip
    test = images.parts["test"]
    if isinstance(objective.base, Classifier):
        embedding = z["test"] if layer == "embedding" else _judged(network, "embedding", inputs["test"].plain())
        found.append(_trained_head(objective.base, *_of_classes(objective.base.classes.cpu(), embedding, test)))
    if classifiers:
        parts = images.train.rows.split(EVALUATION_BATCH)
        train_z = torch.cat([judge(train_inputs.plain(part)) for part in parts])
        known = _of_classes(images.train.labels, z["test"], test)
        found.append(_of_classifiers(*known, images.train, train_z, seed=seed, views=views, optional=optional))
    for table, own in ((table, own) for one in found for table, own in one.items()):
        tables.setdefault(table, []).extend(own)
    tables["evaluations"] = [{**evaluation, "checkpoint": "final"} for evaluation in tables["evaluations"]]
    columns = {_column(e): e["value"] for e in tables["evaluations"] if not e["metric"].startswith("probe")}
    said = {
        "classes_tested": images.overlap.sentence() if images.overlap else "",
        "views_failed": "; ".join(optional.failed),
    }
    return HeldOut({"test_sha256": test.sha256, **{k: v for k, v in said.items() if v}, **columns}, tables)


def _judged(network: EmbeddingNetwork, layer: str, inputs: Tensor) -> Float[Tensor, "n d"]:
    return embed(network, inputs, layer=layer).cpu()


def _of_classes(
    classes: Int[Tensor, " c"], z: Float[Tensor, "n d"], images: ImageSet
) -> tuple[Float[Tensor, "m d"], ImageSet]:
    """Embeddings and images of these classes alone."""
    own = torch.isin(images.labels, classes)
    return (z, images) if own.all() else (z[own], ImageSet(images.images[own], images.labels[own], images.class_names))


def _column(evaluation: Row) -> str:
    """Only recall is called by its k; other metrics have one each."""
    name = f"{evaluation['split']}_{evaluation['metric']}"
    return f"{name}_at_{evaluation['k']}" if evaluation["metric"].endswith("recall") else name


def _of_part(
    split: str,
    z: Float[Tensor, "n d"],
    part: ImageSet,
    inputs: Inputs,
    judge: Judge,
    *,
    seed: int,
    probes: int,
    views: str,
    recalls: tuple[int, ...],
    optional: OptionalRows,
) -> RowsByTable:
    """What needs no image but those of one part."""
    pairs = verification_by_class(z, part.labels)
    coloured = has_colour(part.images)
    found = rows.metrics(z, part.labels, pairs, recalls=tuple(k for k in recalls if k < len(z)))
    groups = list(rows.class_aucs(pairs, part))
    if probes:
        found += rows.probes(z, part.labels, repeats=probes, seed=seed)
    if coloured:
        found += _hit_rates(z, part.labels, inputs, judge, seed)
    tables: RowsByTable = {}
    if views != "none":
        found += pixels.ranked(part)
        queries = shown_queries(part.labels, seed=seed)
        grey_z = judge(inputs.grey(queries)) if coloured else None
        projections = PROJECTIONS_SHOWN[views]
        tables = compute_views(
            z, part, split=split, seed=seed, projections=projections, grey_z=grey_z, optional=optional
        )._asdict()
    own = {"evaluations": found, "eval_groups": groups}
    for table, added in own.items():
        tables[table] = [{"split": split, **row} for row in added] + tables.get(table, [])
    return tables


def _hit_rates(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], inputs: Inputs, judge: Judge, seed: int
) -> list[Row]:
    """Of images whose class has another: the share of their nearest others that are of it, asked in colour or in grey.

    Study 4 looked at neighbours by eye; those that a grey image does not find were found by colour alone.
    """
    mated = (retrieval.class_sizes(labels, labels) > 1).nonzero()[:, 0]
    own = mated[torch.randperm(len(mated), generator=generator(seed, "hit rates"))[:HIT_QUERIES]]
    k = min(SHOWN_NEIGHBOURS, len(z) - 1)
    queries = {"hit_rate": z[own], "hit_rate_grey": judge(inputs.grey(own))}
    rates = {metric: retrieval.hit_rates(query, own, z, labels, k=k) for metric, query in queries.items()}
    return [rows.mean_row(metric, rate.mean(), k=k) for metric, rate in rates.items()]


def _trained_head(base: Classifier, z: Float[Tensor, "n d"], test: ImageSet) -> RowsByTable:
    """Share of test images that the head trained with the embedding classifies right, overall and by class; empty
    where there are none."""
    if not len(test.labels):
        return {}
    right = base.predicted(z.to(base.classes.device)).cpu() == test.labels
    overall = rows.mean_row("accuracy", share_right(right))
    groups: list[Row] = [{"split": "test", **group} for group in rows.class_accuracies(right, test)]
    return {"evaluations": [{"split": "test", **overall}], "eval_groups": groups}


def _of_classifiers(
    z: Float[Tensor, "n d"],
    test: ImageSet,
    train: ImageSubset,
    train_z: Float[Tensor, "t d"],
    *,
    seed: int,
    views: str,
    optional: OptionalRows,
) -> RowsByTable:
    """Classifiers fitted on all training images; with views, those of raw pixels and the training images' plane too.

    On one thread those of MNIST (48,000 images) take a quarter of a minute, and those of its pixels as long again.
    Empty where there are no images to test.
    """
    if not len(test.labels):
        return {}
    found = rows.classified(train_z, train.labels, z, test.labels)
    tables: RowsByTable = {}
    if views != "none":
        found += pixels.classified(train, test, seed=seed)
        points = point_rows(
            train_z, train.labels, pca(train_z), name_of=test.name_of, split="train", seed=seed,
            projections=PROJECTIONS_SHOWN[views], most=len(z), optional=optional,
        )  # fmt: skip
        tables["views"] = [{"split": "train", **point} for point in points]
    return tables | {"evaluations": [{"split": "test", **row} for row in found]}
