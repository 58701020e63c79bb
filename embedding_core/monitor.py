"""What a row says about the model: validation metrics, the test metric, and whether the embeddings have collapsed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from embedding_core import evaluate
from embedding_core.config import TrainConfig
from embedding_core.device_data import DeviceData
from embedding_core.losses import paired_distance
from embedding_core.models import EmbeddingNetwork
from embedding_core.splits import Split

Row = dict[str, float | int | bool | str | None]
"""One evaluation mark: column name -> value."""

EVALUATION_BATCH = 512
"""Images per forward pass without gradient."""

COLLAPSE_FROM = 3
"""First evaluation that is judged: a mean cosine above .9 is normal at initialisation."""

COLLAPSE_RANK = 2.0
"""Effective rank of embeddings near a line. Not a share of d: a tenth of d would have ended CIFAR-10 runs of rank 4 to
6 of 64 whose AUC was rising (LOG.md, 2026-11-22)."""

COLLAPSE_COSINE = 0.9
COLLAPSE_MARGIN_SHARE = 0.01


@torch.no_grad()
def embed(network: EmbeddingNetwork, images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """Embeddings of `images` in evaluation mode, on their device; the network's mode is restored."""
    was_training = network.training
    network.eval()
    z = torch.cat([network(batch) for batch in images.split(EVALUATION_BATCH)])
    network.train(was_training)
    return z


def validation_metrics(network: EmbeddingNetwork, data: DeviceData, split: Split, config: TrainConfig) -> Row:
    """The `val_*` columns; each validation image is embedded once."""
    used, position = split.val_triplets.unique(return_inverse=True)
    z = embed(network, data.images[used.to(data.device)])
    labels = data.labels[used.to(data.device)]
    anchor, positive, negative = (z[position[:, view].to(data.device)] for view in range(3))
    to_positive = paired_distance(anchor, positive, distance="cosine")
    to_negative = paired_distance(anchor, negative, distance="cosine")
    hinge = (
        paired_distance(anchor, positive, distance=config.distance)
        - paired_distance(anchor, negative, distance=config.distance)
        + config.margin
    ).relu()
    auc = evaluate.pair_auc(-to_positive, -to_negative)
    intra, inter = evaluate.intra_inter(evaluate.class_distances(z, labels, metric="cosine"))
    similarity = evaluate.similarity_stats(z)
    return {
        "val_loss": hinge.mean().item(),
        "val_auc": auc,
        "val_auc_se": evaluate.pair_auc_se(auc, len(anchor), len(anchor)),
        "val_pairs": 2 * len(anchor),
        "val_good_triplet_ratio": (to_positive < to_negative).float().mean().item(),
        "val_intra": intra,
        "val_inter": inter,
        "val_effective_rank": evaluate.effective_rank(z),
        "val_uniformity": evaluate.uniformity(z),
        "val_alignment": evaluate.alignment(anchor, positive),
        "val_nn_distance": evaluate.nn_distance(z),
        "val_sim_mean": similarity.mean,
        "val_sim_var": similarity.var,
        "val_sim_min": similarity.min,
        "val_sim_max": similarity.max,
    }


def test_metrics(network: EmbeddingNetwork, data: DeviceData, split: Split) -> Row:
    """`test_auc` over all pairs of the test split, with its counts of pairs."""
    test = data.test(split)
    result = evaluate.verification(embed(network, test.images.to(data.device)).cpu(), test.labels)
    return {
        "test_auc": result.auc,
        "test_sha256": test.sha256,
        "test_positive_pairs": result.n_positive,
        "test_negative_pairs": result.n_negative,
    }


def collapsed(rows: Sequence[Row], config: TrainConfig) -> bool:
    """Whether the embeddings have collapsed at the last of `rows` (one per epoch so far).

    From the third evaluation on: the effective rank below 2, or the mean cosine above .9, at two evaluations running;
    or the base loss within 1 % of the margin, which is what identical embeddings give.
    """
    if len(rows) < COLLAPSE_FROM:
        return False
    loss = _number(rows[-1], "loss_base")
    at_margin = abs(loss - config.margin) <= COLLAPSE_MARGIN_SHARE * config.margin
    return at_margin or all(_degenerate(row) for row in rows[-2:])


def _degenerate(row: Row) -> bool:
    return _number(row, "val_effective_rank") < COLLAPSE_RANK or _number(row, "val_sim_mean") > COLLAPSE_COSINE


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, float)
    return value
