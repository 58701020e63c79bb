"""Results on held-out images: of the right images, with the right numbers, and handed over whole."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData, ImageSubset
from embedding_core.data.image_sets import ImageSet
from embedding_core.evaluation import pixels
from embedding_core.evaluation.classifiers import raw_pixels
from embedding_core.evaluation.embedding import embed
from embedding_core.evaluation.held_out import HeldOut, evaluate_held_out
from embedding_core.evaluation.held_out_sets import HeldOutImages, held_out_images
from embedding_core.losses.objective import Objective
from embedding_core.metrics import retrieval
from embedding_core.metrics.retrieval import map_at_r, recall_at_k
from embedding_core.metrics.verification import verification_auc
from embedding_core.models.heads import MeanPool
from embedding_core.models.inputs import ImageInputs
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.storage import result_tables
from embedding_core.storage.result_tables import Row
from embedding_core.train import train
from embedding_core.transforms.recipe import Recipe


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of this module alone: what raw pixels are worth must not be remembered from before."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


Small = Callable[..., TrainConfig]
UNSEEN = TrainConfig(unseen_classes=3, probes=2, views="pca")


@pytest.fixture(scope="module")
def network(digits: DeviceData) -> EmbeddingNetwork:
    mean, std = digits.scaling(digits.split(UNSEEN))
    return build_network(UNSEEN, shape=digits.shape, mean=mean, std=std, precision="float32")


def judged(network: EmbeddingNetwork, objective: Objective, images: HeldOutImages, config: TrainConfig) -> HeldOut:
    """By way of a configuration, as `train` does it."""
    recipe = Recipe.of(config, side=images.train.source.shape[-1], flips=False)

    def source(part: ImageSet) -> ImageInputs:
        return ImageInputs(part.images, recipe, network.mean.device)

    train_inputs = ImageInputs(images.train.source, recipe, network.mean.device)
    return evaluate_held_out(
        network, objective, images, source, train_inputs, layer=config.held_out_layer, seed=config.seed,
        probes=config.probes, classifiers=config.classifiers, views=config.views,
    )  # fmt: skip


def evaluated(network: EmbeddingNetwork, digits: DeviceData, config: TrainConfig) -> HeldOut:
    split = digits.split(config)
    objective = Objective.of(config, classes=split.classes)
    return judged(network, objective, held_out_images(digits, split), config)


@pytest.fixture(scope="module")
def found(network: EmbeddingNetwork, digits: DeviceData) -> HeldOut:
    return evaluated(network, digits, UNSEEN)


def test_test_and_unseen_metrics_are_of_their_own_images(
    found: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    split = digits.split(UNSEEN)
    for name, index in (("test", split.test), ("unseen", split.unseen)):
        z, labels = embed(network, digits.images[index]), digits.labels[index]
        row = found.row
        assert row[f"{name}_auc"] == pytest.approx(verification_auc(z, labels), abs=1e-12)
        assert row[f"{name}_recall_at_1"] == pytest.approx(recall_at_k(z, labels, k=1), abs=1e-12)
        assert row[f"{name}_map_at_r"] == pytest.approx(map_at_r(z, labels), abs=1e-12)
        n = len(index)
        assert row[f"{name}_positive_pairs"] + row[f"{name}_negative_pairs"] == n * (n - 1) // 2
    assert set(digits.labels[split.test].tolist()).isdisjoint(digits.labels[split.unseen].tolist())


def test_every_metric_is_an_evaluation_and_the_probes_too(found: HeldOut) -> None:
    rows = found.tables["evaluations"]
    keys = [(row["split"], row["metric"], row.get("k")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["checkpoint"] for row in rows} == {"final"}
    for split in ("test", "unseen"):
        for kind in ("svc", "linear", "knn"):
            budgets = [k for s, metric, k in keys if (s, metric) == (split, f"probe_{kind}")]
            assert budgets == [30, 100] + ([300] if split == "unseen" else [])  # 65 % of 250 and of 537 images
    probes = [row for row in rows if row["metric"].startswith("probe")]
    assert all(0 < row["value"] <= 1 and row["se"] >= 0 and row["n_pairs"] == 2 for row in probes)


def test_views_are_made_of_both_splits_when_asked_for(
    found: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    assert {row["split"] for row in found.tables["views"]} == {"test", "unseen"}
    assert len(found.tables["embeddings"]) == len(digits.split(UNSEEN).test) + len(digits.split(UNSEEN).unseen)


def test_class_parts_of_the_auc_are_stored_without_views_too(
    found: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    plain = replace(UNSEEN, views="none")
    tables = evaluated(network, digits, plain).tables
    assert set(tables) == {"evaluations", "eval_groups"}
    assert tables["eval_groups"] == [row for row in found.tables["eval_groups"] if row["metric"] == "auc"]
    for split in ("test", "unseen"):
        groups = [row for row in tables["eval_groups"] if row["split"] == split]
        labels = digits.labels[getattr(digits.split(plain), split)]
        assert {row["class_id"]: row["n"] for row in groups} == Counter(labels.tolist())
        weights = [row["n"] * (row["n"] - 1) // 2 for row in groups]
        whole = sum(w * row["value"] for w, row in zip(weights, groups, strict=True)) / sum(weights)
        assert whole == pytest.approx(found.row[f"{split}_auc"], abs=1e-15)


def test_a_run_hands_its_tables_over_beside_its_checkpoint(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    file = tmp_path / "run.pt"
    config = small(eval_test=True, views="pca")
    rows = []
    for row in train(config, save_to=file, data=digits):
        rows.append(row)
        assert result_tables.beside(file).exists() == (row["end_reason"] is not None)
    tables = result_tables.read(result_tables.beside(file))
    (auc,) = [row for row in tables["evaluations"] if row["metric"] == "auc"]
    assert auc["value"] == rows[-1]["test_auc"]
    assert len(tables["embeddings"]) == len(digits.split(config).test)


def test_reading_the_test_split_is_no_cost_of_training(
    small: Small, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = torch.tensor(0.0)
    monkeypatch.setattr("embedding_core.train.time.perf_counter", lambda: clock.item())

    def slow(*_: object, **__: object) -> HeldOut:
        clock.add_(1000)
        return HeldOut({"test_auc": 0.5}, {})

    monkeypatch.setattr("embedding_core.train.evaluate_held_out", slow)
    *_, last = train(small(eval_test=True), data=digits)
    assert last["test_auc"] == 0.5
    assert last["elapsed_s"] == 0


# What a run can do without


def test_a_projection_that_fails_costs_itself_alone(
    network: EmbeddingNetwork, digits: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where numba has nowhere to keep what it compiles, UMAP cannot even be imported."""

    def fails(*_: object, **__: object) -> Tensor:
        raise RuntimeError("cannot cache function 'rdist': no locator available\nfor file 'layouts.py'")

    monkeypatch.setattr("embedding_core.views.scatter.umap", fails)
    monkeypatch.setattr("embedding_core.views.scatter.tsne", lambda z, *, seed: z[:, :2])
    monkeypatch.setattr("embedding_core.views.view_tables.singular_values", fails)
    found = evaluated(network, digits, replace(UNSEEN, views="all", probes=0))
    why = "RuntimeError: cannot cache function 'rdist': no locator available"
    lost = [f"{view} ({split}): {why}" for split in ("test", "unseen") for view in ("umap", "spectrum")]
    assert found.row["views_failed"] == "; ".join(lost)
    assert 0 < found.row["test_auc"] <= 1
    views = {row["view"] for row in found.tables["views"]}
    assert not {"umap", "spectrum"} & views
    assert {"pca", "tsne", "ellipse", "closest", "neighbours", "class_distance"} <= views


