"""Parquet files of images: columns, shards, classes, and rows that are wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.errors import Faults

WriteSet = Callable[..., Path]


def grey(n: int, h: int = 5, w: int = 7) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 256, (n, h, w), dtype=np.uint8))


def colour(n: int, h: int = 5, w: int = 7) -> list[np.ndarray]:
    return list(np.random.default_rng(2).integers(0, 256, (n, h, w, 3), dtype=np.uint8))


def refused(name: str, root: Path, split: str = "train") -> str:
    with pytest.raises(Faults) as caught:
        load(name, root, split=split)
    return str(caught.value)


def test_a_file_that_is_a_folder_and_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "folder" / "train.parquet").mkdir(parents=True)
    assert "cannot be read: [Errno 21] Is a directory" in refused("folder", tmp_path)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "train.parquet").symlink_to("train.parquet")
    assert "cannot be read: [Errno 40] Too many levels of symbolic links" in refused("loop", tmp_path)


# Parquet


@pytest.mark.parametrize(
    "metadata",
    [
        {"class_names": json.dumps(["cat", "dog", "eel"])},
        {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog", "eel"]}}}})},
    ],
)
def test_class_names_come_from_the_schema(write_set: WriteSet, tmp_path: Path, metadata: dict[str, str]) -> None:
    write_set(grey(2), [0, 1], metadata=metadata)
    assert load("mine", tmp_path).class_names == ("cat", "dog", "eel")


def test_labels_outside_the_class_list_are_counted_and_the_first_is_named(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(4), [0, 5, 1, 2], metadata={"class_names": json.dumps(["cat", "dog"])})
    message = refused("mine", tmp_path)
    assert "2 labels lie outside the 2 classes; the first is 5 in row 1" in message
    write_set(grey(2), [0, -1], name="negative")
    assert "1 label lies outside the 1 class; the first is -1 in row 1" in refused("negative", tmp_path)


PICTURES = pa.array([{"bytes": b"", "path": ""}] * 2)


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"label": pa.array([0, 1])}, ["`image: struct<bytes, path>`", "but its columns are label: int64"]),
        ({"image": pa.array([1, 2]), "label": pa.array([0, 1])}, ["column `image: struct<bytes, path>`"]),
        ({"image": pa.array([{"bytes": 1}] * 2), "label": pa.array([0, 1])}, ["column `image: struct<bytes, path>`"]),
        ({"image": PICTURES}, ["column `label: int64`"]),
        ({"img": pa.array([0, 1]), "label": pa.array([0.5, 1.0])}, ["column `image", "column `label: int64`"]),
        ({"image": PICTURES, "img": PICTURES, "label": pa.array([0, 1])}, ["one column `image"]),
        ({"image": PICTURES, "label": pa.array([0, 1]), "fine_label": pa.array([0, 1])}, ["one column `label"]),
    ],
)
def test_columns_that_are_missing_or_could_be_meant_both(
    tmp_path: Path, columns: dict[str, pa.Array], missing: list[str]
) -> None:
    file = tmp_path / "mine" / "train.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table(columns), file)
    message = refused("mine", tmp_path)
    assert all(part in message for part in [*missing, str(file)])


def test_a_truncated_file(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set(grey(3), [0, 1, 1])
    file.write_bytes(file.read_bytes()[:-40])
    assert f"{file} is not a readable Parquet file (truncated?)" in refused("mine", tmp_path)
    with pytest.raises(Faults, match=r"truncated\?"):
        size_of_test_file_of(file, tmp_path)
    assert not [p for p in cache.iterdir() if p.is_dir()]


def size_of_test_file_of(file: Path, root: Path) -> int | None:
    file.rename(file.with_name("test.parquet"))
    return size_of_test_file(file.parent.name, root)


def test_rows_without_an_image_or_label_are_named(write_set: WriteSet, tmp_path: Path) -> None:
    images: list[np.ndarray | bytes] = [*grey(2), b"no image", b""]
    write_set(images, [0, 1, 1, 0])
    message = refused("mine", tmp_path)
    assert "row 2 is not an image: cannot identify" in message
    assert "row 3 is not an image" in message
    write_set([b"x"] * 9, [0] * 9, name="many")
    message = refused("many", tmp_path)
    assert message.count("\n") == 6
    assert "4 more rows are not images; all are listed in " in message
    write_set(grey(2), [0, None], name="unlabelled")
    assert "1 row has no label" in refused("unlabelled", tmp_path)
    write_set([], [], name="empty")
    assert "has no rows" in refused("empty", tmp_path)


def test_a_cut_off_image_is_named(write_set: WriteSet, tmp_path: Path) -> None:
    file = write_set(grey(2, 40, 40), [0, 1])
    encoded = pq.read_table(file)["image"][1]["bytes"].as_py()
    write_set([grey(1, 40, 40)[0], encoded[: len(encoded) // 2]], [0, 1])
    assert "row 1 is not an image" in refused("mine", tmp_path)


# Shards


def write_shards(write_set: WriteSet, folder: Path, shards: dict[str, int]) -> None:
    """Shards of one grey image each, as bright as the number says, of the class of that number."""
    folder.mkdir(parents=True)
    for name, i in shards.items():
        write_set([np.full((4, 4), i, np.uint8)] * 2, [i, i], name="shard").rename(folder / name)


def test_shards_are_read_in_order(write_set: WriteSet, tmp_path: Path) -> None:
    names = {
        "train-00001-of-00002-0a1b.parquet": 7,
        "train-00000-of-00002-9c.parquet": 3,
        "test-00000-of-00001.parquet": 5,
    }
    write_shards(write_set, tmp_path / "mine" / "data", names)
    data = load("mine", tmp_path)
    assert data.labels.tolist() == [3, 3, 7, 7]
    assert data.images[:, 0, 0, 0].tolist() == [3, 3, 7, 7]
    assert size_of_test_file("mine", tmp_path) == 2
    assert load("mine", tmp_path, split="test").labels.tolist() == [5, 5]


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002.parquet"],
        ["train-00000-of-00001-aa.parquet", "train-00000-of-00001-bb.parquet"],
        ["train-00000-of-00002.parquet", "train-00001-of-00003.parquet"],
    ],
)
def test_shards_that_are_missing_or_doubled(write_set: WriteSet, tmp_path: Path, names: list[str]) -> None:
    write_shards(write_set, tmp_path / "mine" / "data", dict.fromkeys(names, 1))
    message = refused("mine", tmp_path)
    assert "must hold every shard of the train split once" in message
    assert all(name in message for name in names)


def test_faults_name_the_shard_and_its_row(write_set: WriteSet, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "data"
    write_shards(write_set, folder, {"train-00000-of-00002.parquet": 0})
    second = write_set([grey(1)[0], b"broken", grey(1)[0]], [0, 0, -1], name="shard")
    second.rename(folder / "train-00001-of-00002.parquet")
    message = refused("mine", tmp_path)
    assert f"{folder / 'train-00001-of-00002.parquet'}: row 1 is not an image" in message
    assert (
        f"1 label lies outside the 1 class; the first is -1 in {folder / 'train-00001-of-00002.parquet'}: row 2"
        in message
    )


@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "labels"), ("img", "fine_label")])
def test_other_names_of_the_columns(write_set: WriteSet, tmp_path: Path, image: str, label: str) -> None:
    names = {"huggingface": json.dumps({"info": {"features": {label: {"names": ["cat", "dog"]}}}})}
    file = write_set(grey(2), [1, 0], metadata=names)
    table = pq.read_table(file)
    pq.write_table(
        table.rename_columns([image, label])
        .append_column("coarse_label", table["label"])
        .replace_schema_metadata(names),
        file,
    )
    data = load("mine", tmp_path)
    assert data.labels.tolist() == [1, 0]
    assert data.class_names == ("cat", "dog")


# Classes


def test_a_class_of_the_list_may_have_no_images(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 2], metadata={"class_names": json.dumps(["cat", "dog", "eel"])})
    data = load("mine", tmp_path)
    assert data.labels.bincount(minlength=3).tolist() == [1, 0, 1]
    assert len(data.class_names) == 3


def test_splits_whose_classes_differ_are_refused(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 1], metadata={"class_names": json.dumps(["cat", "dog"])})
    write_set(grey(2), [0, 1], metadata={"class_names": json.dumps(["cat", "eel"])}, split="test")
    assert "must be the same, but `dog` stands against `eel`" in refused("mine", tmp_path, "test")
    write_set(grey(2), [0, 1], split="test")  # numbers alone
    assert load("mine", tmp_path, split="test").labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    "metadata",
    [
        {"class_names": "["},
        {"class_names": "[" * 100_000},
        {"class_names": "3"},
        {"class_names": "[1, 2]"},
        {"huggingface": "[]"},
        {"huggingface": json.dumps({"info": {"features": {"label": {"names": "cat"}}}})},
    ],
)
def test_broken_lists_of_classes(write_set: WriteSet, tmp_path: Path, metadata: dict[str, str]) -> None:
    write_set(grey(2), [0, 1], metadata=metadata)
    assert "class names in its schema metadata" in refused("mine", tmp_path)


def test_a_label_beyond_belief_makes_no_list_of_classes(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 2**62])
    assert "1 label lies outside the 1,000,000 classes; the first is 4611686018427387904 in row 1" in refused(
        "mine", tmp_path
    )


def test_unlabelled_images_only_where_the_set_says_so(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(3), [0, 1, -1], name="stl10-unlabelled")
    assert load("stl10-unlabelled", tmp_path).labels.tolist() == [0, 1, -1]
    write_set(grey(3), [0, 1, -2], name="stl10-unlabelled")
    assert "the first is -2 in row 2" in refused("stl10-unlabelled", tmp_path)
    write_set(grey(3), [0, 1, -1], name="stl10")
    assert "the first is -1 in row 2" in refused("stl10", tmp_path)
