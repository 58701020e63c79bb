"""The splits of a sweep, stored by index."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData


def write(folder: Path, data: DeviceData, configs: Iterable[TrainConfig]) -> None:
    """Write the split of each block among these configurations to `splits/`, under the hash that its trials carry."""
    target = folder / "splits"
    target.mkdir(exist_ok=True)
    for config in {config.seed: config for config in configs}.values():
        split = data.split(config)
        parts = {"train": split.train, "val": split.val, "test": split.test, "unseen": split.unseen}
        table = pa.table(
            {
                "split": pa.array([name for name, index in parts.items() for _ in index]).dictionary_encode(),
                "index": pa.array([i for index in parts.values() for i in index.tolist()], pa.int64()),
            }
        )
        pq.write_table(table, target / f"{split.sha256}.parquet", compression="zstd")
