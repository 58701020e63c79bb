"""Initial weights: torchvision's files give torchvision's features; what does not fit is one sentence."""

import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.models.network import EmbeddingNetwork, build_network
from embedding_core.models.pretrained import IMAGENET_MEAN, IMAGENET_STD
from embedding_core.seeding import generator

VGG = {"backbone": "vgg11", "norm_kind": "none"}
SIDES = {"vgg11": 32, "alexnet": 63, "resnet18": 32, "resnet34": 32, "resnet50": 32, "efficientnet_v2_s": 32}


def build(side: int, *, pretrained: bool = True, **settings: object) -> EmbeddingNetwork:
    config = TrainConfig.from_flat({"input_scaling": "imagenet", **settings})
    mean, std = torch.full((3,), 0.3), torch.full((3,), 0.2)
    return build_network(config, shape=(3, side, side), mean=mean, std=std, precision="float32", pretrained=pretrained)


def images(n: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, side, side), generator=generator(0, "test"), dtype=torch.uint8)


def torchvision_model(name: str) -> nn.Module:
    """Torchvision's model with random weights and statistics, and a small classifier for a large one."""
    draws = generator(1, "test")
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    if hasattr(model, "classifier"):
        model.classifier = nn.Linear(2, 2)
    model = model.to_empty(device="cpu").eval()
    for tensor in model.state_dict().values():
        if tensor.ndim > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=draws)
        else:
            tensor.copy_(torch.rand(tensor.shape, generator=draws) + 0.5)
    return model


def reference_features(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Features before torchvision's classifier, averaged over positions."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    x = (batch / 255 - mean) / std
    if hasattr(model, "features"):
        return model.features(x).mean(dim=(2, 3))
    model.fc = nn.Identity()
    return model(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIDES)
def test_a_file_of_torchvision_gives_torchvisions_features(name: str, tmp_path: Path) -> None:
    model = torchvision_model(name)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    norm_kind = "none" if name in ("vgg11", "alexnet") else "batch"
    network = build(SIDES[name], backbone=name, norm_kind=norm_kind, weights=str(tmp_path / "weights.pth")).eval()
    batch = images(2, SIDES[name])
    with torch.no_grad():
        expected = reference_features(model, batch)
        assert expected.std(dim=0).max() > 0
        torch.testing.assert_close(network.features(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_study2_takes_the_first_stages_of_a_file(tmp_path: Path) -> None:
    model = torchvision_model("efficientnet_v2_s")
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    settings = {"backbone": "efficientnet_v2_s", "norm_kind": "batch", "head": "study2"}
    network = build(32, weights=str(tmp_path / "weights.pth"), **settings).eval()
    model.features = model.features[:4]
    with torch.no_grad():
        expected = reference_features(model, images(2, 32))
        torch.testing.assert_close(network.features(images(2, 32)), expected, rtol=1e-4, atol=1e-5)


def test_files_from_before_batches_were_counted(tmp_path: Path) -> None:
    state = {k: v for k, v in torchvision_model("resnet18").state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "weights.pth")
    network = build(32, backbone="resnet18", norm_kind="batch", weights=str(tmp_path / "weights.pth"))
    assert torch.equal(network.backbone.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])


@pytest.mark.parametrize("settings", [{}, {"backbone": "vit_tiny", "norm_kind": "none"}])
def test_weights_of_a_backbone_and_of_a_whole_model(tmp_path: Path, settings: dict[str, str]) -> None:
    other = build(8, seed=5, head="mlp", **settings)
    torch.save(other.backbone.state_dict(), tmp_path / "backbone.pt")
    model = {"version": 2, "config": "{}", "image_shape": [3, 8, 8], "network": other.state_dict()}
    torch.save(model, tmp_path / "model.pt")  # as embedding_core.training.checkpoint keeps it
    for file in ("backbone.pt", "model.pt"):
        network = build(8, weights=str(tmp_path / file), **settings)
        loaded = network.backbone.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in other.backbone.state_dict().items())
        assert torch.equal(network.head.weight, build(8, **settings).head.weight)  # drawn as ever


def test_weights_left_to_the_caller_are_not_read(tmp_path: Path) -> None:
    settings = {"backbone": "resnet18", "norm_kind": "batch", "weights": str(tmp_path / "missing.pt")}
    network = build(32, pretrained=False, **settings)
    assert network.backbone.conv1.kernel_size == (7, 7)  # the stem of published weights, small image or not


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text", "not a saved state dict"), ({"epoch": 3}, "not a saved state dict"),
        ({0: torch.ones(2)}, "not a saved state dict"), ([torch.ones(2)], "not a saved state dict"),
        ({}, "no `0.weight` and 15 more"),
        (nn.Linear(2, 2).state_dict(), "no `0.weight` and 15 more"),
    ],
)  # fmt: skip
def test_files_that_hold_something_else(tmp_path: Path, content: object, words: str) -> None:
    file = tmp_path / "weights.pt"
    if isinstance(content, str):
        file.write_text(content)
    else:
        torch.save(content, file)
    with pytest.raises(Faults, match=rf"weights\.pt.*{words}") as error:
        build(32, weights=str(file), **VGG)
    assert "\n" not in str(error.value)


