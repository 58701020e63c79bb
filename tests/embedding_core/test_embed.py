"""`python -m embedding_core.embed`: the same image, the same vector, whatever file it comes in."""

import io
import json
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import load
from embedding_core.data.readers import image_stream
from embedding_core.data.readers.image_stream import ImageStream
from embedding_core.embed import BATCH, Batch, batches, load_model, main
from embedding_core.errors import Faults
from embedding_core.evaluation.embedding import embed, outputs
from embedding_core.losses.objective import Objective
from embedding_core.models.network import build_network
from embedding_core.train import train
from embedding_core.training import checkpoint
from embedding_core.training.optimizers import build_optimizer

WriteSet = Callable[..., Path]


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def model(digits: DeviceData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey model, batch norm included, after one epoch on digits."""
    folder = tmp_path_factory.mktemp("model")
    config = TrainConfig(subset=70, batch_size=32, epochs=1, norm_kind="batch", embedding_dim=16)
    list(train(config, save_to=folder / "run.pt", data=digits))
    checkpoint.export_model(folder / "run.pt", folder / "model.pt")
    return folder / "model.pt"


@pytest.fixture
def colour_model(colour_set: Path, tmp_path: Path) -> Path:
    config = TrainConfig(dataset="mine", data_root=str(colour_set), batch_size=16, epochs=1)
    list(train(config, save_to=tmp_path / "run.pt"))
    return tmp_path / "run.pt"  # a checkpoint is a model too


def read_images(source: Path, shape: tuple[int, int, int]) -> Batch:
    """All of them, fewer than a batch."""
    (batch,) = batches(ImageStream.of(source), shape)
    return batch


def vectors(file: Path) -> torch.Tensor:
    return torch.tensor(pq.read_table(file)["embedding"].to_pylist())


def test_a_folder_of_images(
    model: Path, digits: DeviceData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    for i in range(5):
        place = folder / ("deeper" if i % 2 else ".")
        Image.fromarray(digits.images[i, 0].numpy()).save(place / f"{i}.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "._0.png").write_text("what a Mac leaves beside its images")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "1.png").write_text("and in its archives")
    out = tmp_path / "out.parquet"
    assert main([str(model), str(folder), "--out", str(out)]) == 0
    assert "5 embeddings of 16 numbers" in capsys.readouterr().out
    table = pq.read_table(out)
    assert table.column_names == ["path", "label", "embedding"]
    assert table["label"].to_pylist() == [None] * 5
    order = [int(Path(path).stem) for path in table["path"].to_pylist()]
    assert sorted(order) == list(range(5))
    expected = embed(load_model(model), digits.images[order])
    torch.testing.assert_close(vectors(out), expected, rtol=0, atol=0)


def test_a_parquet_file(model: Path, digits: DeviceData, write_set: WriteSet, tmp_path: Path) -> None:
    file = write_set(list(digits.images[:6, 0].numpy()), digits.labels[:6].tolist())
    out = tmp_path / "out.parquet"
    assert main([str(model), str(file), "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table["label"].to_pylist() == digits.labels[:6].tolist()
    assert table["path"].to_pylist() == [f"{file}#{row}" for row in range(6)]
    torch.testing.assert_close(vectors(out), embed(load_model(model), digits.images[:6]), rtol=0, atol=0)


def test_colour_from_a_folder_and_from_parquet(colour_model: Path, colour_set: Path, tmp_path: Path) -> None:
    images = load("mine", colour_set, split="test").images
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(folder / f"{i:03}.png")
    expected = embed(load_model(colour_model), images)
    for source in (folder, colour_set / "mine" / "test.parquet"):
        assert main([str(colour_model), str(source), "--out", str(tmp_path / "out.parquet")]) == 0
        torch.testing.assert_close(vectors(tmp_path / "out.parquet"), expected, rtol=0, atol=0)


def test_a_model_embeds_as_it_did_at_the_end_of_training(model: Path, digits: DeviceData) -> None:
    state = checkpoint.read(model.with_name("run.pt"))
    z = embed(load_model(model), digits.images[:50])
    assert z.shape == (50, 16)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(50))
    config = checkpoint.model_config(state)
    used = digits.split(config).val
    z = embed(load_model(model), digits.images[used])
    similarity = (z @ z.T)[~torch.eye(len(used), dtype=torch.bool)]
    assert similarity.mean().item() == pytest.approx(state["rows"][-1]["val_sim_mean"], rel=1e-5)


def test_a_model_trained_by_dot_embeds_at_unit_length_and_still_knows_its_lengths(
    digits: DeviceData, tmp_path: Path
) -> None:
    config = TrainConfig(loss="nt_xent", similarity="dot", subset=70, batch_size=32, epochs=1)
    list(train(config, save_to=tmp_path / "run.pt", data=digits))
    checkpoint.export_model(tmp_path / "run.pt", tmp_path / "model.pt")
    network = load_model(tmp_path / "model.pt")
    lengths = outputs(network, digits.images[:50]).norm(dim=1)
    assert lengths.std() > 0.01
    z = embed(network, digits.images[:50])
    torch.testing.assert_close(z.norm(dim=1), torch.ones(50))
    torch.testing.assert_close(z * lengths[:, None], outputs(network, digits.images[:50]))


def test_other_sizes_and_colours_become_the_models(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    Image.fromarray(np.full((40, 30, 3), (200, 100, 50), dtype=np.uint8)).save(file)
    images, paths, labels = read_images(file, (1, 8, 8))
    assert images.shape == (1, 1, 8, 8)
    # ITU-R 601 luma: .299 R + .587 G + .114 B; JPEG may move it by one or two.
    assert (images.float() - 124.2).abs().max() <= 3
    assert (paths, labels) == ([str(file)], [None])


def test_a_file_is_decoded_as_in_training(tmp_path: Path, write_set: WriteSet) -> None:
    """Sizes that differ, a photograph on its side, transparency: the same pixels as from the data set."""
    draws = np.random.default_rng(0)
    upright = Image.fromarray(draws.integers(0, 255, (20, 10, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pictures = {"a.png": (upright, {}), "b.png": (upright, {"exif": exif}), "c.png": (upright.convert("RGBA"), {})}
    pictures["c.png"][0].putalpha(100)
    folder = tmp_path / "images"
    folder.mkdir()
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)
    file = write_set([(folder / name).read_bytes() for name in pictures], [0, 1, 0])
    from_files, _, _ = read_images(folder, (3, 16, 16))
    from_parquet, _, _ = read_images(file, (3, 16, 16))
    in_training = load("mine", tmp_path, image_size=16).images
    assert torch.equal(from_files, in_training)
    assert torch.equal(from_parquet, in_training)


def test_all_unreadable_images_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(Faults) as caught:
        read_images(tmp_path, (1, 8, 8))
    assert [fault.partition(" is not an image")[0] for fault in caught.value.faults[:2]] == [
        str(tmp_path / name) for name in ("a.png", "b.jpg")
    ]
    assert caught.value.faults[2] == "2 are broken; `--skip-broken` goes on without them."
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Faults, match=r"holds no images \(.*\) and no Parquet files"):
        read_images(empty, (1, 8, 8))


def test_broken_images_are_left_out_on_request_and_recorded(
    model: Path, digits: DeviceData, write_set: WriteSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [*digits.images[:6, 0].numpy()]
    file = write_set([*images[:2], b"no image", *images[2:]], [0] * 7)
    out = tmp_path / "out.parquet"
    assert main([str(model), str(file), "--out", str(out)]) == 2
    assert not out.exists()
    assert main([str(model), str(file), "--out", str(out), "--skip-broken"]) == 0
    assert "6 embeddings of 16 numbers" in (told := capsys.readouterr()).out
    assert "(without 1 broken image)" in told.out
    assert f"{file}#2 is not an image: cannot identify its format" in told.err
    assert pq.read_table(out)["path"].to_pylist() == [f"{file}#{row}" for row in (0, 1, 3, 4, 5, 6)]
    torch.testing.assert_close(vectors(out), embed(load_model(model), digits.images[:6]), rtol=0, atol=0)
    (sentence,) = json.loads(pq.read_metadata(out).metadata[b"broken"])
    assert sentence.startswith(f"{file}#2 is not an image: ")
    file = write_set([b"no image"], [0], name="none")
    assert main([str(model), str(file), "--out", str(out), "--skip-broken"]) == 2
    assert "holds no image that can be decoded" in capsys.readouterr().err


def test_images_are_embedded_batch_by_batch_and_written_as_they_come(
    model: Path, digits: DeviceData, write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder of two Parquet files; both batches at the border of the files are whole."""
    alive: list[int] = []
    decoded = image_stream.decode_image

    def counted(encoded: bytes | memoryview) -> Image.Image:
        picture = decoded(encoded)
        alive.append(sum(ref() is not None for ref in pictures))
        pictures.append(weakref.ref(picture))
        return picture

    pictures: list[weakref.ref[Image.Image]] = []
    monkeypatch.setattr(image_stream, "decode_image", counted)
    images, labels = digits.images[: 2 * BATCH + 1], digits.labels[: 2 * BATCH + 1].tolist()
    first = write_set(list(images[: BATCH + 1, 0].numpy()), labels[: BATCH + 1], split="a")
    write_set(list(images[BATCH + 1 :, 0].numpy()), labels[BATCH + 1 :], split="b")
    out = tmp_path / "out.parquet"
    assert main([str(model), str(first.parent), "--out", str(out)]) == 0
    assert max(alive) <= 1
    written = pq.ParquetFile(out)
    assert [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)] == [BATCH, BATCH, 1]
    assert written.read()["label"].to_pylist() == labels
    expected = torch.cat([embed(load_model(model), part) for part in images.split(BATCH)])
    torch.testing.assert_close(vectors(out), expected, rtol=0, atol=0)


