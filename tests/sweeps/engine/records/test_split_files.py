"""The splits of a sweep on the disk, each once."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from sweeps.engine.records import split_files


@pytest.fixture(scope="module")
def digits() -> DeviceData:
    return DeviceData.load(TrainConfig(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "splits"),
    [
        ([{"seed": 1}, {"seed": 2}, {"seed": 2, "lr": 0.1}], 2),
        ([{"seed": seed, "split_seed": 1000} for seed in (1001, 1002, 1501)], 1),
        ([{"seed": 1, "split_seed": 0}, {"seed": 1, "split_seed": 1000}], 2),
        ([{"val_images": 2500}, {"val_images": 100}, {"val_images": 9999}], 2),
        ([{"val_share": 0.2}, {"val_share": 0.3}, {"loss": "softmax"}, {"max_images_per_class": 20}], 3),
        ([{"val_by": "image"}, {"val_by": "class"}], 2),
        ([{"unseen_classes": 2}, {"seen_classes": 4, "unseen_classes": 2}, {"triplets": "study"}], 3),
    ],
)
def test_every_split_is_written_once_under_the_hash_of_its_trials(
    digits: DeviceData, tmp_path: Path, settings: list[dict[str, Any]], splits: int
) -> None:
    configs = [TrainConfig(**one) for one in settings]
    split_files.write(tmp_path, digits, configs)
    files = {path.stem: pq.read_table(path).to_pylist() for path in (tmp_path / "splits").iterdir()}
    assert len(files) == splits
    assert set(files) == {digits.split(config).sha256 for config in configs}
    for config in configs:
        split = digits.split(config)
        stored = [row["index"] for row in files[split.sha256] if row["split"] == "val"]
        assert stored == split.val.tolist()
