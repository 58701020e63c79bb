"""torchvision's own files, made small; and what is said where they are missing and no network is there."""

import gzip
import hashlib
import pickle
import struct
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, STL10

from embedding_core.data.image_sets import load, size_of_test_file
from embedding_core.data.readers.torchvision_sets import PLACES, UNPACKED
from embedding_core.errors import Faults

pytestmark = pytest.mark.usefixtures("cache", "no_network")

Array = np.ndarray


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_set_that_is_missing_and_cannot_be_had_is_one_error(name: str, split: str, tmp_path: Path) -> None:
    with pytest.raises(Faults) as caught:
        load(name, tmp_path, split=split)
    (message,) = str(caught.value).splitlines()
    if name == "caltech101" and split == "test":
        assert "comes in one piece" in message
        return
    for part in (f"`{name}` was not found", str(tmp_path / name / "train.parquet"), str(tmp_path / PLACES[name]),
                 "the download failed", "--data-root", "--dataset digits"):  # fmt: skip
        assert part in message
    if name != "mnist":  # its mirrors are tried in turn
        assert "no route to host" in message


def test_sizes_of_test_files_need_no_download(tmp_path: Path) -> None:
    sizes = {name: size_of_test_file(name, tmp_path) for name in PLACES}
    assert sizes == {"cifar10": 10_000, "mnist": 10_000, "stl10": 8_000, "stl10-unlabelled": 8_000, "caltech101": None}


def test_parquet_goes_first(write_set: Callable[..., Path], tmp_path: Path) -> None:
    write_set([noise(6, 6)] * 2, [0, 1], name="mnist")
    assert load("mnist", tmp_path).images.shape == (2, 1, 6, 6)
    assert size_of_test_file("mnist", tmp_path) is None


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Images of each file, three in each, of the classes 1, 2 and 9; their sums are those that torchvision expects."""
    folder = tmp_path / PLACES["cifar10"]
    folder.mkdir()
    images, sums = {}, {}
    for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]:
        images[name] = np.roll(noise(3, 3072), len(images))
        (folder / name).write_bytes(pickle.dumps({"data": images[name], "labels": [1, 2, 9]}))
        sums[name] = md5(folder / name)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [*"abcdefghij"]}))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(folder / "batches.meta")})
    return images


def test_cifar10(cifar10: dict[str, Array], tmp_path: Path) -> None:
    train = load("cifar10", tmp_path)
    expected = np.concatenate([cifar10[f"data_batch_{i}"] for i in range(1, 6)]).reshape(-1, 3, 32, 32)
    assert torch.equal(train.images, torch.from_numpy(expected))
    assert train.labels.tolist() == [1, 2, 9] * 5
    assert train.class_names == tuple("abcdefghij")
    assert torch.equal(
        load("cifar10", tmp_path, split="test").images.flatten(1), torch.from_numpy(cifar10["test_batch"])
    )
    assert load("cifar10", tmp_path, image_size=16).images.shape == (15, 3, 16, 16)
    file = tmp_path / PLACES["cifar10"] / "data_batch_3"
    file.write_bytes(pickle.dumps({"data": cifar10["test_batch"], "labels": [0, 0, 0]}))
    with pytest.raises(Faults, match=r"no intact .*cifar-10-batches-py"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("place", UNPACKED)
def test_cifar10_as_its_authors_pack_it(cifar10: dict[str, Array], tmp_path: Path, place: str) -> None:
    there = (tmp_path / PLACES["cifar10"]).rename(tmp_path / "away")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    folder = there.rename(tmp_path / place)
    train, test = (load("cifar-10-python", tmp_path, split=split) for split in ("train", "test"))
    assert train.labels.tolist() == [1, 2, 9] * 5
    assert torch.equal(test.images.flatten(1), torch.from_numpy(cifar10["test_batch"]))
    assert size_of_test_file("cifar-10-python", tmp_path) == 10_000  # of the published files
    (folder / "test_batch").unlink()
    with pytest.raises(Faults, match=rf"`cifar-10-python` was not found: {folder} must hold .* MD5 sums") as caught:
        load("cifar-10-python", tmp_path)
    assert len(caught.value.faults) == 1


def test_mnist(tmp_path: Path) -> None:
    folder = tmp_path / PLACES["mnist"]
    folder.mkdir(parents=True)
    for prefix, n in (("train", 5), ("t10k", 3)):
        header = struct.pack(">4i", 2051, n, 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + noise(n, 28, 28).tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + bytes(range(n)))
    data = load("mnist", tmp_path)
    assert torch.equal(data.images, torch.from_numpy(noise(5, 28, 28))[:, None])
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.class_names == tuple("0123456789")
    assert load("mnist", tmp_path, split="test").labels.tolist() == [0, 1, 2]
    (folder / "train-images-idx3-ubyte").write_bytes(gzip.compress(b"not an index file"))
    with pytest.raises(Faults, match=r"`mnist` was not found: .* no intact"):
        load("mnist", tmp_path)


@pytest.fixture
def stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Images [n, h, w, c] of each file; the files hold [n, c, w, h]."""
    folder = tmp_path / PLACES["stl10"]
    folder.mkdir()
    images = {"train": noise(3, 96, 96, 3), "unlabeled": noise(4, 96, 96, 3), "test": noise(2, 96, 96, 3)}
    for name, stored in images.items():
        (folder / f"{name}_X.bin").write_bytes(stored.transpose(0, 3, 2, 1).tobytes())
    (folder / "train_y.bin").write_bytes(bytes([1, 10, 2]))
    (folder / "test_y.bin").write_bytes(bytes([3, 4]))
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    for which in ("train_list", "test_list"):
        monkeypatch.setattr(STL10, which, [[name, md5(folder / name)] for name, _ in getattr(STL10, which)])
    return images


def chw(images: Array) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def test_stl10(stl10: dict[str, Array], tmp_path: Path) -> None:
    data = load("stl10", tmp_path)
    assert torch.equal(data.images, chw(stl10["train"]))
    assert data.labels.tolist() == [0, 9, 1]
    assert data.class_names == tuple("abcdefghij")
    test = load("stl10", tmp_path, split="test")
    assert torch.equal(test.images, chw(stl10["test"]))
    assert test.labels.tolist() == [2, 3]


def test_stl10_with_the_unlabelled_images(stl10: dict[str, Array], tmp_path: Path) -> None:
    data = load("stl10-unlabelled", tmp_path)
    assert torch.equal(data.images, torch.cat([chw(stl10["train"]), chw(stl10["unlabeled"])]))
    assert data.labels.tolist() == [0, 9, 1, -1, -1, -1, -1]
    assert torch.equal(load("stl10-unlabelled", tmp_path, split="test").images, chw(stl10["test"]))
    assert load("stl10-unlabelled", tmp_path, image_size=32).images.shape == (7, 3, 32, 32)
    assert torch.equal(load("stl10", tmp_path).images, chw(stl10["train"]))  # not the other set's cache


def test_caltech101_comes_in_one_piece_without_its_background(tmp_path: Path) -> None:
    for name, size in (("BACKGROUND_Google", (9, 9)), ("ant", (30, 20)), ("bee", (20, 30))):
        folder = tmp_path / PLACES["caltech101"] / name
        folder.mkdir(parents=True)
        for i in (1, 2):
            Image.new("RGB", size, "red").save(folder / f"image_{i:04d}.jpg")
    data = load("caltech101", tmp_path)
    assert data.class_names == ("ant", "bee")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.images.shape == (4, 3, 64, 64)
    assert size_of_test_file("caltech101", tmp_path) is None
