"""What an epoch's row says about the model: its metrics on the validation images."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from embedding_core.config.rules import sees_the_batch
from embedding_core.config.train_config import MEASURES as MEASURES
from embedding_core.config.train_config import views_per_example
from embedding_core.data.device_data import DeviceData
from embedding_core.data.splits import Split
from embedding_core.evaluation.embedding import EVALUATION_BATCH, embed, outputs
from embedding_core.evaluation.rows import LEAVE_ONE_OUT_NEIGHBOURS
from embedding_core.losses.modules import Classifier, OverClasses, validation_loss
from embedding_core.losses.objective import Objective
from embedding_core.metrics.class_spread import mean_class_spread
from embedding_core.metrics.cosine_matrix import ranking, ranking_and_spread, spread
from embedding_core.metrics.distances import paired_distance
from embedding_core.metrics.embedding_statistics import alignment, effective_rank, feature_std
from embedding_core.metrics.meter import Meter
from embedding_core.metrics.verification import good_triplet_ratio, pair_auc, pair_auc_se
from embedding_core.models.inputs import Inputs
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.seeding import generator
from embedding_core.storage.result_tables import Row

LOGITS = 2**25
"""Of a classifier in memory together, about: of very many classes those of all validation images would not fit."""


def validation_metrics(
    network: EmbeddingNetwork,
    objective: Objective,
    data: DeviceData,
    split: Split,
    inputs: Inputs,
    *,
    layer: str,
    batch_size: int,
    seed: int,
) -> Row:
    """The `val_*` columns; each validation image is embedded once (NT-Xent's loss needs two more views of one batch).

    Args:
        network: as trained so far.
        objective: whose base loss is the validation loss.
        data: holds the labels.
        split: which of them are for validation.
        inputs: of the training file, for the network; makes the two views.
        layer: of `outputs`, and what metrics that need labels judge; spread, similarity and loss are of the embedding.
        batch_size: examples in a neighbourhood, where the loss depends on it.
        seed: of the split: order and views of the loss are the same in all runs that share it.
    """
    used = split.val.to(data.device)
    position = torch.searchsorted(split.val, split.val_triplets).to(data.device)
    plain = inputs.plain(used)
    z, labels = embed(network, plain), data.labels[used]
    # What held-out images are judged by judges here too: settings are chosen by it.
    judged = z if layer == "embedding" else embed(network, plain, layer=layer)
    anchor, positive, negative = judged[position].unbind(dim=1)
    to_positive = paired_distance(anchor, positive, distance="cosine")
    to_negative = paired_distance(anchor, negative, distance="cosine")
    triplet_auc = pair_auc(-to_positive, -to_negative)
    # A fixed order of its own: file order may be class order, and another order would be another loss.
    order = torch.randperm(len(used), generator=generator(seed, "validation order")).to(data.device)
    intra, inter = mean_class_spread(judged, labels)
    k = min(LEAVE_ONE_OUT_NEIGHBOURS, len(z) - 1)
    if judged is z:
        ranked, spread_out = ranking_and_spread(z, labels, k=k)
    else:
        ranked, spread_out = ranking(judged, labels, k=k), spread(z)
    similarity = spread_out.similarity
    return {
        **_validation_loss(
            network, objective, data, used, z, position, order, inputs, batch_size=batch_size, seed=seed
        ),
        "val_auc": ranked.auc,
        "val_recall_at_1": ranked.recall_at_1,
        "val_map_at_r": ranked.map_at_r,
        "val_knn_accuracy": ranked.knn_accuracy,
        "val_triplet_auc": triplet_auc,
        "val_triplet_auc_se": pair_auc_se(triplet_auc, len(anchor), len(anchor)),
        "val_triplet_pairs": 2 * len(anchor),
        "val_good_triplet_ratio": good_triplet_ratio(anchor, positive, negative),
        "val_intra": intra,
        "val_inter": inter,
        "val_effective_rank": effective_rank(z),
        "val_uniformity": spread_out.uniformity,
        "val_alignment": alignment(anchor, positive),
        "val_nn_distance": spread_out.nn_distance,
        "val_feature_std": feature_std(z),
        "val_sim_mean": similarity.mean,
        "val_sim_var": similarity.var,
        "val_sim_min": similarity.min,
        "val_sim_max": similarity.max,
    }


def _two_views(
    network: EmbeddingNetwork, inputs: Inputs, rows: Int64[Tensor, " n"], draw: torch.Generator
) -> Float[Tensor, "n 2 d"]:
    """Outputs for two augmented views of each image; of computed ones, two different ones."""
    if inputs.feature_views:
        return outputs(network, inputs.augmented(rows[:, None].expand(-1, 2), draw))
    # In parts: all augmented at once would need several float copies of the whole set.
    parts = rows.repeat(2)[:, None].split(EVALUATION_BATCH)
    seen = torch.cat([outputs(network, inputs.augmented(part, draw))[:, 0] for part in parts])
    return torch.stack(seen.chunk(2), dim=1)


@torch.no_grad()
def _validation_loss(
    network: EmbeddingNetwork,
    objective: Objective,
    data: DeviceData,
    used: Int64[Tensor, " n"],
    z: Float[Tensor, "n d"],
    position: Int64[Tensor, "t 3"],
    order: Int64[Tensor, " n"],
    inputs: Inputs,
    *,
    batch_size: int,
    seed: int,
) -> Row:
    """`val_loss`, and `val_accuracy` of a classifier; where batches matter, they are the same every epoch.

    None of a loss over classes that was trained on none of the validation classes.
    """
    draw = generator(seed, "validation", device=data.device)
    base, meter = validation_loss(objective.base), Meter()
    if isinstance(base, OverClasses) and not torch.isin(data.labels[used], base.classes).all():
        return {}
    views = views_per_example(base.name)
    if views == 3:
        examples, labels = z[position], data.labels[used[position]]
    else:
        if views == 2:  # embedded for the loss alone: one neighbourhood, or they would cost more than all else
            order = order[:batch_size]
        examples = _two_views(network, inputs, used[order], draw) if views == 2 else z[order][:, None]
        labels = data.labels[used[order]][:, None].expand(examples.shape[:2])
    size, n = len(examples), len(examples)
    if sees_the_batch(base.name) and n > batch_size:  # neighbourhoods of one size
        size, n = batch_size, n // batch_size * batch_size
    elif isinstance(base, Classifier):
        size = min(size, max(1, LOGITS // len(base.classes)))
    for start in range(0, n, size):
        batch = slice(start, min(start + size, n))
        draws = base.draws(labels[batch].numel(), draw)
        meter.add("loss", base(examples[batch], labels[batch], meter, draws), (batch.stop - start) / size)
    means = meter.means()
    bounds = {f"val_loss_{name}": bound for name, bound in base.bounds(size).items()}
    return {**{f"val_{name}": means[name] for name in ("loss", "accuracy") if name in means}, **bounds}
