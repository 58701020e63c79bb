"""Data sets by name: splits, sizes, colours."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet, load, size_of_test_file
from embedding_core.data.readers.decode import fit
from embedding_core.data.readers.image_rows import DEFAULT_SIDE
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


# Digits


def test_digits_are_scikit_learns() -> None:
    data = load("digits")
    raw = load_digits()
    assert data.images.shape == (1797, 1, 8, 8)
    assert data.images.dtype == torch.uint8
    assert data.images.amax() == 255
    np.testing.assert_allclose(data.images[:, 0].numpy() / 255 * 16, raw.images, atol=0.5 / 255 * 16)
    assert data.labels.tolist() == raw.target.tolist()
    assert data.class_names == tuple("0123456789")


def test_digits_come_in_one_piece() -> None:
    with pytest.raises(Faults, match="one piece"):
        load("digits", split="test")
    with pytest.raises(Faults, match=r"Unknown split `valid`. Known: test, train"):
        load("digits", split="valid")
    assert size_of_test_file("digits") is None


def test_the_hash_of_a_set_sees_images_labels_and_order() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    labels = torch.tensor([0, 1])
    hashes = {
        ImageSet(images, labels, ()).sha256,
        ImageSet(images.flip(0), labels, ()).sha256,
        ImageSet(images, labels.flip(0), ()).sha256,
        ImageSet(images.view(2, 3, 1, 4), labels, ()).sha256,
    }
    assert len(hashes) == 4
    assert ImageSet(images.clone(), labels, ("a", "b")).sha256 in hashes


# Names


def test_parquet_round_trip(write_set: WriteSet, tmp_path: Path) -> None:
    images = colour(4)
    write_set(images, [0, 2, 1, 2])
    write_set(images[:2], [1, 0], split="test")
    data = load("mine", tmp_path)
    assert data.images.dtype == torch.uint8
    assert torch.equal(data.images, torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)))
    assert data.labels.tolist() == [0, 2, 1, 2]
    assert data.class_names == ("0", "1", "2")
    assert load("mine", tmp_path, split="test").labels.tolist() == [1, 0]
    assert size_of_test_file("mine", tmp_path) == 2


def test_root_from_the_environment(write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(grey(2), [0, 1])
    monkeypatch.setenv("EMBED_DATA_ROOT", str(tmp_path))
    assert len(load("mine").labels) == 2
    assert "nowhere/mine/train.parquet" in refused("mine", tmp_path / "nowhere")


def test_a_missing_split_and_an_unknown_name(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 1], name="plankton")
    assert "`plankton` comes in one piece" in refused("plankton", tmp_path, "test")
    write_set(grey(2), [0, 1], name="tested", split="test")
    assert f"no train split: {tmp_path / 'tested' / 'train.parquet'} does not exist" in refused("tested", tmp_path)
    assert size_of_test_file("plankton", tmp_path) is None
    message = refused("planktn", tmp_path)
    assert "Unknown data set `planktn`. Did you mean `plankton`?" in message
    assert f"Looked for {tmp_path / 'planktn' / 'train.parquet'}" in message
    assert "`digits` always works" in message


# Sizes and colours


def test_grey_stays_grey_and_becomes_colour_beside_colour(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(3), [0, 0, 1])
    data = load("mine", tmp_path)
    assert torch.equal(data.images[:, 0], torch.from_numpy(np.stack(grey(3))))
    write_set([grey(1)[0], colour(1)[0]], [0, 1], name="mixed")
    mixed = load("mixed", tmp_path).images
    assert mixed.shape == (2, 3, 5, 7)
    assert torch.equal(mixed[0], torch.from_numpy(grey(1)[0]).expand(3, 5, 7))
    assert torch.equal(mixed[1], torch.from_numpy(colour(1)[0].transpose(2, 0, 1)))


def test_images_of_one_size_stay_as_they_are_and_several_sizes_are_fitted(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(colour(2, 5, 7), [0, 1])
    assert load("mine", tmp_path).images.shape == (2, 3, 5, 7)
    images = [*colour(1, 5, 7), *colour(1, 90, 30)]
    write_set(images, [0, 1], name="mixed")
    data = load("mixed", tmp_path)
    assert data.images.shape == (2, 3, DEFAULT_SIDE, DEFAULT_SIDE)
    for i, image in enumerate(images):
        assert torch.equal(data.images[i].permute(1, 2, 0), as_tensor(fit(Image.fromarray(image), DEFAULT_SIDE)))


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy())


def test_with_an_image_size_every_image_is_fitted_to_it(write_set: WriteSet, tmp_path: Path) -> None:
    images = grey(3, 5, 7)
    write_set(images, [0, 1, 1])
    for side in (3, 7, 20):
        data = load("mine", tmp_path, image_size=side)
        assert data.images.shape == (3, 1, side, side)
        for i, image in enumerate(images):
            assert torch.equal(data.images[i, 0], as_tensor(fit(Image.fromarray(image), side)))
    assert load("mine", tmp_path).images.shape == (3, 1, 5, 7)


@pytest.mark.parametrize("side", [0, -3])
def test_image_sizes_below_one_are_refused(side: int) -> None:
    with pytest.raises(Faults, match=f"`image_size` must be at least 1, but got {side}"):
        load("digits", image_size=side)


def test_digits_of_another_size(cache: Path) -> None:
    small, large = load("digits"), load("digits", image_size=24)
    assert large.images.shape == (1797, 1, 24, 24)
    assert torch.equal(large.labels, small.labels)
    assert torch.equal(large.images[5, 0], as_tensor(fit(Image.fromarray(small.images[5, 0].numpy()), 24)))
    assert torch.equal(load("digits", image_size=8).images, small.images)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])), min_size=1, max_size=40),
    image_size=st.sampled_from([None, 4]),
)
def test_whatever_the_order_of_sizes_and_colours(
    write_set: WriteSet, tmp_path: Path, shapes: list[tuple[int, int, int]], image_size: int | None
) -> None:
    images = [grey(1, h, w)[0] if c == 1 else colour(1, h, w)[0] for h, w, c in shapes]
    write_set(images, [0] * len(images))
    got = load("mine", tmp_path, image_size=image_size).images
    channels = max(c for _, _, c in shapes)
    sizes = {(h, w) for h, w, _ in shapes}
    side = image_size or (None if len(sizes) == 1 else DEFAULT_SIDE)
    for i, image in enumerate(images):
        expected = as_tensor(Image.fromarray(image) if side is None else fit(Image.fromarray(image), side))
        expected = expected.permute(2, 0, 1) if expected.ndim == 3 else expected.expand(channels, -1, -1)
        assert torch.equal(got[i], expected)


def test_test_images_follow_the_training_images(write_set: WriteSet, tmp_path: Path) -> None:
    write_set([*colour(1, 5, 7), *colour(1, 6, 7)], [0, 1])
    write_set(grey(2, 9, 9), [0, 1], split="test")
    test = load("mine", tmp_path, split="test").images
    assert test.shape == (2, 3, DEFAULT_SIDE, DEFAULT_SIDE)
    assert torch.equal(test[0, 0], test[0, 2])
    write_set(grey(2, 9, 9), [0, 1], name="uniform")
    write_set(grey(2, 5, 5), [0, 1], name="uniform", split="test")
    assert load("uniform", tmp_path, split="test").images.shape == (2, 1, 5, 5)  # DeviceData tells


# On the device


def test_data_serve_the_configs_they_were_loaded_for(colour_set: Path) -> None:
    cpu = torch.device("cpu")
    config = TrainConfig(dataset="mine", data_root=str(colour_set))
    data = DeviceData.load(config, cpu)
    assert data.serves(TrainConfig(dataset="mine", data_root=str(colour_set), lr=0.1), cpu)
    assert not data.serves(TrainConfig(dataset="mine", data_root=str(colour_set / "mine")), cpu)
    assert not data.serves(TrainConfig(data_root=str(colour_set)), cpu)
    assert not data.serves(config, torch.device("meta"))


def test_the_test_file_is_counted_but_not_decoded_until_asked_for(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(20), [0, 1] * 10)
    write_set([b"broken"] * 3, [0, 1, 0], split="test")
    config = TrainConfig(dataset="mine", data_root=str(tmp_path))
    data = DeviceData.load(config, torch.device("cpu"))
    indices = data.split(config)
    assert indices.test.tolist() == [0, 1, 2]
    with pytest.raises(Faults, match=r"test\.parquet: row 0 is not an image"):
        data.test(indices)
