"""The splits of a sweep, stored by index."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData

_DRAW: Final = (
    "seed_of_split", "loss", "val_share", "val_by", "val_images", "triplets", "seen_classes", "unseen_classes",
    "max_images_per_class", "duplicates",
)  # fmt: skip
"""What decides which images are drawn."""


def write(folder: Path, data: DeviceData, configs: Iterable[TrainConfig]) -> None:
    """Write each split among these configurations to `splits/`, under the hash that its trials carry."""
    target = folder / "splits"
    target.mkdir(exist_ok=True)
    splits = (data.split(config) for config in _one_of_each(configs))
    for split in {split.sha256: split for split in splits}.values():
        parts = {"train": split.train, "val": split.val, "test": split.test, "unseen": split.unseen}
        table = pa.table(
            {
                "split": pa.array([name for name, index in parts.items() for _ in index]).dictionary_encode(),
                "index": pa.array([i for index in parts.values() for i in index.tolist()], pa.int64()),
            }
        )
        pq.write_table(table, target / f"{split.sha256}.parquet", compression="zstd")


def _one_of_each(configs: Iterable[TrainConfig]) -> Iterable[TrainConfig]:
    return {tuple(getattr(config, name) for name in _DRAW): config for config in configs}.values()
