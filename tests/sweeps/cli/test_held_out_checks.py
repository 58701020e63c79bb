"""What a sweep may ask of test images of other classes: refused in a sentence, or told in a line."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.koleo_accum import DESIGN as KOLEO
from sweeps.semi_hard_phases import DESIGN as PHASES

SMALL = "--set batch_size=16 --set embedding_dim=8 --set views=none --stages confirm"


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`written(train labels, test labels)` -> the set `mine` under the data root `data`, with one list of names."""
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)

    def write(train: list[int], test: list[int]) -> None:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        for split, labels in (("train", train), ("test", test)):
            rows = [{"bytes": png(i + 1000 * (split == "test")), "path": f"{i}.png"} for i in range(len(labels))]
            table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels, pa.int64())})
            names = json.dumps([f"class {c}" for c in range(30)])
            pq.write_table(table.replace_schema_metadata({"class_names": names}), folder / f"{split}.parquet")

    return write


TRAIN = [c for c in range(12) for _ in range(20)]
OTHERS = [c for c in range(12, 30) for _ in range(3)]


def told(
    design: Design, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, status: int
) -> tuple[list[str], list[str]]:
    """Lines on standard output and error of `--plan`."""
    argv = f"--plan --local --results {tmp_path / 'results'} --dataset mine --data-root {tmp_path / 'data'} {line}"
    assert main(design, argv.split()) == status
    assert not ray.is_initialized()
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.strip().splitlines()


def test_a_class_disjoint_test_set_is_told_in_a_line_of_the_plan(
    written: Callable[..., None], given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(TRAIN, OTHERS)
    for how, trained in (("image", 12), ("class", 10)):
        out, _ = told(KOLEO, f"{SMALL} --set val_by={how}", tmp_path, capsys, status=0)
        (line,) = [line for line in out if line.startswith("test set:")]
        assert "class-disjoint: 54 test images of 18 classes of their own" in line
        assert f"none of the {trained} classes trained on" in line
        start = out.index(next(one for one in out if one.startswith("data set:")))
        assert out.index(line) == start + 2  # after what was read


def test_test_images_that_are_passed_over_are_counted_in_a_line_of_the_plan(
    written: Callable[..., None], given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(TRAIN, [*range(12), *range(12), *OTHERS])
    out, _ = told(KOLEO, SMALL, tmp_path, capsys, status=0)
    (line,) = [line for line in out if line.startswith("test set:")]
    assert line.endswith(
        "24 test images of 12 classes are tested; 54 of 18 classes that are not trained on are passed over"
    )


def test_of_the_same_classes_there_is_no_line(
    written: Callable[..., None], given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(TRAIN, [*range(12), *range(12)])
    out, _ = told(KOLEO, SMALL, tmp_path, capsys, status=0)
    assert not any(line.startswith("test set:") for line in out)


def test_outcomes_and_classifiers_that_need_classes_trained_on_are_refused_together(
    written: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(TRAIN, OTHERS)
    line = "--preset quick --outcome knn_accuracy --set classifiers=true --set batch_size=16"
    _, errors = told(PHASES, line, tmp_path, capsys, status=2)
    assert errors == [
        "`classifiers` must be false for `mine`, whose 54 test images are of 18 classes of their own, which no "
        "classifier fitted to training images knows.",
        "`--outcome knn_accuracy` needs test images of classes that are trained on, but the 54 test images of `mine` "
        "are of 18 classes of their own: take recall_at_1 or unseen_recall_at_1.",
    ]


@pytest.mark.parametrize(
    ("test", "counts"),
    [
        ([14] * 5, "1 class has at most 5 images (5 in all)"),
        ([*range(12, 30)], "18 classes have at most 1 image (18 in all)"),
        ([3, 3, *OTHERS], "1 class has at most 2 images (2 in all; 54 images of 18 other classes are passed over)"),
    ],
)
def test_test_sets_that_nothing_can_be_measured_on_are_told_before_training(
    written: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str], test: list[int], counts: str
) -> None:
    written(TRAIN, test)
    _, errors = told(KOLEO, SMALL, tmp_path, capsys, status=2)
    assert errors == [f"The test split of `mine` must have two classes and two images of one, but {counts}."]


def test_batches_are_tried_with_the_validation_classes_of_every_replicate(
    written: Callable[..., None], given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the one large class validates, too few images are left to train on."""
    written([0] * 200 + [c for c in range(1, 12) for _ in range(3)], OTHERS)
    line = f"{SMALL} --set val_by=class --set batch_size=64 --set loss=softmax --replicates"
    told(KOLEO, f"{line} 2", tmp_path, capsys, status=0)
    _, errors = told(KOLEO, f"{line} 20", tmp_path, capsys, status=2)
    assert errors == ["`batch_size` must be at most the 30 training images, but got 64: batch_size=8 fits."]
