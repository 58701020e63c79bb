"""Data sets of plug-ins: every kind of image, decoded once, the same at every reading, and faults that name the row."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.errors import Faults
from embedding_core.plugins.sources import use, use_named

SET = """
import numpy as np
import torch
from PIL import Image
from embedding_core.plugins import dataset

READ = []

class Rows:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, row):
        READ.append(row)
        return {row}

@dataset("mine")
def mine({given}n: int = 40, value: int = 100):
    return {made}
"""


@pytest.fixture(autouse=True)
def _none_left(cache: Path) -> Iterator[None]:
    yield
    use(())


@pytest.fixture
def plug(tmp_path: Path) -> Callable[..., None]:
    """`plug(row, given=, made=)`: use a set whose row is this expression."""

    def plug(row: str, given: str = "", made: str = "Rows(n)") -> None:
        (tmp_path / "mine.py").write_text(SET.format(row=row, given=given, made=made))
        use_named([str(tmp_path / "mine.py")])

    return plug


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        ("Image.new('L', (5, 4), 100)", (1, 4, 5)),
        ("Image.new('RGB', (5, 4), (100, 100, 100))", (3, 4, 5)),
        ("np.full((4, 5), 100, np.uint8)", (1, 4, 5)),
        ("np.full((4, 5, 3), 100, np.uint8)", (3, 4, 5)),
        ("torch.full((1, 4, 5), 100, dtype=torch.uint8)", (1, 4, 5)),
        ("torch.full((3, 4, 5), 100 / 255)", (3, 4, 5)),
    ],
)
def test_every_kind_of_image_is_read_as_it_is(image: str, shape: tuple[int, ...], plug: Callable[..., None]) -> None:
    plug(f"{image}, row % 3")
    data = load("mine")
    assert data.images.shape == (40, *shape)
    assert data.images.unique().tolist() == [100]
    assert data.labels.tolist() == [row % 3 for row in range(40)]
    assert data.class_names == ("0", "1", "2")
    assert size_of_test_file("mine") is None


def test_a_set_is_decoded_once_and_again_only_where_it_has_changed(plug: Callable[..., None], tmp_path: Path) -> None:
    # Its pixels are those of a file, as a data set on the disk has them.
    file = tmp_path / "value"
    file.write_text("7")
    plug(f"np.full((2, 2), int(open({str(file)!r}).read()), np.uint8), row % 2")
    first = load("mine")
    (folder,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    decoded_at = (folder / "images.npy").stat().st_mtime_ns
    assert torch.equal(load("mine").images, first.images)
    assert (folder / "images.npy").stat().st_mtime_ns == decoded_at
    file.write_text("8")
    assert load("mine").images.unique().tolist() == [8]
    assert load("mine", settings={"dataset.n": 30}).images.shape[0] == 30


def test_a_set_that_asks_for_its_split_has_a_test_split(plug: Callable[..., None], tmp_path: Path) -> None:
    plug("np.full((2, 2), self.n, np.uint8), row % 2", "split, root, ", made="Rows(20 if split == 'train' else 10)")
    assert load("mine", tmp_path).images.shape[0] == 20
    assert load("mine", tmp_path, split="test").images.shape[0] == size_of_test_file("mine", tmp_path) == 10


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("iter([])", "The data set `mine` must have a length and rows by number, but is a list_iterator."),
        ("Rows(0)", "The data set `mine` has no images in its split train."),
        ("Rows(1 / 0)", "The dataset `mine` cannot be made: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_data_set_is_refused(made: str, said: str, plug: Callable[..., None]) -> None:
    plug("np.zeros((2, 2), np.uint8), 0", made=made)
    with pytest.raises(Faults) as caught:
        load("mine")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("np.random.default_rng().integers(0, 255, (4, 4), dtype=np.uint8), 0", "whenever it is read, but does not"),
        ("np.zeros((4, 4)) + 2, 0", "mine[0] is not an image: an image must be uint8, or float from 0 to"),
        ("np.zeros((4, 4), np.uint8)", "mine[0] is not an image: it must be (image, label), but is a nd"),
        ("np.zeros((4, 4), np.uint8), 'cat'", "its label must be a whole number, but is 'cat'"),
        ("np.zeros((4, 4), np.uint8), [][row]", "The dataset `mine` cannot give row 0: IndexError"),
    ],
)
def test_a_row_that_is_no_image_with_a_label_is_named(row: str, said: str, plug: Callable[..., None]) -> None:
    plug(row)
    with pytest.raises(Faults) as caught:
        load("mine")
    assert said in str(caught.value)


def test_rows_that_are_broken_are_left_out_on_request(plug: Callable[..., None]) -> None:
    plug("(None if row in (0, 7) else np.full((4, 4), row, np.uint8)), row % 2")
    with pytest.raises(Faults, match=r"mine\[7\] is not an image: "):
        load("mine")
    data = load("mine", skip_broken=True)
    assert data.images[:, 0, 0, 0].tolist() == [row for row in range(40) if row not in (0, 7)]
    assert data.labels.tolist() == [row % 2 for row in range(40) if row not in (0, 7)]
    assert len(data.broken) == 2
