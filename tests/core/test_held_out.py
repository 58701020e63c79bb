"""Results on held-out images: of the right images, with the right numbers, and handed over whole."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from embedding_core import evaluate, handover
from embedding_core.config import TrainConfig
from embedding_core.device_data import DeviceData
from embedding_core.held_out import HeldOut, held_out, held_out_images
from embedding_core.models import EmbeddingNetwork, build_network
from embedding_core.monitor import embed
from embedding_core.objective import Objective
from embedding_core.train import train

Small = Callable[..., TrainConfig]
UNSEEN = TrainConfig(unseen_classes=3, probes=2, views="pca")


@pytest.fixture(scope="module")
def network(digits: DeviceData) -> EmbeddingNetwork:
    mean, std = digits.scaling(digits.split(UNSEEN))
    return build_network(UNSEEN, shape=digits.shape, mean=mean, std=std, precision="float32")


def evaluated(network: EmbeddingNetwork, digits: DeviceData, config: TrainConfig) -> HeldOut:
    split = digits.split(config)
    objective = Objective.of(config, classes=split.classes)
    return held_out(network, objective, held_out_images(digits, split), config)


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
        assert row[f"{name}_auc"] == pytest.approx(evaluate.verification_auc(z, labels), abs=1e-12)
        assert row[f"{name}_recall_at_1"] == pytest.approx(evaluate.recall_at_k(z, labels, k=1), abs=1e-12)
        assert row[f"{name}_map_at_r"] == pytest.approx(evaluate.map_at_r(z, labels), abs=1e-12)
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
        assert handover.beside(file).exists() == (row["end_reason"] is not None)
    tables = handover.read(handover.beside(file))
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

    monkeypatch.setattr("embedding_core.train.held_out", slow)
    *_, last = train(small(eval_test=True), data=digits)
    assert last["test_auc"] == 0.5
    assert last["elapsed_s"] == 0