def test_parquet_without_labels_and_with_some(model: Path, digits: DeviceData, tmp_path: Path) -> None:
    rows = [{"bytes": png(image), "path": None} for image in digits.images[:3, 0].numpy()]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for name, column in (("none", {}), ("some", {"label": pa.array([4, None, 2])}), ("words", {"label": ["a"] * 3})):
        pq.write_table(pa.table({"img": pa.array(rows, kind), **column}), tmp_path / f"{name}.parquet")
        assert main([str(model), str(tmp_path / f"{name}.parquet"), "--out", str(tmp_path / "out.parquet")]) == 0
        found = pq.read_table(tmp_path / "out.parquet")
        assert found["label"].to_pylist() == ([4, None, 2] if name == "some" else [None] * 3)
        torch.testing.assert_close(vectors(tmp_path / "out.parquet"), embed(load_model(model), digits.images[:3]))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_of_images_may_be_a_column_of_their_own(
    kind: pa.DataType, model: Path, digits: DeviceData, tmp_path: Path
) -> None:
    encoded = pa.array([png(image) for image in digits.images[:3, 0].numpy()], kind)
    pq.write_table(pa.table({"image": encoded}), tmp_path / "plain.parquet")
    assert main([str(model), str(tmp_path / "plain.parquet"), "--out", str(tmp_path / "out.parquet")]) == 0
    torch.testing.assert_close(vectors(tmp_path / "out.parquet"), embed(load_model(model), digits.images[:3]))


