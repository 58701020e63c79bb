"""Training on some classes, testing on others: what is measured, what is left out, what is refused before training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.datasets import load_digits

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.embed import load_model
from embedding_core.errors import Faults
from embedding_core.evaluation import probes
from embedding_core.evaluation.embedding import embed
from embedding_core.evaluation.held_out_sets import held_out_images
from embedding_core.metrics.retrieval import knn_accuracy, map_at_r, recall_at_k
from embedding_core.metrics.verification import verification_auc
from embedding_core.storage import result_tables
from embedding_core.train import train

CPU = torch.device("cpu")


@pytest.fixture
def config(write_set: Callable[..., Path], tmp_path: Path) -> TrainConfig:
    """A run on twelve classes of ten images, tested on forty of two or three."""
    draws = np.random.default_rng(0)
    for split, labels in (
        ("train", [c for c in range(12) for _ in range(10)]),
        ("test", [c for c in range(12, 52) for _ in range(2 + c % 2)]),
    ):
        centres = draws.integers(0, 200, (52, 8, 8))
        images = [(centres[c] + draws.integers(0, 56, (8, 8))).astype(np.uint8) for c in labels]
        write_set(images, labels, split=split)
    return TrainConfig(
        dataset="mine", data_root=str(tmp_path), loss="semihard", val_by="class", epochs=2, batch_size=32,
        embedding_dim=8, eval_test=True,
    )  # fmt: skip


def finished(config: TrainConfig, folder: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Last row and longer results."""
    *_, last = train(config, save_to=folder / "run.pt")
    return last, result_tables.read(result_tables.beside(folder / "run.pt"))


def test_every_test_image_is_measured_by_retrieval_verification_and_the_vote_of_the_others(
    config: TrainConfig, tmp_path: Path
) -> None:
    last, tables = finished(config, tmp_path)
    data = DeviceData.load(config, CPU)
    test = data.test(data.split(config))
    z = embed(load_model(tmp_path / "run.pt"), test.images)
    expected = {
        "test_auc": verification_auc(z, test.labels),
        "test_map_at_r": map_at_r(z, test.labels),
        "test_knn_accuracy": knn_accuracy(z, test.labels, z, test.labels, k=20, exclude_self=True).value,
        **{f"test_recall_at_{k}": recall_at_k(z, test.labels, k=k) for k in (1, 2, 4, 8)},
    }
    assert {name: last[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    recalls = {row["k"]: row for row in tables["evaluations"] if row["metric"] == "recall"}
    assert list(recalls) == [1, 2, 4, 8]
    assert {row["n_pairs"] for row in recalls.values()} == {len(test.labels)} == {100}
    assert all(row["split"] == "test" and row["se"] > 0 for row in recalls.values())
    assert last["classes_tested"].startswith(
        "class-disjoint: 100 test images of 40 classes of their own, none of the 10"
    )


@pytest.mark.slow
def test_of_classes_that_no_one_trained_on_recall_and_map_at_r_are_pytorch_metric_learnings(
    write_set: Callable[..., Path], tmp_path: Path
) -> None:
    """Trained on the digits 0 to 4, tested on 5 to 9."""
    digits = load_digits()
    for split, own in (("train", digits.target < 5), ("test", digits.target >= 5)):
        write_set(list((digits.images[own] * 15).astype(np.uint8)), digits.target[own].tolist(), split=split)
    config = TrainConfig(dataset="mine", data_root=str(tmp_path), loss="semihard", epochs=2, eval_test=True)
    last, _ = finished(config, tmp_path)
    data = DeviceData.load(config, CPU)
    test = data.test(data.split(config))
    assert test.labels.unique().tolist() == [5, 6, 7, 8, 9]
    assert not torch.isin(test.labels, data.labels).any()
    peer = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
    ).get_accuracy(embed(load_model(tmp_path / "run.pt"), test.images), test.labels)
    assert last["test_recall_at_1"] == pytest.approx(peer["precision_at_1"], abs=1e-6)
    assert last["test_map_at_r"] == pytest.approx(peer["mean_average_precision_at_r"], abs=1e-6)
    assert 0.2 < last["test_map_at_r"] < last["test_recall_at_1"] < 1


@pytest.mark.parametrize("loss", ["arcface", "softmax"])
@pytest.mark.parametrize("val_by", ["image", "class"])
def test_a_trained_head_is_asked_about_no_class_that_it_does_not_know(
    config: TrainConfig, tmp_path: Path, loss: str, val_by: str
) -> None:
    last, tables = finished(replace(config, loss=loss, val_by=val_by), tmp_path)
    assert last["end_reason"] == "completed"
    assert "test_accuracy" not in last
    assert not any(row["metric"] == "accuracy" for rows in tables.values() for row in rows)
    assert 0 < last["test_recall_at_1"] <= 1
    known = val_by == "image"
    assert ("val_loss" in last, "val_accuracy" in last) == (known, known)
    assert 0 < last["val_auc"] <= 1


def test_classifiers_are_refused_before_the_first_step(config: TrainConfig) -> None:
    with pytest.raises(Faults) as caught:
        next(train(replace(config, classifiers=True)))
    assert caught.value.faults == (
        "`classifiers` must be false for `mine`, whose 100 test images are of 40 classes of their own, which no "
        "classifier fitted to training images knows.",
    )


@pytest.mark.filterwarnings("ignore:The number of unique classes is greater")
def test_probes_of_a_few_labels_are_drawn_from_the_test_classes_themselves(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tables = finished(replace(config, probes=2), tmp_path)
    assert any(row["metric"] == "probe_linear" for row in tables["evaluations"])
    data = DeviceData.load(config, CPU)
    monkeypatch.setattr(probes, "BUDGETS", (30,))
    with pytest.raises(Faults, match="`probes` must be 0 for 40 test classes: they are fitted to 30 labels at most"):
        held_out_images(data, data.split(config), probes=2)
    assert held_out_images(data, data.split(config)).disjoint


def test_views_are_drawn_of_the_test_classes(config: TrainConfig, tmp_path: Path) -> None:
    _, tables = finished(replace(config, views="pca"), tmp_path)
    assert {row["class_id"] for row in tables["views"] if row["view"] == "ellipse"} <= set(range(12, 52))
    assert len(tables["embeddings"]) == 100
