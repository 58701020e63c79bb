"""Networks: unit embeddings of any view layout, the same start for every arm, and limits stated in words."""

import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import vgg11

from embedding_core.config import TrainConfig
from embedding_core.faults import Faults
from embedding_core.models import EmbeddingNetwork, build_network
from embedding_core.seeding import generator, stream

VGG = {"backbone": "vgg11", "norm_kind": "none"}


def build(shape: tuple[int, int, int] = (1, 8, 8), precision: str = "float32", **settings: object) -> EmbeddingNetwork:
    mean, std = torch.full((shape[0],), 0.3), torch.full((shape[0],), 0.2)
    return build_network(TrainConfig.from_flat(settings), shape=shape, mean=mean, std=std, precision=precision)


def images(n: int, shape: tuple[int, int, int] = (1, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), generator=generator(0, "test"), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 8, 8), {"norm_kind": "group"}), ((3, 32, 32), {"norm_kind": "batch"}), ((3, 5, 9), {"norm_kind": "none"}),
        ((3, 32, 32), VGG), ((1, 32, 40), VGG),
    ],
)  # fmt: skip
def test_embeddings_have_unit_length(shape: tuple[int, int, int], settings: dict[str, object]) -> None:
    network = build(shape, embedding_dim=17, **settings).eval()
    with torch.no_grad():
        z = network(images(6, shape))
        views = network(images(6, shape).unflatten(0, (2, 3)))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(6))
    assert z.std(dim=0).max() > 0  # the images differ, and so do their embeddings
    torch.testing.assert_close(views, z.unflatten(0, (2, 3)))


def test_pixels_are_scaled_by_mean_and_deviation() -> None:
    scaled = build()
    plain = build()
    plain.mean.fill_(0)
    plain.std.fill_(1)
    seen = []
    for network in (scaled, plain):
        network.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        network(images(2))
    torch.testing.assert_close(seen[0], (seen[1] - 0.3) / 0.2)
    torch.testing.assert_close(seen[1], images(2) / 255)


def test_bf16_is_the_backbones_alone() -> None:
    network = build(precision="bf16").eval()
    features = []
    network.backbone.register_forward_hook(lambda module, inputs, output: features.append(output))
    z = network(images(4))
    assert features[0].dtype == torch.bfloat16
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))


def test_every_arm_of_a_block_starts_from_the_same_weights() -> None:
    base = build(seed=3).state_dict()
    torch.rand(5)  # the global stream has no say
    other = build(seed=3, koleo=True, koleo_weight=0.1, accum_steps=4, lr=0.1, optimizer="rmsprop").state_dict()
    assert all(torch.equal(base[name], other[name]) for name in base)
    assert not torch.equal(base["head.weight"], build(seed=4).state_dict()["head.weight"])


def test_building_a_network_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("kind", "module"), [("group", nn.GroupNorm), ("batch", nn.BatchNorm2d), ("none", None)])
def test_norm_kind_is_the_only_norm(kind: str, module: type[nn.Module] | None) -> None:
    norms = [m for m in build(norm_kind=kind).modules() if isinstance(m, nn.GroupNorm | nn.BatchNorm2d)]
    assert len(norms) == (0 if module is None else 4)
    assert all(type(norm) is module for norm in norms)


def test_vgg_needs_32_pixels() -> None:
    with pytest.raises(Faults, match="at least 32 pixels a side, but got 8x8"):
        build((1, 8, 8), **VGG)


def test_vgg_weights_from_a_file(tmp_path: Path) -> None:
    other = build((3, 32, 32), seed=5, **VGG).backbone.state_dict()
    file = tmp_path / "vgg.pt"
    torch.save(
        {f"features.{name}": value for name, value in other.items()} | {"classifier.0.bias": torch.ones(2)}, file
    )
    network = build((3, 32, 32), weights=str(file), **VGG)
    assert all(torch.equal(network.backbone.state_dict()[name], value) for name, value in other.items())
    with pytest.raises(Faults, match="a readable file, but got"):
        build((3, 32, 32), weights=str(tmp_path / "missing.pt"), **VGG)


def test_vgg_is_torchvisions_without_its_classifier() -> None:
    with torch.device("meta"):
        reference = vgg11(weights=None).features
    ours = build((3, 32, 32), **VGG).backbone
    assert [str(layer) for layer in ours] == [str(layer) for layer in reference]
    assert ours.state_dict().keys() == reference.state_dict().keys()
    # Its initialisation: normal with variance 2 / fan out, biases zero; 590,000 weights give .1 % of sampling error.
    assert ours[8].weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert not ours[8].bias.any()


@pytest.mark.parametrize("content", ["text", "other network"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "weights.pt"
    if content == "text":
        file.write_text("not weights")
    else:
        torch.save(nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(Faults, match=r"weights\.pt"):
        build((3, 32, 32), weights=str(file), **VGG)


def test_imagenet_weights_without_a_network_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(Faults, match=r"no route to host.*weights=FILE.*weights=none"):
        build((3, 32, 32), weights="imagenet", **VGG)


def test_streams_are_separate_and_stable() -> None:
    roles = [(seed, role, epoch) for seed in range(3) for role in ("order", "augmentation") for epoch in range(3)]
    assert len({stream(*role) for role in roles}) == len(roles)
    # A change of this number changes every published run.
    assert stream(0, "order", 0) == 1864822792221289227
