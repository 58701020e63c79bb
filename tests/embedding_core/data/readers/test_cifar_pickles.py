"""The `cifar-10-python` pickles: read as their authors wrote them, and never executed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.data.readers.plain_pickle import read_pickle
from embedding_core.errors import Faults

pytestmark = pytest.mark.usefixtures("cache")

Array = np.ndarray


def pixels(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)


def python2(data: Array, labels: list[int]) -> bytes:
    """What Python 2's `cPickle.dump(..., 2)` wrote: text as bytes, arrays by `numpy.core.multiarray`."""
    raw = data.tobytes()
    shape = b"".join(b"M" + edge.to_bytes(2, "little") for edge in data.shape)
    return b"".join(
        [
            b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(",
            b"".join(b"K" + bytes([label]) for label in labels),
            b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09",
            b"(K\x01" + shape + b"\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + len(raw).to_bytes(4, "little") + raw + b"tbu.",
        ]
    )


def python3(protocol: int) -> Callable[[Array, list[int]], bytes]:
    return lambda data, labels: pickle.dumps({"data": data, "labels": labels, "filenames": ["a"]}, protocol)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five batches of two images, image i of batch b of class b + i."""
    place = tmp_path / "cifar-10-python"
    place.mkdir()
    for b in range(1, 6):
        (place / f"data_batch_{b}").write_bytes(python2(pixels(2, b), [b, b + 1]))
    return place


def refused(root: Path, split: str = "train") -> str:
    with pytest.raises(Faults) as caught:
        load("cifar-10-python", root, split=split)
    return str(caught.value)


def test_the_hand_made_pickle_is_what_python_makes_of_it() -> None:
    plain = pickle.loads(python2(pixels(2), [3, 4]), encoding="bytes")
    assert plain[b"labels"] == [3, 4]
    np.testing.assert_array_equal(plain[b"data"], pixels(2))


def test_five_batches_are_the_training_split(folder: Path, tmp_path: Path) -> None:
    data = load("cifar-10-python", tmp_path)
    expected = np.concatenate([pixels(2, b) for b in range(1, 6)]).reshape(-1, 3, 32, 32)
    assert torch.equal(data.images, torch.from_numpy(expected))
    assert data.labels.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert data.class_names[3] == "cat"
    assert load("cifar-10-python", tmp_path, image_size=8).images.shape == (10, 3, 8, 8)


def test_the_test_batch_is_the_test_split_if_it_is_there(folder: Path, tmp_path: Path) -> None:
    assert size_of_test_file("cifar-10-python", tmp_path) is None
    assert "comes in one piece" in refused(tmp_path, "test")
    (folder / "test_batch").write_bytes(python2(pixels(3), [7, 8, 9]))
    assert size_of_test_file("cifar-10-python", tmp_path) == 3
    assert load("cifar-10-python", tmp_path, split="test").labels.tolist() == [7, 8, 9]


@pytest.mark.parametrize("place", ["cifar-10-python/cifar-10-batches-py", "cifar-10-batches-py"])
def test_where_the_archive_unpacks_to(folder: Path, tmp_path: Path, place: str) -> None:
    unpacked = folder.rename(tmp_path / "away")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    unpacked.rename(tmp_path / place)
    assert len(load("cifar-10-python", tmp_path).labels) == 10


@pytest.mark.parametrize("write", [python2, *(python3(protocol) for protocol in range(6))])
def test_every_protocol(folder: Path, tmp_path: Path, write: Callable[[Array, list[int]], bytes]) -> None:
    (folder / "data_batch_4").write_bytes(write(pixels(3, 9), [0, 1, 9]))
    data = load("cifar-10-python", tmp_path)
    assert torch.equal(data.images[6:9].flatten(1), torch.from_numpy(pixels(3, 9)))
    assert data.labels[6:9].tolist() == [0, 1, 9]


# Pickles that ask for more


class Call:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (np.load, "load"), (bytearray, "bytearray")],
)
def test_code_is_not_run(folder: Path, tmp_path: Path, function: Callable[..., Any], name: str, protocol: int) -> None:
    ran = tmp_path / "ran"
    payload = {"data": Call(function, f"touch {ran}"), "labels": [1]}
    (folder / "data_batch_2").write_bytes(pickle.dumps(payload, protocol))
    message = refused(tmp_path)
    assert f"{folder / 'data_batch_2'} is not a CIFAR-10 batch: it asks for `" in message
    assert f".{name}`, but may hold plain values and arrays alone" in message
    assert not ran.exists()


def test_the_payload_would_run_with_pickles_own_reader(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Call(os.system, f"touch {tmp_path / 'ran'}")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n.",  # named, not called
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"(ios\nsystem\n.",
        b"(cos\nsystem\no.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        b"P1\n.",  # a persistent identifier
        b"\x80\x02\x82\x01.",  # an extension code
    ],
)
def test_other_ways_to_name_a_function(program: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_pickle(program)


def test_what_a_pickle_does_to_its_stand_ins_ends_with_it() -> None:
    """BUILD sets attributes of whatever lies on the stack, functions included."""
    function = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
    changed = read_pickle(function + b"N}X\x07\x00\x00\x00__doc__K\x01s\x86b.")
    assert changed.__doc__ == 1
    assert read_pickle(function + b".").__doc__ is None


@pytest.mark.parametrize(
    "program", [b"\x80\x02Nr\xff\xff\xff\xff.", b"Np4294967295\n.", b"\x80\x02Nr\x00\x00\x00\x80."]
)
def test_a_few_bytes_allocate_no_gigabytes(program: bytes) -> None:
    with pytest.raises(ValueError, match="it numbers a value"):
        read_pickle(program)


# Pickles that are no batches


def batch(**changes: Any) -> bytes:
    return pickle.dumps({"data": pixels(2), "labels": [1, 2], **changes}, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CIFAR-10 batch: pickle exhausted"),
        (b"\x80\x02}.", "`data` must be a uint8 array of shape (n, 3072), but is of type NoneType."),
        (pickle.dumps([1]), "it must hold a dictionary, but holds a list."),
        (batch()[:-20], "is not a CIFAR-10 batch:"),
        (batch()[:100], "is not a CIFAR-10 batch:"),
        (b"\x1f\x8b" + batch(), "is not a CIFAR-10 batch:"),
        (batch(data=pixels(2)[:, :3071].copy()), "but is one of shape (2, 3071)"),
        (batch(data=pixels(2)[0].copy()), "but is one of shape (3072,)"),
        (pickle.dumps({"data": pixels(2)[:0].copy()}, 3), "but is one of shape (0, 3072)"),
        (batch(data=pixels(2).astype(np.float32)), "its array is not of uint8 in C order"),
        (batch(data=np.asfortranarray(pixels(2))), "its array is not of uint8 in C order"),
        (batch(data=np.array([None, 1])), "its array is not of uint8 in C order"),
        (batch(data=[1, 2]), "but is of type list"),
        (b"\x80\x02}U\x04datacnumpy\nndarray\ns.", "but is of type str"),
        (b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\n)Rs.", "but is of type PickledArray"),
        (batch(labels=[1]), "`labels` must be a list of 2, one per image, but is one of 1"),
        (batch(labels=(1, 2)), "`labels` must be a list of 2, one per image, but is of type tuple"),
        (batch(labels=[1, 10]), "1 labels lie outside the 10 classes; the first is 10 in row 1"),
        (batch(labels=[-1, 10]), "2 labels lie outside the 10 classes; the first is -1 in row 0"),
        (batch(labels=[True, 1.0]), "2 labels lie outside the 10 classes; the first is of type bool in row 0"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, tmp_path: Path, content: bytes, message: str) -> None:
    (folder / "data_batch_3").write_bytes(content)
    told = refused(tmp_path)
    assert told.startswith(str(folder / "data_batch_3"))
    assert message in told
    assert "\n" not in told


def test_all_broken_files_are_told_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "data_batch_2").unlink()
    (folder / "data_batch_4").write_bytes(b"no pickle")
    first, second = refused(tmp_path).splitlines()
    assert f"{folder / 'data_batch_2'} cannot be read" in first
    assert f"{folder / 'data_batch_4'} is not a CIFAR-10 batch" in second


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    message = refused(tmp_path).splitlines()
    assert len(message) == 5
    assert f"{tmp_path / 'cifar-10-python' / 'data_batch_1'} cannot be read" in message[0]
