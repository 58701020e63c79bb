"""Class folders of images."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.errors import Faults

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder beside the cache."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def put(file: Path, value: int, size: tuple[int, int] = (4, 4)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(file)


def brightness(path: Path, split: str = "train") -> list[tuple[str, int]]:
    """(class, brightness) of every image."""
    data = load(f"folder:{path}", split=split)
    labels = [data.class_names[c] for c in data.labels.tolist()]
    return list(zip(labels, data.images[:, 0, 0, 0].tolist(), strict=True))


def refused(path: Path, split: str = "train") -> str:
    with pytest.raises(Faults) as caught:
        load(f"folder:{path}", split=split)
    return str(caught.value)


def test_one_piece(place: Path) -> None:
    put(place / "set" / "eel" / "b.png", 3)
    put(place / "set" / "cat" / "z.png", 2)
    put(place / "set" / "cat" / "a.BMP", 1)
    put(place / "set" / "cat" / "deep" / "er" / "c.png", 4)
    assert brightness(place / "set") == [("cat", 1), ("cat", 4), ("cat", 2), ("eel", 3)]
    assert size_of_test_file(f"folder:{place / 'set'}") is None
    assert "comes in one piece" in refused(place / "set", "test")


def test_training_and_test_folders(place: Path) -> None:
    for split, value in (("train", 10), ("test", 20)):
        put(place / split / "dog" / "1.png", value)
    put(place / "train" / "cat" / "1.png", 30)  # a class the test split lacks
    assert brightness(place) == [("cat", 30), ("dog", 10)]
    assert brightness(place, "test") == [("dog", 20)]
    assert size_of_test_file(f"folder:{place}") == 1


def test_a_class_may_be_called_train(place: Path) -> None:
    for name in ("plane", "train", "tram"):
        put(place / name / "1.png", 9)
    assert [name for name, _ in brightness(place)] == ["plane", "train", "tram"]
    assert size_of_test_file(f"folder:{place}") is None


def test_the_path_is_relative_to_the_data_root(place: Path) -> None:
    put(place / "mine" / "cat" / "1.png", 9)
    assert load("folder:mine", place).class_names == ("cat",)


def test_what_is_no_image_by_its_suffix_and_what_is_hidden_is_passed_over(place: Path) -> None:
    put(place / "cat" / "1.png", 9)
    for name in ("notes.txt", "Thumbs.db", "._1.png", ".hidden.png"):
        (place / "cat" / name).write_text("no image")
    put(place / "cat" / ".checkpoints" / "1.png", 8)
    put(place / ".git" / "1.png", 7)
    (place / "readme.png").write_text("not in a class")
    (place / "cat" / "folder.png").mkdir()
    assert brightness(place) == [("cat", 9)]


def test_sizes_that_differ_are_fitted(place: Path) -> None:
    put(place / "cat" / "1.png", 9, (30, 20))
    put(place / "cat" / "2.png", 9, (20, 30))
    assert load(f"folder:{place}").images.shape == (2, 3, 64, 64)
    assert load(f"folder:{place}", image_size=12).images.shape == (2, 3, 12, 12)


def test_new_content_is_seen_and_new_names_are_not(place: Path, cache: Path) -> None:
    folder = place / "set"
    put(folder / "cat" / "1.png", 9)
    put(folder / "dog" / "1.png", 5)
    brightness(folder)
    (folder / "cat" / "1.png").rename(folder / "cat" / "2.png")
    assert brightness(folder) == [("cat", 9), ("dog", 5)]
    assert len(list(cache.glob("*/images.npy"))) == 1
    put(folder / "cat" / "2.png", 8)
    assert brightness(folder) == [("cat", 8), ("dog", 5)]
    (folder / "cat" / "2.png").rename(folder / "dog" / "0.png")
    put(folder / "cat" / "1.png", 5)
    assert brightness(folder) == [("cat", 5), ("dog", 8), ("dog", 5)]


def test_links_are_followed_and_loops_entered_once(place: Path) -> None:
    put(place / "elsewhere" / "1.png", 9)
    folder = place / "set"
    folder.mkdir()
    (folder / "cat").symlink_to(place / "elsewhere")
    put(folder / "dog" / "1.png", 5)
    (folder / "dog" / "back").symlink_to(folder)
    (folder / "dog" / "here").symlink_to(folder / "dog")
    assert brightness(folder) == [("cat", 9), ("dog", 5)]


def loop(file: Path) -> None:
    file.symlink_to(file.name)


@pytest.mark.parametrize("make", [loop, lambda file: file.symlink_to("nowhere"), os.mkfifo])
def test_files_that_cannot_be_read_are_named(place: Path, make: Callable[[Path], None]) -> None:
    put(place / "cat" / "1.png", 9)
    make(place / "cat" / "2.png")
    make(place / "cat" / "3.png")
    message = refused(place)
    assert f"{place / 'cat' / '2.png'} is not an image: not a file, or a link that leads nowhere" in message
    assert message.count("\n") == 2
    assert len(load(f"folder:{place}", skip_broken=True).broken) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_named(place: Path) -> None:
    put(place / "cat" / "1.png", 9)
    (place / "cat" / "1.png").chmod(0)
    assert f"{place / 'cat' / '1.png'} cannot be read" in refused(place)
    (place / "cat").chmod(0)
    assert f"{place / 'cat'} cannot be listed" in refused(place)
    (place / "cat").chmod(0o700)


def test_files_that_are_no_images_are_named_and_counted(place: Path) -> None:
    put(place / "cat" / "0.png", 9)
    for i in range(1, 9):
        (place / "cat" / f"{i}.png").write_bytes(b"no image")
    message = refused(place).splitlines()
    assert len(message) == 7
    assert message[0].startswith(f"{place / 'cat' / '1.png'} is not an image: cannot identify its format")
    assert message[-2].startswith(f"folder:{place}: 3 more rows are not images; all are listed in ")
    assert len(Path(message[-2].rpartition(" in ")[2].removesuffix(".")).read_text().splitlines()) == 8
    assert message[-1] == (
        f"Images of `folder:{place}` that cannot be decoded: 8; `--skip-broken` (of a single run: skip_broken=true) "
        "goes on without them."
    )


def test_folders_without_images_are_named_and_counted(place: Path) -> None:
    assert f"{place / 'nowhere'} holds no class folders" in refused(place / "nowhere")
    (place / "file").write_text("no folder")
    assert "holds no class folders" in refused(place / "file")
    (place / "empty").mkdir()
    assert "holds no class folders" in refused(place / "empty")
    assert size_of_test_file(f"folder:{place / 'empty'}") is None
    for i in range(8):
        (place / "set" / f"class{i}").mkdir(parents=True)
    put(place / "set" / "full" / "1.png", 1)
    message = refused(place / "set").splitlines()
    assert message[0].startswith(f"{place / 'set' / 'class0'} holds no images (.png, .jpg")
    assert len(message) == 6
    assert message[-1] == "3 more class folders are wrong."


def test_an_empty_test_folder_and_a_class_only_there_are_told(place: Path) -> None:
    put(place / "train" / "cat" / "1.png", 1)
    (place / "test").mkdir()
    assert f"{place / 'test'} holds no images" in refused(place, "test")
    put(place / "test" / "eel" / "1.png", 1)
    assert f"{place / 'test' / 'eel'} is a class without a training folder" in refused(place, "test")


def test_a_test_folder_of_other_classes_alone_has_labels_after_those_of_training(place: Path) -> None:
    for value, name in enumerate(("train/cat", "train/eel", "test/bat", "test/dog")):
        put(place / name / "1.png", value)
    assert brightness(place, "test") == [("bat", 2), ("dog", 3)]
    test = load(f"folder:{place}", split="test")
    assert (test.labels.tolist(), test.class_names) == ([2, 3], ("cat", "eel", "bat", "dog"))
    assert size_of_test_file(f"folder:{place}") == 2
    assert load(f"folder:{place}").class_names == ("cat", "eel")
    put(place / "test" / "cat" / "1.png", 9)  # now they share one
    message = refused(place, "test")
    assert f"{place / 'test' / 'bat'} is a class without a training folder" in message
    assert f"{place / 'test' / 'dog'} is a class without a training folder" in message


def test_contents_decide_not_dates(place: Path) -> None:
    file = place / "cat" / "1.bmp"
    put(file, 9)
    assert brightness(place) == [("cat", 9)]
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[-48:] = bytes([7]) * 48
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert brightness(place) == [("cat", 7)]


def test_class_names_that_are_not_utf8_are_told(place: Path) -> None:
    put(place / "cat" / "1.png", 1)
    put(place / os.fsdecode(b"d\xff") / "1.png", 1)
    assert refused(place) == f"'{place}/d\\udcff' must have a name in UTF-8."


def test_images_keep_their_order_by_path(place: Path) -> None:
    values = np.random.default_rng(0).permutation(20)
    for value in values:
        put(place / "cat" / f"{value:02}.png", int(value))
    assert [value for _, value in brightness(place)] == sorted(values)