# By the embedding or by the backbone, and by fitted classifiers


ARCFACE = TrainConfig(loss="arcface", classifiers=True, views="pca", unseen_classes=3)


@pytest.fixture(scope="module")
def of_arcface(network: EmbeddingNetwork, digits: DeviceData) -> HeldOut:
    return evaluated(network, digits, ARCFACE)


def evaluations_of(found: HeldOut, split: str = "test") -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in found.tables["evaluations"] if row["split"] == split}


def test_the_backbone_is_judged_by_its_unit_features_and_the_trained_head_never_is(
    of_arcface: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    network.train()
    found = evaluated(network, digits, replace(ARCFACE, held_out_layer="backbone"))
    assert network.training
    split = digits.split(ARCFACE)
    with torch.no_grad():
        features = network.eval().features(digits.images[split.test])
    unit, labels = F.normalize(features, dim=1), digits.labels[split.test]
    assert found.row["test_auc"] == pytest.approx(verification_auc(unit, labels), abs=1e-6)
    assert found.row["test_map_at_r"] == pytest.approx(map_at_r(unit, labels), abs=1e-6)
    stored = [row["embedding"] for row in found.tables["embeddings"] if row["split"] == "test"]
    torch.testing.assert_close(torch.tensor(np.stack(stored)), unit)
    for column in ("test_auc", "unseen_auc", "test_fitted_svm_accuracy", "test_fitted_knn_accuracy"):
        assert found.row[column] != of_arcface.row[column]
    for column in ("test_accuracy", "test_pixels_auc", "test_pixels_fitted_knn_accuracy", "test_sha256"):
        assert found.row[column] == of_arcface.row[column]


def test_the_trained_heads_accuracy_is_counted_by_class_and_in_all(
    of_arcface: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    split = digits.split(ARCFACE)
    z = embed(network, digits.images[split.test])
    proxies = Objective.of(ARCFACE, classes=split.classes).base.head.weight
    cosine = F.cosine_similarity(z[:, None], proxies[None], dim=2)
    right: dict[int, list[bool]] = {}
    for image, row in zip(split.test.tolist(), cosine.tolist(), strict=True):
        label = int(digits.labels[image])
        right.setdefault(label, []).append(int(split.classes[row.index(max(row))]) == label)
    groups = {row["class_id"]: row for row in of_arcface.tables["eval_groups"] if row["metric"] == "accuracy"}
    assert set(groups) == set(split.classes.tolist())
    for label, hits in right.items():
        mean = sum(hits) / len(hits)
        assert (groups[label]["value"], groups[label]["n"]) == (pytest.approx(mean), len(hits))
        assert groups[label]["se"] == pytest.approx(math.sqrt(mean * (1 - mean) / (len(hits) - 1)))
        assert (groups[label]["split"], groups[label]["class_name"]) == ("test", str(label))
    everyone = [hit for hits in right.values() for hit in hits]
    whole = evaluations_of(of_arcface)["accuracy"]
    assert (whole["value"], whole["n_pairs"]) == (pytest.approx(sum(everyone) / len(everyone)), len(everyone))
    assert of_arcface.row["test_accuracy"] == whole["value"]
    assert "accuracy" not in evaluations_of(of_arcface, "unseen")


def test_losses_without_a_head_have_no_accuracy(found: HeldOut) -> None:
    assert {"test_accuracy", "unseen_accuracy", "test_fitted_svm_accuracy"}.isdisjoint(found.row)


def test_classifiers_are_fitted_to_every_training_image_and_tested_on_the_test_split(
    of_arcface: HeldOut, network: EmbeddingNetwork, digits: DeviceData
) -> None:
    split = digits.split(replace(ARCFACE, subset=70))  # what is trained on does not limit what is fitted to
    x, t = (embed(network, digits.images[index]).numpy() for index in (split.train, split.test))
    y, truth = digits.labels[split.train].numpy(), digits.labels[split.test].numpy()
    svm = make_pipeline(StandardScaler(), LinearSVC(dual=False)).fit(x, y)
    knn = KNeighborsClassifier(10, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07)).fit(x, y)
    rows = evaluations_of(of_arcface)
    for kind, peer in (("svm", svm), ("knn", knn)):
        row = rows[f"fitted_{kind}_accuracy"]
        assert (
            row["value"]
            == pytest.approx(peer.score(t, truth), abs=1.5 / len(truth))
            == of_arcface.row[f"test_fitted_{kind}_accuracy"]
        )
        assert (row["n_pairs"], row["checkpoint"]) == (len(truth), "final")
    assert rows["fitted_knn_accuracy"]["k"] == 10
    x, t = (digits.images[index].flatten(1).double().numpy() for index in (split.train, split.test))
    peer = KNeighborsClassifier(10, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07)).fit(x, y)
    assert rows["pixels_fitted_knn_accuracy"]["value"] == pytest.approx(peer.score(t, truth), abs=1.5 / len(truth))
    assert 0.9 < rows["pixels_fitted_svm_accuracy"]["value"] < 1  # digits are nearly linear


