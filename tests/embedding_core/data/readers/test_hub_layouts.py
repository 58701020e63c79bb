"""Parquet sets as the hub stores them and as data frames leave them: read with one class for each label, and told."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedding_core.data.image_sets import load, told
from embedding_core.data.readers.parquet_images import decode_parquet
from embedding_core.errors import Faults

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((3, 3, 3), number % 256, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write(file: Path, labels: Any, *, kind: pa.DataType = STRUCT, names: Sequence[str] = ("image", "label")) -> Path:
    whole = [{"bytes": png(i), "path": None} if pa.types.is_struct(kind) else png(i) for i in range(len(labels))]
    file.parent.mkdir(parents=True, exist_ok=True)
    values = [pa.array(whole, kind), labels if isinstance(labels, pa.Array) else pa.array(labels)]
    pq.write_table(pa.table(dict(zip(names, values, strict=True))), file)
    return file


@pytest.mark.parametrize("folder", ["plain_text", "default", "data", "."])
def test_shards_are_found_where_the_hub_has_them(tmp_path: Path, folder: str) -> None:
    for split, n in (("train", 6), ("validation", 4)):
        write(
            tmp_path / "hub" / folder / f"{split}-00000-of-00001.parquet",
            [0, 1] * (n // 2),
            names=("img", "fine_label"),
        )
    assert len(load("hub", tmp_path).labels) == 6
    assert len(load("hub", tmp_path, split="test").labels) == 4
    line = told("hub", tmp_path)
    assert "6 train images of " in line
    assert "columns img and fine_label; 4 test images of " in line


def test_two_configurations_of_one_set_are_told_apart(tmp_path: Path) -> None:
    for folder in ("small", "large"):
        write(tmp_path / "hub" / folder / "train-00000-of-00001.parquet", [0, 1])
    with pytest.raises(Faults, match="must hold one set, but large, small each hold shards of the train split"):
        load("hub", tmp_path)


@pytest.mark.parametrize("bytes_type", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("in_struct", [True, False])
def test_bytes_of_every_type_are_read(tmp_path: Path, bytes_type: pa.DataType, in_struct: bool) -> None:
    kind = pa.struct([("bytes", bytes_type), ("path", pa.string_view())]) if in_struct else bytes_type
    images, labels, *_ = decode_parquet(write(tmp_path / "a.parquet", [0, 1, 1], kind=kind))
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert labels.tolist() == [0, 1, 1]


def test_labels_that_are_names_are_the_same_classes_in_both_splits(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.parquet", ["owl", "cat", "cow", "cat"])
    write(tmp_path / "set" / "test.parquet", pa.array(["cow", "owl", "cow"]).dictionary_encode())
    train, test = load("set", tmp_path), load("set", tmp_path, split="test")
    assert [train.name_of(label) for label in train.labels.tolist()] == ["owl", "cat", "cow", "cat"]
    assert [test.name_of(label) for label in test.labels.tolist()] == ["cow", "owl", "cow"]
    assert train.class_names == test.class_names == ("cat", "cow", "owl")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=8),
    st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]),
)
def test_whatever_labels_are_called_each_keeps_its_name(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kind: pa.DataType
) -> None:
    labels = pa.array(names).dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else pa.array(names, kind)
    file = write(tmp_path_factory.mktemp("set") / "a.parquet", labels)
    _, numbers, class_names, _ = decode_parquet(file)
    assert [class_names[label] for label in numbers] == names
    assert len(set(class_names)) == len(class_names)


def test_numbers_that_are_no_places_say_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.parquet", [8006315, 12, 40001234])
    with pytest.raises(Faults, match="are read as names where they are stored as text"):
        load("set", tmp_path)
