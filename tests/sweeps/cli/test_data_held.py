"""A sweep keeps the data that it began with: what changed is told before anything runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.train import train
from sweeps.cli.options import parse
from sweeps.cli.preflight import pinned, preflight
from sweeps.cli.sweep_folder import keep_plan
from sweeps.design import Design, plan_file
from sweeps.design.merge import merge
from sweeps.design.plan import Plan
from sweeps.results import frozen
from sweeps.results.store import Store
from tests.sweeps.invented_runs import go_on, swept

Start = Callable[..., Plan]

CLASSES = ("cat", "cow", "owl")


def drawn(file: Path, seed: int) -> None:
    """An image of noise, another for each path and seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([seed, *"/".join(file.parts[-3:]).encode()])
    Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(file)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Class folders of 12 images in `train`, 4 in `test`."""
    for split, n in (("train", 12), ("test", 4)):
        for name in CLASSES:
            for i in range(n):
                drawn(tmp_path / "images" / split / name / f"{i}.png", 0)
    return tmp_path / "images"


@pytest.fixture
def start(tiny: Design, tmp_path: Path, images: Path) -> Start:
    """`start(*flags)` as a driver does, up to its first trial."""
    design = replace(tiny, fixed={**tiny.fixed, "batch_size": 8, "subset": None})

    def begin(*flags: str, **what: Any) -> Plan:
        folder = tmp_path / "results" / "s"
        options = parse(
            design, ["--results", str(folder.parent), "--name", "s", "--dataset", f"folder:{images}", *flags]
        )
        plan = Plan.of(design, {**options.what, **what})
        if options.extend is not None:
            plan = plan_file.extended(design, plan, *options.extend)
        plan, data = preflight(plan, options, folder)
        if not options.resume:
            Store.create(folder)
        keep_plan(plan, options, folder, "", pinned(plan, data))
        return plan

    return begin


def faults(start: Start, *flags: str) -> list[str]:
    with pytest.raises(Faults) as error:
        start(*flags)
    return list(error.value.faults)


@pytest.mark.slow
@pytest.mark.parametrize("going_on", [["--resume"], ["--extend", "replicates=1"], ["--retry", "diverged"]])
def test_an_image_more_is_told_by_its_class(start: Start, images: Path, going_on: list[str]) -> None:
    start()
    start(*going_on)
    drawn(images / "train" / "owl" / "more.png", 1)
    (fault,) = faults(start, *going_on)
    assert "the training images (12 images of owl, now 13; sha256 " in fault
    assert "put them back as they were, or begin a sweep under another `--name`" in fault


def test_other_pixels_and_another_test_split_are_told(start: Start, images: Path) -> None:
    start()
    drawn(images / "train" / "cat" / "0.png", 2)
    (images / "test" / "cow" / "3.png").unlink()
    (fault,) = faults(start, "--resume")
    assert "the training images (as many of each class, but other pixels; sha256 " in fault
    assert "and the test images (4 images of cow, now 3; sha256 " in fault


def test_weights_that_were_trained_again_are_told(
    start: Start, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cli.preflight.build_network", lambda *a, **k: None)  # which would load them
    file = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(1)}, file)
    start("--set", f"weights={file}")
    torch.save({"a": torch.ones(1)}, file)
    (fault,) = faults(start, "--resume", "--set", f"weights={file}")
    assert f"the weights in {file} (sha256 " in fault


@pytest.mark.slow
def test_a_test_split_that_is_gone_is_a_change(start: Start, images: Path) -> None:
    start()
    (images / "test").rename(images.with_name("away"))
    for split in (images / "train").iterdir():
        split.rename(images / split.name)
    (images / "train").rmdir()
    (fault,) = faults(start, "--resume")
    assert "the test images (which are gone)" in fault


@pytest.mark.slow
def test_a_plan_that_pins_nothing_is_held_to_its_rows(start: Start, tiny: Design, tmp_path: Path, images: Path) -> None:
    """Of sweeps that older code began: without a row there is nothing to compare."""
    folder = tmp_path / "results" / "s"
    plan = start()
    content = json.loads((folder / "plan.json").read_text())
    data = content.pop(frozen.DATA)
    frozen.write(folder / "plan.json", content)
    drawn(images / "train" / "owl" / "more.png", 1)
    start("--resume")
    go_on(plan, Store.open(folder))  # rows of `images of ...`
    (fault,) = faults(start, "--resume")
    assert f"the training images (sha256 {'images of folder:'[:12]}, now " in fault
    assert data["train"]["classes"] == dict.fromkeys(CLASSES, 12)


def test_broken_images_are_refused_all_at_once_or_left_out_and_pinned(
    start: Start, tmp_path: Path, images: Path
) -> None:
    broken = [images / "train" / "cat" / "0.png", images / "test" / "owl" / "1.png"]
    for file in broken:
        file.write_bytes(file.read_bytes()[:40])
    told = faults(start)
    assert [line.partition(" is not an image: ")[0] for line in told[:2]] == [str(file) for file in broken]
    assert "cannot be decoded: 2; `--skip-broken`" in told[2]
    plan = start("--skip-broken")
    assert plan.base["skip_broken"] is True
    pin = json.loads((tmp_path / "results/s/plan.json").read_text())[frozen.DATA]
    assert [pin[part]["images"] for part in ("train", "test")] == [35, 11]
    for part, file in zip(("train", "test"), broken, strict=True):
        assert pin[part]["broken"][0].startswith(f"{file} is not an image: ")
    (line,) = [line for line in pin[frozen.LINES] if line.startswith("broken:")]
    assert line.endswith(
        "1 train image and 1 test image cannot be decoded and are left out: train/cat/0.png, test/owl/1.png"
    )
    start("--resume", "--skip-broken")


def test_an_extension_keeps_the_pin(start: Start, tmp_path: Path) -> None:
    start()
    before = json.loads((tmp_path / "results/s/plan.json").read_text())
    start("--extend", "replicates=2")
    after = json.loads((tmp_path / "results/s/plan.json").read_text())
    assert after["replicates"] == before["replicates"] + 2
    assert after[frozen.DATA] == before[frozen.DATA]


@pytest.mark.slow
def test_replicates_of_other_test_files_are_not_merged(tiny: Design, tmp_path: Path) -> None:
    def with_test_file(seed: int, sha256: str) -> Path:
        folder = swept(tiny, tmp_path / f"s{seed}", preset="quick", blocks=2, seed=seed, replicates=1)
        content = json.loads((folder / "plan.json").read_text())
        pin = {"train": {"sha256": "same"}, "test": {"sha256": sha256}, "weights": {}}
        frozen.write(folder / "plan.json", frozen.with_hash({**content, frozen.DATA: pin}))
        return folder

    with pytest.raises(Faults, match=r"The hash of the test images is old in .*, new in ") as error:
        merge([with_test_file(0, "old"), with_test_file(1, "new")], tmp_path / "merged", planned=True)
    assert len(error.value.faults) == 1


def test_a_run_that_goes_on_is_held_to_its_images(images: Path, tmp_path: Path) -> None:
    config = TrainConfig(dataset=f"folder:{images}", batch_size=8, embedding_dim=4, epochs=2)
    rows = train(config, save_to=tmp_path / "run.pt", save_every_s=0)
    next(rows)
    rows.close()
    drawn(images / "train" / "owl" / "0.png", 3)
    with pytest.raises(Faults, match="is a run on other images of `folder:"):
        list(train(config, resume=tmp_path / "run.pt"))