def test_weights_of_another_network(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(torchvision_model("resnet34").state_dict(), file)
    with pytest.raises(Faults, match=r"must fit resnet18, but .*: `layer1.2.conv1.weight` is unknown and 95 more\."):
        build(32, backbone="resnet18", norm_kind="batch", weights=str(file))
    state = torchvision_model("resnet18").state_dict()
    torch.save(state | {"conv1.weight": torch.ones(64, 3, 5, 5)}, file)
    with pytest.raises(Faults, match=r"`conv1.weight` is \[64, 3, 5, 5\], not \[64, 3, 7, 7\]\.") as error:
        build(32, backbone="resnet18", norm_kind="batch", weights=str(file))
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 64])
def test_a_resnet_has_the_stem_of_its_file(side: int, tmp_path: Path) -> None:
    """One of one's own was trained below 64 pixels with a small stem; torchvision's has the large one at any size."""
    own = build(32, backbone="resnet18", norm_kind="batch", seed=5, head="mlp")
    assert own.backbone.conv1.kernel_size == (3, 3)
    torch.save({"network": own.state_dict()}, tmp_path / "own.pt")
    published = torchvision_model("resnet18")
    torch.save(published.state_dict(), tmp_path / "published.pth")
    for file, model in (("own.pt", own.backbone), ("published.pth", published)):
        settings = {"backbone": "resnet18", "norm_kind": "batch", "head": "study2", "weights": str(tmp_path / file)}
        if side == 32 and file == "published.pth":
            settings["head"] = "linear"  # one position is too few for study 2's
        loaded = build(side, **settings)
        assert torch.equal(loaded.backbone.conv1.weight, model.conv1.weight)
        assert isinstance(loaded.backbone.maxpool, nn.Identity) == (file == "own.pt")
        assert loaded(images(2, side)).shape == (2, 64)  # the head is made for the positions that are left


def test_weights_of_colour_take_grey_images(tmp_path: Path) -> None:
    half = torch.full((1,), 0.5)
    colour = build(8, seed=5)
    for name, network in (("colour", colour), ("grey", grey_network())):
        torch.save(network.backbone.state_dict(), tmp_path / f"{name}.pt")
    loaded = build_network(
        TrainConfig(weights=str(tmp_path / "colour.pt")), shape=(1, 8, 8), mean=half, std=half, precision="float32"
    )
    assert torch.equal(loaded.backbone[0].weight, colour.backbone[0].weight)
    assert torch.equal(loaded.mean.flatten(), half.expand(3))
    grey = images(2, 8)[:, :1]
    assert torch.equal(loaded(grey), loaded(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(Faults, match=r"`0.weight` is \[32, 1, 3, 3\], not \[32, 3, 3, 3\]\."):
        build(8, weights=str(tmp_path / "grey.pt"))


def grey_network() -> EmbeddingNetwork:
    half = torch.full((1,), 0.5)
    return build_network(TrainConfig(), shape=(1, 8, 8), mean=half, std=half, precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("small", [True, False])
def test_a_network_follows_the_state_that_is_loaded_next(small: bool, tmp_path: Path) -> None:
    """Its file of weights may be gone by then, or be another one."""
    file = tmp_path / "weights.pt"
    torch.save(build(32 if small else 64, backbone="resnet18", norm_kind="batch").backbone.state_dict(), file)
    config = TrainConfig(backbone="resnet18", norm_kind="batch", weights=str(file))
    mean = torch.full((3,), 0.5)
    built = build_network(config, shape=(3, 32, 32), mean=mean, std=mean, precision="float32")
    file.unlink()
    again = build_network(
        config, shape=(3, 32, 32), mean=mean, std=mean, precision="float32", follows=built.state_dict()
    )
    again.load_state_dict(built.state_dict())
    assert (again.backbone.conv1.kernel_size == (3, 3)) == small
    assert torch.equal(again.eval()(images(2, 32)), built.eval()(images(2, 32)))


def test_a_missing_file() -> None:
    with pytest.raises(Faults, match=r"a readable file, but got missing\.pt"):
        build(32, weights="missing.pt", **VGG)


@pytest.mark.parametrize(
    ("error", "words"),
    [(urllib.error.URLError("no route to host"), "no route to host"), (RuntimeError("invalid hash value"), "hash")],
)
def test_imagenet_weights_that_cannot_be_fetched(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", fail)
    for backbone, norm_kind in (("vgg11", "none"), ("resnet18", "batch")):
        with pytest.raises(Faults, match=rf"weights of {backbone} .*{words}.*weights=FILE.*weights=none"):
            build(32, weights="imagenet", backbone=backbone, norm_kind=norm_kind)