def test_of_broken_images_nothing_is_written_and_an_earlier_file_stays(
    model: Path, digits: DeviceData, write_set: WriteSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images: list[np.ndarray | bytes] = list(digits.images[: BATCH + 40, 0].numpy())
    images[BATCH + 3] = images[BATCH + 30] = b"no image"
    file = write_set(images, [0] * len(images))
    out = tmp_path / "out" / "out.parquet"
    out.parent.mkdir()
    out.write_bytes(b"earlier")
    assert main([str(model), str(file), "--out", str(out)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" is not")[0] for line in said[:-1]] == [f"{file}#{row}" for row in (BATCH + 3, BATCH + 30)]
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("out.parquet", b"earlier")]


def test_a_terminal_shows_how_far_it_is(
    model: Path, digits: DeviceData, write_set: WriteSet, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = write_set(list(digits.images[:5, 0].numpy()), [0] * 5)
    command = [str(model), str(file), "--out", str(tmp_path / "out.parquet")]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(command) == 0
    assert capsys.readouterr().err.endswith(f"\r[{'#' * 30}] 5 of 5 images\n")


def test_a_parquet_file_of_no_images_ends_in_a_sentence(
    model: Path, write_set: WriteSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"label": [1]}), tmp_path / "other.parquet")
    for file, said in (
        (write_set([], []), "has no rows"),
        (tmp_path / "other.parquet", "must have one column `image: struct<bytes, path>`"),
    ):
        assert main([str(model), str(file), "--out", str(tmp_path / "out.parquet")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("source", ["missing.parquet", "missing", "missing.png"])
def test_missing_images_end_in_a_sentence(
    model: Path, tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), str(tmp_path / source), "--out", str(tmp_path / "out.parquet")]) == 2
    assert str(tmp_path / source) in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


def test_a_missing_model_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "model.pt"), str(tmp_path)]) == 2
    assert "model.pt is not a readable checkpoint" in capsys.readouterr().err


def test_a_model_needs_neither_network_nor_the_device_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(backbone="vgg11", norm_kind="none", embedding_dim=8)
    network = build_network(config, shape=(3, 32, 32), mean=torch.zeros(3), std=torch.ones(3), precision="float32")
    objective = Objective.of(config, classes=torch.arange(2))
    trained = replace(config, weights="imagenet", device="cuda")
    optimizer = build_optimizer(network, objective.parameters(), optimizer=config.optimizer, lr=config.lr)
    checkpoint.save(tmp_path / "run.pt", trained, network, objective, optimizer, [])
    checkpoint.export_model(tmp_path / "run.pt", tmp_path / "model.pt")

    def fetch(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    loaded = load_model(tmp_path / "model.pt")
    assert torch.equal(loaded.head.weight.cpu(), network.head.weight)
