"""Data sets as tensors, and every way a file can be wrong."""

import json
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits

from embedding_core.config import TrainConfig
from embedding_core.data import ImageSet, load, size_of_test_file
from embedding_core.device_data import DeviceData
from embedding_core.faults import Faults

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


# Parquet


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


def test_grey_stays_grey_and_becomes_colour_beside_colour(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(3), [0, 0, 1])
    data = load("mine", tmp_path)
    assert torch.equal(data.images[:, 0], torch.from_numpy(np.stack(grey(3))))
    write_set([grey(1)[0], colour(1)[0]], [0, 1], name="mixed")
    mixed = load("mixed", tmp_path).images
    assert mixed.shape == (2, 3, 5, 7)
    assert torch.equal(mixed[0], torch.from_numpy(grey(1)[0]).expand(3, 5, 7))
    assert torch.equal(mixed[1], torch.from_numpy(colour(1)[0].transpose(2, 0, 1)))


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
    assert "1 labels lie outside the 1 classes; the first is -1 in row 1" in refused("negative", tmp_path)


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"label": pa.array([0, 1])}, ["`image: struct<bytes, path>`, but its columns are label: int64"]),
        ({"image": pa.array([b"", b""]), "label": pa.array([0, 1])}, ["column `image: struct<bytes, path>`"]),
        ({"image": pa.array([{"bytes": b"", "path": ""}] * 2)}, ["column `label: int64`"]),
        ({"img": pa.array([0, 1]), "label": pa.array(["a", "b"])}, ["column `image", "column `label: int64`"]),
    ],
)
def test_missing_columns(tmp_path: Path, columns: dict[str, pa.Array], missing: list[str]) -> None:
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
    assert message.count("\n") == 5
    assert message.endswith("4 more rows are not images.")
    write_set(grey(2), [0, None], name="unlabelled")
    assert "1 rows have no label" in refused("unlabelled", tmp_path)
    write_set([], [], name="empty")
    assert "has no rows" in refused("empty", tmp_path)


