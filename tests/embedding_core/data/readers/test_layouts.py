"""Folders as people have them: splits of the usual names are read as splits, and what was guessed is said."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.data.readers.folders import ClassFolders
from embedding_core.data.readers.split_folders import split_of
from embedding_core.errors import Faults

CLASSES = ("cat", "cow", "owl")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def images(folder: Path, n: int = 2, suffix: str = ".png", classes: tuple[str, ...] = CLASSES) -> None:
    """`n` images of each class, class folders below `folder`."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            kind = "PNG" if suffix == ".png" else "JPEG"
            Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(folder / name / f"{i}{suffix}", kind)


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("Train", "Test"), ("seg_train", "seg_test"), ("TRAIN", "valid"), ("train_set", "val"),
     ("training-images", "test-images")],
)  # fmt: skip
def test_splits_of_the_usual_names_are_splits(tmp_path: Path, train: str, test: str) -> None:
    images(tmp_path / train, 3)
    images(tmp_path / test, 2)
    found = load(f"folder:{tmp_path}")
    assert (found.class_names, len(found.labels), size_of_test_file(f"folder:{tmp_path}")) == (CLASSES, 9, 6)
    told = ClassFolders(tmp_path).told()
    assert f"9 train images of 3 classes in {train} (cat 3, cow 3, owl 3)" in told
    assert f"6 test images of 3 classes in {test}" in told
    assert "passed over" not in told


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    images(tmp_path / "train", 2)
    images(tmp_path / "test", 1, ".jfif")
    images(tmp_path / "valid")
    images(tmp_path / "__MACOSX")
    (tmp_path / "train" / "cat" / "0.heic").touch()
    (tmp_path / "labels.csv").touch()
    told = ClassFolders(tmp_path).told()
    assert told.endswith(
        ("passed over: valid, 1 .csv, 1 .heic, __MACOSX", "passed over: valid, 1 .heic, 1 .csv, __MACOSX")
    )
    assert len(load(f"folder:{tmp_path}", split="test").labels) == 3


def test_a_split_as_an_archive_leaves_it(tmp_path: Path) -> None:
    images(tmp_path / "seg_train" / "seg_train")
    images(tmp_path / "seg_test" / "seg_test", 1)
    assert "6 train images of 3 classes in seg_train/seg_train" in ClassFolders(tmp_path).told()
    assert load(f"folder:{tmp_path}").class_names == CLASSES


def test_one_folder_too_high_names_what_is_below(tmp_path: Path) -> None:
    images(tmp_path / "doubled")
    with pytest.raises(Faults) as error:
        load(f"folder:{tmp_path}")
    (fault,) = error.value.faults
    assert "holds one class folder alone, doubled, which holds the folders cat, cow, owl." in fault
    assert f"folder:{tmp_path / 'doubled'}" in fault


def test_two_folders_for_one_split_are_told(tmp_path: Path) -> None:
    images(tmp_path / "train")
    images(tmp_path / "Training")
    with pytest.raises(Faults, match="must have one folder for each split, but has Training and train for train"):
        load(f"folder:{tmp_path}")


def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path) -> None:
    images(tmp_path, classes=("train", "bus", "tram"))
    assert load(f"folder:{tmp_path}").class_names == ("bus", "train", "tram")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=12))
def test_no_other_name_is_taken_for_a_split(name: str) -> None:
    words = ("train", "trn", "test", "tst", "val", "dev", "eval")
    assert split_of(name) is None or any(word in name.lower() for word in words)


@pytest.mark.parametrize("name", ["trainers", "contest", "cat", "evaluated", "tests of speed", "vale", "strain", ""])
def test_classes_are_not_taken_for_splits(name: str) -> None:
    assert split_of(name) is None