def test_raw_pixels_are_ranked_like_embeddings(of_arcface: HeldOut, digits: DeviceData) -> None:
    split = digits.split(ARCFACE)
    for name, index in (("test", split.test), ("unseen", split.unseen)):
        pixels, labels = digits.images[index].flatten(1).float(), digits.labels[index]
        row = of_arcface.row
        assert row[f"{name}_pixels_auc"] == pytest.approx(verification_auc(pixels, labels), abs=1e-6)
        assert row[f"{name}_pixels_recall_at_1"] == pytest.approx(recall_at_k(pixels, labels, k=1), abs=1e-6)
        assert row[f"{name}_pixels_map_at_r"] == pytest.approx(map_at_r(pixels, labels), abs=1e-6)
        vote = retrieval.knn_accuracy(pixels, labels, pixels, labels, k=20, exclude_self=True)
        assert row[f"{name}_pixels_knn_accuracy"] == pytest.approx(vote.value, abs=1e-6)


def test_training_images_are_shown_in_the_plane_alone(of_arcface: HeldOut, digits: DeviceData) -> None:
    split = digits.split(ARCFACE)
    rows = [row for row in of_arcface.tables["views"] if row["split"] == "train"]
    assert {row["view"] for row in rows} == {"pca"}
    assert len(rows) == len(split.test) < len(split.train)
    assert len({row["image_index"] for row in rows}) == len(rows)
    for row in rows:
        assert row["class_id"] == int(digits.labels[split.train[row["image_index"]]])
    keys = [(row["split"], row["view"], row["item"], row["rank"]) for row in of_arcface.tables["views"]]
    assert len(set(keys)) == len(keys)


