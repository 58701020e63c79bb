"""Data sets in an object store are those of a folder, and come to a machine once."""

from pathlib import Path

import pytest
import torch
from pyarrow import fs

from embedding_core.data import load
from embedding_core.data.image_sets import resolve_root
from embedding_core.errors import Faults
from embedding_core.storage.local_cache import cache_dir


def test_a_set_in_a_bucket_is_read_through_the_nodes_cache(
    bucket: str, colour_set: Path, cache: Path, tmp_path: Path
) -> None:
    store, root = fs.FileSystem.from_uri(f"{bucket}/data")

    def upload() -> None:
        fs.copy_files(str(colour_set / "mine"), f"{root}/mine", destination_filesystem=store)

    upload()
    for split in ("train", "test"):
        here, there = load("mine", colour_set, split=split), load("mine", f"{bucket}/data", split=split)
        assert torch.equal(here.images, there.images)
        assert torch.equal(here.labels, there.labels)
    copies = [path for path in cache_dir().rglob("*.parquet") if path.parent.name == "mine"]
    assert sorted(path.name for path in copies) == ["test.parquet", "train.parquet"]
    (colour_set / "mine" / "train.parquet").write_bytes((colour_set / "mine" / "test.parquet").read_bytes())
    upload()
    assert len(load("mine", f"{bucket}/data").labels) == len(load("mine", f"{bucket}/data", split="test").labels)


def test_what_is_not_in_the_bucket_is_named(bucket: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Faults, match="has no files in `cifar10`: put a folder of Parquet files"):
        load("cifar10", bucket)
    with pytest.raises(Faults, match="cannot be read"):
        load("mine", "nowhere://bucket")
    monkeypatch.setenv("EMBED_DATA_ROOT", bucket)
    assert resolve_root(None) == bucket
    assert len(load("digits").labels) == 1797  # needs none
