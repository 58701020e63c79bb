"""What the level 0 tests of the core share: digits on the device, and Parquet sets written on the spot."""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData

# Tiny batches gain nothing from a second thread and lose much where another process wants the core.
torch.set_num_threads(1)

WriteSet = Callable[..., Path]


@pytest.fixture(scope="session")
def digits() -> DeviceData:
    return DeviceData.load(TrainConfig(), torch.device("cpu"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A decode cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EMBED_CACHE_DIR", str(folder))
    return folder


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def write_set(tmp_path: Path, cache: Path) -> WriteSet:
    """`write_set(images, labels, name=, split=, metadata=)` -> file in the Hugging Face layout below `tmp_path`."""

    def write(
        images: Sequence[np.ndarray | bytes],
        labels: Sequence[int | None],
        *,
        name: str = "mine",
        split: str = "train",
        metadata: dict[str, str] | None = None,
    ) -> Path:
        rows = [{"bytes": png(i) if isinstance(i, np.ndarray) else i, "path": f"{n}.png"} for n, i in enumerate(images)]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels, pa.int64())})
        file = tmp_path / name / f"{split}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata(metadata), file)
        return file

    return write


@pytest.fixture
def colour_set(write_set: WriteSet, tmp_path: Path) -> Path:
    """Root of the set `mine`: 80 + 20 colour images of 8x8 in two classes that differ in brightness."""
    draws = np.random.default_rng(0)
    for split, n in (("train", 80), ("test", 20)):
        labels = [i % 2 for i in range(n)]
        images = [draws.integers(0, 128, (8, 8, 3), dtype=np.uint8) + 100 * label for label in labels]
        write_set([image.astype(np.uint8) for image in images], labels, split=split)
    return tmp_path


@pytest.fixture
def real_root() -> Callable[[str], Path]:
    """Root of the real sets, or a skip with the reason."""

    def root(name: str) -> Path:
        folder = os.environ.get("EMBED_DATA_ROOT")
        if not folder or not (Path(folder) / name / "train.parquet").is_file():
            pytest.skip(f"EMBED_DATA_ROOT={folder} holds no {name}/train.parquet")
        return Path(folder)

    return root


def config(**settings: Any) -> TrainConfig:
    """A small run on digits."""
    return TrainConfig(**{"subset": 70, "batch_size": 32, "epochs": 3, **settings})


@pytest.fixture
def small() -> Callable[..., TrainConfig]:
    return config
