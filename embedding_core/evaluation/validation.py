"""What an epoch's row says about the model: validation metrics, and whether the embeddings have collapsed."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from embedding_core.config.rules import BATCH_LOSSES
from embedding_core.config.train_config import VIEWS_PER_EXAMPLE
from embedding_core.data.device_data import DeviceData
from embedding_core.data.splits import Split
from embedding_core.losses.modules import validation_loss
from embedding_core.losses.objective import Objective
from embedding_core.metrics.distances import class_distances, intra_inter, paired_distance
from embedding_core.metrics.embedding_statistics import (
    alignment,
    effective_rank,
    feature_std,
    nn_distance,
    similarity_stats,
    uniformity,
)
from embedding_core.metrics.meter import Meter
from embedding_core.metrics.retrieval import recall_at_k
from embedding_core.metrics.verification import good_triplet_ratio, pair_auc, pair_auc_se
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.seeding import generator
from embedding_core.storage.result_tables import Row
from embedding_core.transforms.recipe import Recipe

EVALUATION_BATCH = 512
"""Images per forward pass without gradient."""

SPREAD_SAMPLE = 2048
"""Most images behind the measures that compare all with all: on 10,000 they took four times as long as an epoch of
5,000 images. Those of spread depend on n, so one n is what makes runs comparable."""

COLLAPSE_FROM = 3
"""First evaluation that is judged: a mean cosine above .9 is normal at initialisation."""

COLLAPSE_RANK = 2.0
"""Effective rank of embeddings near a line. Not a share of d: a tenth of d would have ended CIFAR-10 runs of rank 4 to
6 of 64 whose AUC was rising (LOG.md, 2026-11-22)."""

COLLAPSE_COSINE = 0.9
COLLAPSE_MARGIN_SHARE = 0.01


def embed(
    network: EmbeddingNetwork, images: UInt8[Tensor, "n c h w"], *, layer: str = "embedding"
) -> Float[Tensor, "n d"]:
    """Unit embeddings of `images`, whatever training sees; otherwise as `outputs`."""
    z = outputs(network, images, layer=layer)
    return z if network.unit and layer == "embedding" else F.normalize(z, dim=1)


@torch.no_grad()
def outputs(
    network: EmbeddingNetwork, images: UInt8[Tensor, "n c h w"], *, layer: str = "embedding"
) -> Float[Tensor, "n d"]:
    """Embeddings as the training loss sees them, in evaluation mode; on their device. The mode is restored.

    `layer` is one of `TrainConfig.held_out_layer`: `backbone` gives the features that the head would get, pooled.
    """
    was_training = network.training
    network.eval()
    forward = network.features if layer == "backbone" else network
    z = torch.cat([forward(batch) for batch in images.split(EVALUATION_BATCH)])
    network.train(was_training)
    return z


def validation_metrics(
    network: EmbeddingNetwork,
    objective: Objective,
    data: DeviceData,
    split: Split,
    recipe: Recipe,
    *,
    layer: str,
    batch_size: int,
    seed: int,
) -> Row:
    """The `val_*` columns; each validation image is embedded once (NT-Xent's loss needs two more views of each).

    Args:
        network: as trained so far.
        objective: whose base loss is the validation loss.
        data: holds the validation images.
        split: which of them are for validation.
        recipe: makes the two views.
        layer: of `outputs`, and what metrics that need labels judge; spread, similarity and loss are of the embedding.
        batch_size: examples in a neighbourhood, where the loss depends on it.
        seed: of the block.
    """
    used, position = split.val_triplets.unique(return_inverse=True)
    used, position = used.to(data.device), position.to(data.device)
    z, labels = embed(network, data.images[used]), data.labels[used]
    # What held-out images are judged by judges here too: settings are chosen by it.
    judged = z if layer == "embedding" else embed(network, data.images[used], layer=layer)
    anchor, positive, negative = judged[position].unbind(dim=1)
    to_positive = paired_distance(anchor, positive, distance="cosine")
    to_negative = paired_distance(anchor, negative, distance="cosine")
    auc = pair_auc(-to_positive, -to_negative)
    # A fixed order of its own: file order may be class order, and another order would be another loss.
    order = torch.randperm(len(used), generator=generator(seed, "validation order")).to(data.device)
    sample, sample_labels = z[order[:SPREAD_SAMPLE]], labels[order[:SPREAD_SAMPLE]]
    judged = judged[order[:SPREAD_SAMPLE]]
    intra, inter = intra_inter(class_distances(judged, sample_labels, metric="cosine"))
    similarity = similarity_stats(sample)
    return {
        **_validation_loss(network, objective, data, used, z, position, order, recipe, batch_size, seed),
        "val_auc": auc,
        "val_auc_se": pair_auc_se(auc, len(anchor), len(anchor)),
        "val_pairs": 2 * len(anchor),
        "val_good_triplet_ratio": good_triplet_ratio(anchor, positive, negative),
        "val_recall_at_1": recall_at_k(judged, sample_labels, k=1),
        "val_intra": intra,
        "val_inter": inter,
        "val_effective_rank": effective_rank(sample),
        "val_uniformity": uniformity(sample),
        "val_alignment": alignment(anchor, positive),
        "val_nn_distance": nn_distance(sample),
        "val_feature_std": feature_std(sample),
        "val_sim_mean": similarity.mean,
        "val_sim_var": similarity.var,
        "val_sim_min": similarity.min,
        "val_sim_max": similarity.max,
    }


@torch.no_grad()
def _validation_loss(
    network: EmbeddingNetwork,
    objective: Objective,
    data: DeviceData,
    used: Int64[Tensor, " n"],
    z: Float[Tensor, "n d"],
    position: Int64[Tensor, "t 3"],
    order: Int64[Tensor, " n"],
    recipe: Recipe,
    batch_size: int,
    seed: int,
) -> Row:
    """`val_loss`, and `val_accuracy` of a classifier; where batches matter, they are the same every epoch."""
    draw = generator(seed, "validation", device=data.device)
    base, meter = validation_loss(objective.base), Meter()
    views_per_example = VIEWS_PER_EXAMPLE.get(base.name, 1)
    if views_per_example == 3:
        examples, labels = z[position], data.labels[used[position]]
    else:
        if views_per_example == 2:
            # In parts: all augmented at once would need several float copies of the whole set.
            parts = used[order].repeat(2).split(EVALUATION_BATCH)
            views = torch.cat([outputs(network, recipe.apply(data.images[part], draw)) for part in parts])
            examples = torch.stack(views.chunk(2), dim=1)
        else:
            examples = z[order][:, None]
        labels = data.labels[used[order]][:, None].expand(examples.shape[:2])
    size, n = len(examples), len(examples)
    if base.name in BATCH_LOSSES and n > batch_size:  # neighbourhoods of one size
        size, n = batch_size, n // batch_size * batch_size
    for start in range(0, n, size):
        batch = slice(start, start + size)
        meter.add("loss", base(examples[batch], labels[batch], meter, draw), 1.0)
    means = meter.means()
    bounds = {f"val_loss_{name}": bound for name, bound in base.bounds(size).items()}
    return {**{f"val_{name}": means[name] for name in ("loss", "accuracy") if name in means}, **bounds}


def collapsed(rows: Sequence[Row], *, margin: float | None) -> bool:
    """Whether the embeddings have collapsed at the last of `rows`.

    From the third evaluation on: the effective rank below 2, or the mean cosine above .9, at two evaluations running;
    or at one, if the base loss of triplets is within 1 % of the margin too, which is what identical embeddings give.
    The margin alone says nothing: a slow run passes it on its way down.

    Args:
        rows: one per epoch so far.
        margin: of a loss that equals it where all embeddings are one (see `MARGIN_LOSSES`); None: another loss.
    """
    if len(rows) < COLLAPSE_FROM:
        return False
    at_margin = margin is not None and abs(_number(rows[-1], "loss_base") - margin) <= COLLAPSE_MARGIN_SHARE * margin
    return all(_degenerate(row) for row in rows[-1 if at_margin else -2 :])


def _degenerate(row: Row) -> bool:
    return _number(row, "val_effective_rank") < COLLAPSE_RANK or _number(row, "val_sim_mean") > COLLAPSE_COSINE


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value
