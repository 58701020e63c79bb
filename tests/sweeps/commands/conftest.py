"""A sweep of one trial that was really trained, in this process."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.train import train
from sweeps.engine.records.provenance import Provenance
from sweeps.results.schema import CURVES, TRIALS
from sweeps.results.store import Store

CONFIG = TrainConfig(subset=96, batch_size=32, embedding_dim=16, epochs=2, views="none", device="cpu")
PLAN = {
    "stages": ["confirm"], "samples": 0, "points": 0,
    "cells": [{"cell_id": "koleo=off", "role": "factorial", "blocks": 2}],
}  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder: `t00000` of the stage confirm has completed, one more is planned."""
    folder = tmp_path_factory.mktemp("results") / "trained"
    store = Store.create(folder)
    (folder / "plan.json").write_text(json.dumps(PLAN))
    rows = list(train(CONFIG))
    ids = {"trial_id": "t00000", "attempt": 1}
    curve = [{name: value for name, value in row.items() if name in CURVES.names} for row in rows]
    store.write("curves", "confirm", "t00000", 1, curve)
    here, now = Provenance.here(), datetime.now(UTC)
    final = {
        **{name: value for name, value in rows[-1].items() if name in TRIALS.names},
        **CONFIG.to_flat(),
        **ids,
        "study_id": "trained",
        "cell_id": "koleo=off",
        "block": 1,
        "config_json": CONFIG.to_json(),
        "config_sha256": CONFIG.sha256,
        "end_reason": "completed",
        "last_epoch": CONFIG.epochs,
        "final_val_auc": rows[-1]["val_auc"],
        "wall_s": 2.0,
        "gpu_share": 0.0,
        "cpu_threads": torch.get_num_threads(),
        "versions": here.versions,
        "git_sha": here.git_sha,
        "started_at": now,
        "ended_at": now,
        "hostname": "h",
    }
    store.write("trials", "confirm", "t00000", 1, [final])
    return folder
