"""Copies are found by their pixels, told in numbers, refused or left out: no test image is trained on unnoticed."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.duplicates import copies_in, first_copies
from embedding_core.errors import Faults
from embedding_core.train import train

CPU = torch.device("cpu")

Leaky = Callable[..., DeviceData]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))


def written(root: Path, train: list[int], test: list[int] | None, labels: Callable[[int], int]) -> None:
    """A Parquet set whose images are numbers: equal numbers, equal pixels, other bytes."""
    for split, numbers in (("train", train), ("test", test)):
        if numbers is None:
            continue
        rows = []
        for place, number in enumerate(numbers):
            pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG", compress_level=place % 10)
            rows.append({"bytes": stream.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(rows, kind), "label": pa.array([labels(n) for n in numbers], pa.int64())})
        (root / "numbers").mkdir(exist_ok=True)
        pq.write_table(table, root / "numbers" / f"{split}.parquet")


@pytest.fixture
def leaky(tmp_path: Path) -> Leaky:
    """`leaky(train, test)` -> data of images that are numbers, of four classes."""

    def build(train: list[int], test: list[int] | None, labels: Callable[[int], int] = lambda n: n % 4) -> DeviceData:
        written(tmp_path, train, test, labels)
        return DeviceData.load(config(tmp_path), CPU)

    return build


def config(root: Path, **settings: object) -> TrainConfig:
    given = {"dataset": "numbers", "data_root": str(root), "loss": "softmax", "batch_size": 8, "embedding_dim": 4}
    return TrainConfig.from_flat({**given, "epochs": 1, **settings})


def pixels_of(data: DeviceData, places: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images[places]}


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.lists(st.integers(0, 9), max_size=20))
def test_copies_are_those_that_comparing_all_pairs_finds(numbers: list[int], tested: list[int]) -> None:
    images, test = (
        torch.tensor(n, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2) for n in (numbers, tested)
    )
    key = f"{numbers}"
    assert first_copies(images, sha256=key).tolist() == [numbers.index(n) for n in numbers]
    found = copies_in(images, test, sha256=key, test_sha256=f"{tested}").tolist()
    assert found == [numbers.index(n) if n in numbers else -1 for n in tested]


def test_a_test_file_cut_from_the_training_file_is_refused_with_numbers(leaky: Leaky, tmp_path: Path) -> None:
    leaky(list(range(48)), list(range(12)))
    with pytest.raises(Faults) as error:
        next(train(config(tmp_path)))
    (fault,) = error.value.faults
    assert (
        "but 12 of 12 test images are training or validation images too, pixel by pixel (0 3, 1 3, 2 3, 3 3)" in fault
    )
    assert "`--duplicates drop`" in fault
    (row,) = train(config(tmp_path, duplicates="keep"))
    assert row["end_reason"] == "completed"


def test_what_is_dropped_is_tested_and_neither_trained_on_nor_validated_with(leaky: Leaky, tmp_path: Path) -> None:
    data = leaky([*range(48), *range(40, 48)], list(range(12)))
    kept = data.split(config(tmp_path, duplicates="drop"))
    assert len(kept.test) == 12
    assert data.shared(kept)[:4] == (12, 0, len(kept.val), 0)
    assert len(kept.train) + len(kept.val) == 36  # 48 numbers without the 12 that are tested
    assert not pixels_of(data, kept.train) & pixels_of(data, kept.val)
    (row,) = train(config(tmp_path, duplicates="drop"))
    assert row["split_sha256"] == kept.sha256


def test_parts_of_one_file_are_told_apart_too(leaky: Leaky, tmp_path: Path) -> None:
    data = leaky([*range(80), *range(80)], None)
    as_it_is = data.split(config(tmp_path, duplicates="keep"))
    found = data.shared(as_it_is)
    assert found.test == sum(one in pixels_of(data, torch.cat([as_it_is.train, as_it_is.val])) for one in
                             (image.numpy().tobytes() for image in data.images[as_it_is.test]))  # fmt: skip
    assert found.val > 0
    assert found.many
    kept = data.split(config(tmp_path, duplicates="drop"))
    parts = [pixels_of(data, part) for part in (kept.train, kept.val, kept.test)]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert kept.test.tolist() == as_it_is.test.tolist()  # the test split is fixed per data set


@pytest.mark.slow
def test_one_in_a_thousand_may_be_there_twice_and_a_copy_of_another_class_is_counted(leaky: Leaky) -> None:
    data = leaky(list(range(40)), [*range(8), *range(100, 8092)], labels=lambda n: n % 4 if n >= 100 else n % 2)
    found = data.shared(data.split(TrainConfig(loss="softmax")))
    assert (found.tested, found.test, found.many) == (8000, 8, False)


def test_the_sets_that_most_begin_with_have_none(digits: DeviceData) -> None:
    assert digits.shared(digits.split(TrainConfig(loss="softmax"))).sentence() == ""


def test_hashes_of_configurations_are_those_of_before_the_field() -> None:
    assert "duplicates" not in TrainConfig().to_json()
    assert TrainConfig(duplicates="drop").sha256 != TrainConfig().sha256
