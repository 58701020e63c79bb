"""The driver's part in frozen features: it fills the cache before a local sweep; a plan only says what that takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.models.network import EmbeddingNetwork
from embedding_core.train import train
from sweeps.cli import feature_cache
from sweeps.design.plan import Plan
from sweeps.design.runs import confirm_base
from sweeps.koleo_accum import DESIGN

SETTINGS: dict[str, Any] = {
    "preset": "features", "dataset": "digits", "subset": 64, "val_images": 60, "epochs": 2, "image_size": 16,
    "views": "none",
}  # fmt: skip


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    return Plan.of(DESIGN, SETTINGS)


@pytest.fixture
def data(plan: Plan) -> DeviceData:
    return DeviceData.load(TrainConfig(dataset="digits", image_size=16), torch.device("cpu"))


@pytest.mark.slow
def test_nothing_is_left_for_the_trials_to_compute(
    plan: Plan, data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_cache.compute(plan, data, Console(quiet=True))
    assert feature_cache.missing(plan, data) == []
    monkeypatch.setattr(EmbeddingNetwork, "pooled", lambda self, images: pytest.fail("the backbone was run"))
    cell = plan.cells[0]
    rows = list(train(TrainConfig.from_flat({**confirm_base(plan, 1), **cell.drop_in, **cell.settings})))
    assert rows[-1]["end_reason"] == "completed"


@pytest.mark.slow
def test_a_plan_says_what_features_take_and_computes_none(plan: Plan, data: DeviceData) -> None:
    wanted = feature_cache.missing(plan, data)
    images = [each.images for each in wanted]
    assert images == [1797, len(data.split(TrainConfig()).test)]
    seconds, kept = feature_cache.seconds_and_bytes(wanted)
    assert seconds > 0
    assert kept == sum(images) * 1280 * 4
    assert len(feature_cache.missing(plan, data)) == len(wanted)


def test_drawn_weights_are_left_to_the_trials(data: DeviceData) -> None:
    assert feature_cache.missing(Plan.of(DESIGN, {**SETTINGS, "weights": "none"}), data) == []


def test_a_preset_that_never_trains_its_backbone_keeps_to_that(plan: Plan) -> None:
    assert plan.base["freeze_epochs"] == plan.base["epochs"] == 2
    assert Plan.of(DESIGN, {**SETTINGS, "epochs": 30}).base["freeze_epochs"] == 30
    assert Plan.of(DESIGN, {**SETTINGS, "freeze_epochs": 1}).base["freeze_epochs"] == 1
