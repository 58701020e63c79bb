"""Data sets that are one step from what is read: no traceback, and nothing is guessed in silence."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedding_core.data.broken_images import left_out
from embedding_core.data.image_sets import load, told
from embedding_core.data.readers.folders import ClassFolders
from embedding_core.errors import Faults
from tests.embedding_core.data.readers.test_hub_layouts import write
from tests.embedding_core.data.readers.test_layouts import images


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def without_folders_in_splits(root: Path) -> None:
    images(root, classes=("train", "val"))


def without_folders_in_splits_beside_another(root: Path) -> None:
    images(root, classes=("extra", "test", "train"))


def splits_within_classes(root: Path) -> None:
    for name in ("cat", "cow"):
        images(root / name, classes=("train", "test"))


def a_link_to_the_whole(root: Path) -> None:
    images(root)
    (root / "all").symlink_to(root)


def a_class_twice(root: Path) -> None:
    images(root)
    (root / "kitten").symlink_to(root / "cat")


def links_to_one_folder(root: Path) -> None:
    images(root.parent / "elsewhere", classes=("cat",))
    images(root)
    for name in ("one", "two"):
        (root / name).symlink_to(root.parent / "elsewhere" / "cat")


def packed(root: Path) -> None:
    images(root / "set")
    shutil.make_archive(str(root / "train"), "zip", root / "set")
    shutil.rmtree(root / "set")


def loose(root: Path) -> None:
    images(root)
    for file in sorted(root.rglob("*.png")):
        file.rename(root / f"{file.parent.name}_{file.name}")
        if not any(file.parent.iterdir()):
            file.parent.rmdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (without_folders_in_splits, r"holds the splits train, val, but no class folders in train:"),
        (without_folders_in_splits_beside_another, r"holds the splits test, train, but no class folders in train:"),
        (splits_within_classes, r"cat holds the splits test, train: a split must hold the classes \(test/cat\)"),
        (a_link_to_the_whole, r"set/all is a link to .*/set, which has images of another class"),
        (a_class_twice, r"kitten is a link to .*/cat, which has images of another class"),
        (links_to_one_folder, r"one is a link to .*/cat, which has .*\n.*two is a link to"),
        (packed, r"holds no class folders of images, but 1 \.zip\."),
        (loose, r"holds no class folders of images, but 6 images\."),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    with pytest.raises(Faults, match=said):
        load("folder:set", tmp_path)


@pytest.mark.parametrize("other", ["test/cat", "train/cat"])
def test_a_test_class_that_is_a_link_to_another_is_refused_and_one_to_its_own_is_read(
    tmp_path: Path, other: str
) -> None:
    images(tmp_path / "train", classes=("cat", "dog"))
    images(tmp_path / "test", classes=("cat",))
    link = tmp_path / "test" / "dog"
    link.symlink_to(tmp_path / other)
    with pytest.raises(Faults, match=rf"test/dog is a link to .*/{other}, which has images of another class"):
        load(f"folder:{tmp_path}", split="test")
    link.unlink()
    link.symlink_to(tmp_path / "train" / "dog")
    assert load(f"folder:{tmp_path}", split="test").labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["Cat", "cat ", "CAT"])
def test_a_test_class_that_is_nearly_a_training_class_is_refused(tmp_path: Path, name: str) -> None:
    images(tmp_path / "train")
    images(tmp_path / "test", classes=(name, "COW"))
    with pytest.raises(Faults, match=r"is a class without a training folder \('cat' is one; "):
        load(f"folder:{tmp_path}", split="test")


def test_classes_that_are_nearly_one_are_told(tmp_path: Path) -> None:
    images(tmp_path / "letters", classes=("A", "a", "b"))
    said = "classes whose names differ in case, blanks or encoding alone: "
    assert f"{said}'A', 'a'" in ClassFolders(tmp_path / "letters").told()
    write(tmp_path / "set" / "train.parquet", ["caf\u00e9", "cafe\u0301", "bar", "bar"])
    assert f"{said}'cafe\\u0301', 'caf\\xe9'" in told("set", tmp_path)
    images(tmp_path / "deep" / "one", classes=("left", "right"))
    images(tmp_path / "deep" / "two", classes=("left",))
    assert "those of folders within class folders among them: left, right" in ClassFolders(tmp_path / "deep").told()


def test_what_is_told_is_one_line_whatever_classes_are_called(tmp_path: Path) -> None:
    images(tmp_path, classes=("a\nb", "c\td"))
    assert told(f"folder:{tmp_path}") == "4 train images of 2 classes (a b 2, c d 2)"


def test_what_is_told_is_text_whatever_files_and_folders_are_called(tmp_path: Path) -> None:
    latin = "s\udcfcd"  # how Python names a file whose bytes are no UTF-8
    images(tmp_path / "pets" / "cat", classes=("in\nner", latin))
    images(tmp_path / "pets", classes=("dog",))
    (tmp_path / "pets" / f"list.{latin}").touch()
    said = told("folder:pets", tmp_path)
    assert "among them: in ner, s\\udcfcd)" in said
    assert said.endswith("passed over: 1 .s\\udcfcd")
    assert left_out({"train": (f"{tmp_path}/{latin}.png is not an image: no bytes.",)}, tmp_path) == (
        "1 train image cannot be decoded and is left out: s\\udcfcd.png"
    )


def test_what_is_there_once_is_told_in_the_singular(tmp_path: Path) -> None:
    images(tmp_path / "pets", n=1, classes=("cat",))
    shutil.copy(tmp_path / "pets" / "cat" / "0.png", tmp_path / "pets")
    assert told("folder:pets", tmp_path) == (
        "1 train image of 1 class (cat 1); passed over: 1 image beside the class folders"
    )
    write(tmp_path / "set" / "train.parquet", ["owl"])
    assert told("set", tmp_path).startswith("1 train image of 1 class (owl 1) of train.parquet")


def test_labels_of_two_kinds_in_two_splits_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.parquet", ["owl", "cat"])
    write(tmp_path / "set" / "test.parquet", [0, 1])
    with pytest.raises(Faults, match=r"Labels of .*train\.parquet are names, but those of .*test\.parquet are numbers"):
        load("set", tmp_path, split="test")


def test_names_of_two_splits_that_are_nearly_the_same_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.parquet", ["owl", "cat"])
    write(tmp_path / "set" / "test.parquet", ["Owl", "Cat"])
    with pytest.raises(Faults, match="must have the same names, but 'cat' stands against 'Cat'"):
        load("set", tmp_path, split="test")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["", "cat", "cat"], "1 row has no label"),
        (pa.array([2**64 - 1, 0, 1], pa.uint64()), "labels must fit int64, but the largest is 18446744073709551615"),
        ([-1, 0, 1], "the first is -1 in row 0. Leave rows out whose class is not known"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: Any, said: str) -> None:
    write(tmp_path / "set" / "train.parquet", labels)
    with pytest.raises(Faults, match=said):
        load("set", tmp_path)


def test_parquet_files_beside_those_that_are_read_are_told(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        write(tmp_path / "set" / f"{name}.parquet", [0, 1])
    write(tmp_path / "set" / "data" / "train-00000-of-00001.parquet", [0, 1])
    assert told("set", tmp_path).endswith("; passed over: data/train-00000-of-00001.parquet, val.parquet")


def test_classes_of_one_name_are_counted_apart(tmp_path: Path) -> None:
    file = write(tmp_path / "set" / "train.parquet", [0, 1, 1, 2])
    names = pq.read_table(file).replace_schema_metadata({"class_names": '["crane", "crane", "owl"]'})
    pq.write_table(names, file)
    assert "4 train images of 3 classes (crane (0) 1, crane (1) 2, owl 1)" in told("set", tmp_path)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("set/data/0000.parquet", "set holds data/0000.parquet, but its files must be called train.parquet"),
        ("set/data/train-0-of-1.parquet", "set holds data/train-0-of-1.parquet, but its files must be called"),
        ("set/default/train.parquet", r"too deep for the data set `set`: name `set/default` as the data set\.$"),
        ("set/a/b/valid-00000-of-00001.parquet", "too deep for the data set `set`: name `set/a/b` as the data set"),
        ("set/default/train/0000.parquet", "set holds default/train/0000.parquet, but its files must be called"),
        ("set.zip", "set.zip is an archive: unpack it"),
        ("set/cat/0.png", "a set of class folders is called `folder:set`"),
        ("set/a/b/c/d.parquet", "a set of class folders is called `folder:set`"),  # no tree is searched to its end
    ],
)
def test_a_name_under_which_something_else_lies_says_what(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(np.zeros(9).tobytes())
    with pytest.raises(Faults, match=said):
        load("set", tmp_path)
    with pytest.raises(Faults, match=re.sub("([`:])set", rf"\1{tmp_path}/set", said)):
        load(str(tmp_path / "set"), tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["/nonexistent/pets", "", "."])
def test_a_path_that_is_no_data_set_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(Faults, match=r"holds folders and no Parquet files|Unknown data set"):
        load(name, tmp_path)
