"""Validation metrics against the embeddings they are computed from, and the definition of collapse."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from embedding_core.config.train_config import MEASURES, TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.evaluation import validation
from embedding_core.evaluation.collapse import collapsed
from embedding_core.evaluation.embedding import embed
from embedding_core.evaluation.validation import validation_metrics
from embedding_core.losses.objective import Objective
from embedding_core.metrics.embedding_statistics import nn_distance, similarity_stats
from embedding_core.metrics.retrieval import knn_accuracy, map_at_r, recall_at_k
from embedding_core.metrics.verification import verification_auc
from embedding_core.models.inputs import ImageInputs
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.storage.result_tables import Row
from embedding_core.transforms.recipe import Recipe


@pytest.fixture(scope="module")
def network(digits: DeviceData) -> EmbeddingNetwork:
    mean, std = digits.scaling(digits.split(TrainConfig()))
    return build_network(TrainConfig(), shape=digits.shape, mean=mean, std=std, precision="float32")


def validated(network: EmbeddingNetwork, digits: DeviceData, config: TrainConfig) -> Row:
    split = digits.split(config)
    objective = Objective.of(config, classes=split.classes)
    recipe = Recipe.of(config, side=digits.shape[-1], flips=digits.flips)
    layer, batch_size, seed = config.held_out_layer, config.batch_size, config.seed
    inputs = ImageInputs(digits.images, recipe, digits.device)
    return validation_metrics(network, objective, digits, split, inputs, layer=layer, batch_size=batch_size, seed=seed)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_validation_metrics_are_of_the_validation_images_and_triplets(
    network: EmbeddingNetwork, digits: DeviceData, distance: str
) -> None:
    config = TrainConfig(distance=distance, margin=0.3)
    split = digits.split(config)
    row = validated(network, digits, config)

    with torch.no_grad():
        z = network.eval()(digits.images).double()
    anchor, positive, negative = (z[view] for view in split.val_triplets.T)
    to_positive, to_negative = F.cosine_similarity(anchor, positive), F.cosine_similarity(anchor, negative)
    scores = torch.cat([to_positive, to_negative])
    truth = [1] * len(anchor) + [0] * len(anchor)
    assert row["val_triplet_auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-4)
    assert row["val_triplet_pairs"] == len(truth)
    assert row["val_good_triplet_ratio"] == pytest.approx((to_positive > to_negative).double().mean().item(), abs=1e-2)
    if distance == "cosine":
        hinge = to_negative - to_positive + 0.3
    else:
        hinge = (anchor - positive).norm(dim=1) - (anchor - negative).norm(dim=1) + 0.3
    assert row["val_loss"] == pytest.approx(hinge.clamp(min=0).mean().item(), rel=1e-4)
    assert row["val_alignment"] == pytest.approx((anchor - positive).square().sum(dim=1).mean().item(), rel=1e-4)

    used = split.val
    similarity = z[used] @ z[used].T
    pairs = ~torch.eye(len(used), dtype=torch.bool)
    same = digits.labels[used][:, None] == digits.labels[used]
    assert row["val_sim_mean"] == pytest.approx(similarity[pairs].mean().item(), rel=1e-4)
    assert row["val_sim_max"] == pytest.approx(similarity[pairs].max().item(), rel=1e-5)
    # The mean over classes of near equal size, against the mean over pairs.
    assert row["val_intra"] == pytest.approx((1 - similarity[pairs & same]).mean().item(), rel=0.02)
    assert row["val_inter"] == pytest.approx((1 - similarity[~same]).mean().item(), rel=0.02)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_the_validation_loss_of_two_views_is_of_embeddings_as_trained_on(digits: DeviceData, similarity: str) -> None:
    config = TrainConfig(loss="nt_xent", similarity=similarity, augmentation="none", batch_size=512)
    split = digits.split(config)
    mean, std = digits.scaling(split)
    network = build_network(config, shape=digits.shape, mean=mean, std=std, precision="float32")
    row = validated(network, digits, config)
    images = digits.images[split.val]
    with torch.no_grad():
        z = network.eval().head(network.features(images)).double()
    if similarity == "cosine":
        z = F.normalize(z, dim=1)
    logits = torch.cat([z, z]) @ torch.cat([z, z]).T / config.temperature
    logits.fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(logits, torch.arange(2 * len(z)).roll(len(z)))
    assert row["val_loss"] == pytest.approx(expected.item(), rel=1e-4)
    unit = F.normalize(z, dim=1)
    same = unit @ unit.T
    assert row["val_sim_mean"] == pytest.approx(same[~torch.eye(len(z), dtype=torch.bool)].mean().item(), rel=1e-4)


def test_settings_are_chosen_by_the_layer_that_is_judged_in_the_end(digits: DeviceData) -> None:
    """Whatever needs labels; the loss and the spread of the embedding stay what they are."""
    config = TrainConfig(loss="nt_xent", head="mlp", augmentation="none")
    split = digits.split(config)
    mean, std = digits.scaling(split)
    network = build_network(config, shape=digits.shape, mean=mean, std=std, precision="float32")
    embedding, backbone = (
        validated(network, digits, replace(config, held_out_layer=layer)) for layer in ("embedding", "backbone")
    )
    with torch.no_grad():
        features = network.eval().features(digits.images)
    anchor, positive, negative = features[split.val_triplets.T]
    scores = torch.cat([F.cosine_similarity(anchor, positive), F.cosine_similarity(anchor, negative)])
    truth = [1] * len(anchor) + [0] * len(anchor)
    assert backbone["val_triplet_auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-4)
    assert backbone["val_auc"] == pytest.approx(verification_auc(features[split.val], digits.labels[split.val]))
    moved = {name for name in embedding if backbone[name] != pytest.approx(embedding[name], rel=1e-6)}
    of_triplets = {"val_triplet_auc", "val_triplet_auc_se", "val_alignment"}
    assert moved - {"val_good_triplet_ratio"} == {*MEASURES, *of_triplets, "val_intra", "val_inter"}


@pytest.mark.parametrize("most", [2500, 100])
def test_the_measures_settings_are_chosen_by_are_those_of_held_out_images_on_all_validation_images(
    network: EmbeddingNetwork, digits: DeviceData, most: int
) -> None:
    config = TrainConfig(val_images=most)
    split = digits.split(config)
    assert len(split.val) == min(most, 287)
    row = validated(network, digits, config)
    z, labels = embed(network, digits.images[split.val]), digits.labels[split.val]
    expected = {
        "val_auc": verification_auc(z, labels),
        "val_recall_at_1": recall_at_k(z, labels, k=1),
        "val_map_at_r": map_at_r(z, labels),
        "val_knn_accuracy": knn_accuracy(z, labels, z, labels, k=20, exclude_self=True).value,
    }
    assert tuple(expected) == MEASURES
    assert {name: row[name] for name in MEASURES} == pytest.approx(expected, abs=1e-7)
    spread = similarity_stats(z)
    assert (row["val_nn_distance"], row["val_sim_min"]) == pytest.approx((nn_distance(z), spread.min), rel=1e-5)


@pytest.mark.parametrize("loss", ["arcface", "softmax"])
def test_a_head_of_very_many_classes_is_validated_some_images_at_a_time(
    network: EmbeddingNetwork, digits: DeviceData, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(loss=loss)
    whole = validated(network, digits, config)
    monkeypatch.setattr(validation, "LOGITS", 10 * 25)  # 287 images: eleven times 25, and 12
    for name in ("val_loss", "val_accuracy"):
        assert validated(network, digits, config)[name] == pytest.approx(whole[name], rel=1e-5)


@pytest.mark.parametrize("loss", ["triplet", "semihard", "arcface", "softmax", "nt_xent"])
def test_of_whole_classes_everything_is_measured_but_the_loss_of_a_head_that_knows_others(
    network: EmbeddingNetwork, digits: DeviceData, loss: str
) -> None:
    config = TrainConfig(loss=loss, val_by="class")
    row = validated(network, digits, config)
    split = digits.split(config)
    z, labels = embed(network, digits.images[split.val]), digits.labels[split.val]
    assert set(labels.tolist()) == set(split.val_classes.tolist())
    assert row["val_auc"] == pytest.approx(verification_auc(z, labels), abs=1e-7)
    assert row["val_recall_at_1"] == pytest.approx(recall_at_k(z, labels, k=1), abs=1e-7)
    assert ("val_loss" in row) == (loss not in ("arcface", "softmax"))


def test_a_network_that_diverged_is_validated_without_an_error(digits: DeviceData) -> None:
    config = TrainConfig()
    mean, std = digits.scaling(digits.split(config))
    network = build_network(config, shape=digits.shape, mean=mean, std=std, precision="float32")
    with torch.no_grad():
        next(network.head.parameters()).fill_(torch.nan)
    row = validated(network, digits, config)
    known = {name for name, value in row.items() if value == value}
    assert known == {"val_triplet_pairs"}


def test_embedding_leaves_the_mode_alone_and_uses_running_statistics(digits: DeviceData) -> None:
    config = TrainConfig(norm_kind="batch")
    mean, std = digits.scaling(digits.split(config))
    network = build_network(config, shape=digits.shape, mean=mean, std=std, precision="float32").train()
    network(digits.images[:64])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    z = embed(network, digits.images[:40])
    assert network.training
    assert not z.requires_grad
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    torch.testing.assert_close(z[:7], embed(network, digits.images[:7]))


def test_embedding_in_batches_is_embedding_at_once(
    network: EmbeddingNetwork, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed(network, digits.images[:50])
    monkeypatch.setattr(validation, "EVALUATION_BATCH", 7)
    torch.testing.assert_close(embed(network, digits.images[:50]), whole)


def row(rank: float = 20.0, cosine: float = 0.3, auc: float = 0.55) -> Row:
    return {"val_effective_rank": rank, "val_sim_mean": cosine, "val_auc": auc}


FINE, FLAT, NARROW, ONE = row(), row(rank=1.9), row(cosine=0.91), row(rank=1.1, cosine=0.9995, auc=0.75)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([FINE] * 3, False),
        ([FLAT] * 2, False),  # a mean cosine above .9 is normal before the third evaluation
        ([FLAT] * 3, True),
        ([NARROW] * 3, True),
        ([FINE, FLAT, NARROW], True),
        ([FLAT, FLAT, FINE], False),
        ([FLAT, FINE, FLAT], False),  # two running
        ([FINE, FINE, FINE, row(rank=2.0, cosine=0.9)], False),
        ([row(rank=1.72, auc=1.0)] * 3, False),  # two classes well apart are one axis
        ([row(rank=1.5, cosine=0.95, auc=0.7)] * 3, False),  # narrow, and yet it tells classes
        ([row(rank=4.0, cosine=0.98, auc=0.74)] * 3, False),  # the run on digits that ended at an AUC of .895
        ([ONE] * 3, True),  # all are one, but for rounding
        ([FINE, FINE, ONE], False),
    ],
)
def test_collapsed(rows: list[Row], expected: bool) -> None:
    assert collapsed(rows) is expected