def test_the_head_and_classifiers_are_asked_about_test_images_of_classes_trained_on_alone(
    network: EmbeddingNetwork, digits: DeviceData
) -> None:
    config = TrainConfig(loss="arcface", classifiers=True, views="pca", val_by="class")
    found, split = evaluated(network, digits, config), digits.split(config)
    assert len(split.val_classes) == 2
    labels = digits.labels[split.test]
    trained = torch.isin(labels, split.classes)
    rows = evaluations_of(found)
    for metric in ("accuracy", "fitted_svm_accuracy", "fitted_knn_accuracy", "pixels_fitted_knn_accuracy"):
        assert rows[metric]["n_pairs"] == trained.sum() < len(labels)
    assert rows["recall"]["n_pairs"] == len(labels)
    head = Objective.of(config, classes=split.classes).base
    own = split.test[trained]
    right = head.predicted(embed(network, digits.images[own])) == digits.labels[own]
    assert rows["accuracy"]["value"] == pytest.approx(right.double().mean().item())
    groups = {row["class_id"] for row in found.tables["eval_groups"] if row["metric"] == "accuracy"}
    assert groups == set(split.classes.tolist())
    assert "2 classes held out for validation" in found.row["classes_tested"]


# Colours


class Colours(torch.nn.Module):
    """A backbone that sees nothing but pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture(scope="module")
def colour_blind() -> tuple[EmbeddingNetwork, HeldOutImages]:
    """Red images, and images of the grey that red turns into; embedded as their mean colour."""
    labels = torch.tensor([0] * 12 + [1] * 8 + [2])  # the last one is alone in its class
    images = torch.zeros(21, 3, 4, 4, dtype=torch.uint8)
    images[:12, 0] = 255
    images[12:20] = 76
    images[20, 2] = 255
    half = torch.full((3,), 0.5)
    network = EmbeddingNetwork(
        Colours(), MeanPool(), torch.nn.Identity(), image_shape=(3, 4, 4), feature_shape=torch.Size((3, 4, 4)),
        mean=half, std=half, precision="float32",
    )  # fmt: skip
    test = ImageSet(images, labels, ("red", "grey", "blue"))
    return network, HeldOutImages({"test": test}, ImageSubset(images, torch.arange(21), labels))


def test_a_class_known_by_its_colour_is_lost_in_grey(
    colour_blind: tuple[EmbeddingNetwork, HeldOutImages],
) -> None:
    network, images = colour_blind
    config = TrainConfig(views="pca")
    found = judged(network, Objective.of(config, classes=torch.arange(3)), images, config)
    rows = evaluations_of(found)
    assert (rows["hit_rate"]["value"], rows["hit_rate"]["se"]) == (1, 0)
    grey = rows["hit_rate_grey"]
    assert (grey["value"], grey["k"], grey["n_pairs"]) == (pytest.approx(8 / 20), 5, 20)  # the grey ones alone
    assert grey["se"] == pytest.approx(math.sqrt(0.4 * 0.6 / 19))
    sheet = [row for row in found.tables["views"] if row["view"] == "neighbours_grey" and row["rank"]]
    assert {row["class_id"] for row in sheet} >= {0, 1}
    assert {row["other_class_id"] for row in sheet if row["class_id"] in (0, 1)} == {1}


def test_grey_images_have_no_colour_to_lose(
    colour_blind: tuple[EmbeddingNetwork, HeldOutImages], found: HeldOut
) -> None:
    network, images = colour_blind
    grey = replace(images.parts["test"], images=images.parts["test"].images[:, :1].expand(-1, 3, -1, -1))
    config = TrainConfig(views="pca")
    objective = Objective.of(config, classes=torch.arange(3))
    for one in (found, judged(network, objective, images._replace(parts={"test": grey}), config)):
        assert not any(row["metric"].startswith("hit_rate") for row in one.tables["evaluations"])
        assert not any(row["view"] == "neighbours_grey" for row in one.tables["views"])


@pytest.mark.slow
def test_a_run_ends_with_all_of_it(small: Small, digits: DeviceData, tmp_path: Path) -> None:
    config = small(loss="softmax", epochs=2, eval_test=True, classifiers=True, views="pca", held_out_layer="backbone")
    *_, last = train(config, save_to=tmp_path / "run.pt", data=digits)
    tables = result_tables.read(result_tables.beside(tmp_path / "run.pt"))
    metrics = {row["metric"]: row["value"] for row in tables["evaluations"]}
    assert set(metrics) == {
        "auc", "recall", "map_at_r", "knn_accuracy", "positive_pairs", "negative_pairs", "accuracy",
        "fitted_svm_accuracy", "fitted_knn_accuracy", "pixels_fitted_svm_accuracy", "pixels_fitted_knn_accuracy",
        "pixels_auc", "pixels_recall", "pixels_map_at_r", "pixels_knn_accuracy",
    }  # fmt: skip
    for metric, value in metrics.items():
        assert last[f"test_{metric}" + ("_at_1" if metric.endswith("recall") else "")] == value
    assert metrics["fitted_svm_accuracy"] > 0.8  # two epochs of 70 images, but fitted to 1,150
    assert {row["split"] for row in tables["views"]} == {"test", "train"}
    assert {len(row["embedding"]) for row in tables["embeddings"]} == {128}


@pytest.mark.slow
def test_pixels_are_measured_once_per_machine(
    network: EmbeddingNetwork, digits: DeviceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(UNSEEN, views="pca", classifiers=True)

    def of_pixels() -> list[Row]:
        return [row for row in evaluated(network, digits, config).tables["evaluations"] if "pixels" in row["metric"]]

    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    measured = []
    monkeypatch.setattr(pixels, "raw_pixels", lambda images: measured.append(len(images)) or raw_pixels(images))
    first, images = of_pixels(), sum(measured)
    assert {row["metric"] for row in first} >= {"pixels_auc", "pixels_fitted_svm_accuracy"}
    assert of_pixels() == first
    assert sum(measured) == images + 1  # one image is looked at for its size
    monkeypatch.setenv("EMBED_CACHE_DIR", "/proc/nothing/can/be/written")
    assert of_pixels() == first