def test_a_cut_off_image_is_named(write_set: WriteSet, tmp_path: Path) -> None:
    file = write_set(grey(2, 40, 40), [0, 1])
    encoded = pq.read_table(file)["image"][1]["bytes"].as_py()
    write_set([grey(1, 40, 40)[0], encoded[: len(encoded) // 2]], [0, 1])
    assert "row 1 is not an image" in refused("mine", tmp_path)


def test_images_of_differing_sizes(write_set: WriteSet, tmp_path: Path) -> None:
    write_set([*grey(1, 5, 7), *grey(1, 6, 7)], [0, 1])
    assert "all images must have one size, but there are 2: 5x7, 6x7" in refused("mine", tmp_path)


def test_a_missing_split_and_an_unknown_name(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 1], name="plankton")
    assert f"no test split: {tmp_path / 'plankton' / 'test.parquet'} does not exist" in refused(
        "plankton", tmp_path, "test"
    )
    assert size_of_test_file("plankton", tmp_path) is None
    message = refused("planktn", tmp_path)
    assert "Unknown data set `planktn`. Did you mean `plankton`?" in message
    assert f"Looked for {tmp_path / 'planktn' / 'train.parquet'}" in message
    assert "`digits` always works" in message


def test_cifar10_that_is_missing_and_cannot_be_had_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    message = refused("cifar10", tmp_path)
    assert "\n" not in message
    for part in (str(tmp_path / "cifar10" / "train.parquet"), str(tmp_path / "cifar-10-batches-py"), "no route to host",
                 "--data-root", "--dataset digits"):  # fmt: skip
        assert part in message


# The decode cache

LOAD = "import sys; from embedding_core.parquet_images import decode_parquet; from pathlib import Path; "


def decode_elsewhere(file: Path) -> "subprocess.Popen[str]":
    program = LOAD + "images, labels, names = decode_parquet(Path(sys.argv[1])); print(images.ravel()[:3].tolist())"
    return subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True)


def test_another_process_maps_what_the_first_decoded(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set(colour(6), [0, 1] * 3)
    load("mine", tmp_path)
    (stored,) = cache.glob("*/images.npy")
    changed = np.load(stored)
    changed.ravel()[:3] = [11, 22, 33]  # only a reader of the cache can see this
    np.save(stored, changed)
    out, _ = decode_elsewhere(file).communicate(timeout=60)
    assert json.loads(out) == [11, 22, 33]
    assert load("mine", tmp_path).images.flatten()[:3].tolist() == [11, 22, 33]


def test_processes_that_start_together_decode_once(write_set: WriteSet, cache: Path) -> None:
    images = colour(200)
    file = write_set(images, [0, 1] * 100)
    runs = [decode_elsewhere(file) for _ in range(3)]
    outputs = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert outputs == [images[0].transpose(2, 0, 1).ravel()[:3].tolist()] * 3
    assert [p.suffix for p in cache.iterdir() if p.is_dir()] == [""]
    assert not list(cache.glob("staging-*"))


def test_the_cache_goes_by_content(write_set: WriteSet, tmp_path: Path, cache: Path) -> None:
    file = write_set(grey(2), [0, 1])
    load("mine", tmp_path)
    other = tmp_path / "copy" / "train.parquet"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    load("copy", tmp_path)
    assert len(list(cache.glob("*/images.npy"))) == 1
    write_set(grey(2)[::-1], [0, 1])
    assert torch.equal(load("mine", tmp_path).images[:, 0], torch.from_numpy(np.stack(grey(2)[::-1])))
    assert len(list(cache.glob("*/images.npy"))) == 2


def test_writing_to_loaded_images_does_not_reach_the_cache(write_set: WriteSet, tmp_path: Path) -> None:
    write_set(grey(2), [0, 1])
    load("mine", tmp_path).images.zero_()
    assert load("mine", tmp_path).images.any()


# On the device


def test_scaling_is_the_mean_and_deviation_per_channel(colour_set: Path) -> None:
    data = DeviceData.load(TrainConfig(dataset="mine", data_root=str(colour_set)), torch.device("cpu"))
    pixels = data.images.double() / 255
    mean, std = data.scaling
    torch.testing.assert_close(mean, pixels.mean(dim=(0, 2, 3)).float())
    torch.testing.assert_close(std, pixels.std(dim=(0, 2, 3), correction=0).float())


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


def test_the_test_split_of_digits_is_carved_out(digits: DeviceData) -> None:
    indices = digits.split(TrainConfig())
    test = digits.test(indices)
    assert torch.equal(test.images, load("digits").images[indices.test])
    assert torch.equal(test.labels, load("digits").labels[indices.test])


# Real sets


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "per_class"), [("cifar10", (50_000, 3, 32, 32), 5_000), ("mnist", (60_000, 1, 28, 28), None)]
)
def test_real_sets(real_root: Callable[[str], Path], name: str, shape: tuple[int, ...], per_class: int | None) -> None:
    data = load(name, real_root(name))
    assert data.images.shape == shape
    counts = data.labels.bincount()
    assert len(counts) == len(data.class_names) == 10
    assert per_class is None or counts.tolist() == [per_class] * 10
    assert size_of_test_file(name, real_root(name)) == 10_000


def test_sixteen_bit_images_are_told_not_clipped(write_set: WriteSet, tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 900
    write_set([ramp, np.zeros((8, 8, 3), np.uint8)], [0, 1])
    with pytest.raises(Faults, match=r"row 0 is not an image: its mode I;16 has more than 8 bits a channel"):
        load("mine", tmp_path)


def test_a_cache_that_cannot_be_written_is_told(
    write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set([np.zeros((8, 8, 3), np.uint8)] * 2, [0, 1])
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("EMBED_CACHE_DIR", str(blocked / "cache"))
    with pytest.raises(Faults, match=r"cannot be written .*EMBED_CACHE_DIR"):
        load("mine", tmp_path)
