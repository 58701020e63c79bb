"""Backbones: torchvision's own features, from images of any size they can take, in the normalisation asked for."""

import pytest
import torch
from torch import nn
from torchvision import models

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.models.backbones import build_backbone, feature_shape
from embedding_core.models.network import EmbeddingNetwork, build_network, describe
from embedding_core.seeding import generator

NONE, GROUP, BATCH = ({"norm_kind": kind} for kind in ("none", "group", "batch"))


def build(shape: tuple[int, int, int], precision: str = "float32", **settings: object) -> EmbeddingNetwork:
    mean, std = torch.full((shape[0],), 0.3), torch.full((shape[0],), 0.2)
    return build_network(TrainConfig.from_flat(settings), shape=shape, mean=mean, std=std, precision=precision)


def images(n: int, shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), generator=generator(0, "test"), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("backbone", "side", "width", "settings"),
    [
        ("vgg11", 32, 512, NONE), ("alexnet", 63, 256, NONE), ("vit_tiny", 8, 192, NONE),
        ("resnet18", 16, 512, GROUP), ("resnet18", 64, 512, BATCH), ("resnet34", 16, 512, GROUP),
        ("resnet50", 16, 2048, BATCH), ("efficientnet_v2_s", 32, 1280, GROUP),
        ("efficientnet_v2_s", 16, 64, GROUP | {"head": "study2"}), ("efficientnet_lite0", 32, 1280, GROUP),
    ],
)  # fmt: skip
def test_each_backbone_gives_its_features(backbone: str, side: int, width: int, settings: dict[str, str]) -> None:
    settings = settings | {"backbone": backbone}
    network = build((3, side, side), **settings).eval()
    batch = images(3, (3, side, side))
    with torch.no_grad():
        z = network(batch)
        features = network.features(batch)
        maps = network.backbone(torch.zeros(1, 3, side, side))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
    assert z.std(dim=0).max() > 0  # the images differ, and so do their embeddings
    assert features.shape == (3, width)
    assert maps.shape[1:] == feature_shape(network.backbone, channels=3, side=(side, side))
    assert network.feature_shape == maps.shape[1:]
    assert describe(network, backbone=backbone)["norm_kind"] == settings["norm_kind"]


@pytest.mark.parametrize(
    ("backbone", "side", "settings"), [("vgg11", 32, NONE), ("vit_tiny", 8, NONE), ("resnet18", 8, GROUP)]
)
def test_grey_images_are_colour_images_without_colour(backbone: str, side: int, settings: dict[str, str]) -> None:
    grey = build((1, side, side), backbone=backbone, **settings).eval()
    colour = build((3, side, side), backbone=backbone, **settings).eval()
    batch = images(2, (1, side, side))
    with torch.no_grad():
        torch.testing.assert_close(grey(batch), colour(batch.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("backbone", "side", "settings"), [("alexnet", 63, NONE), ("vit_tiny", 8, NONE), ("resnet18", 8, GROUP)]
)
def test_bf16_is_the_backbones_alone(backbone: str, side: int, settings: dict[str, str]) -> None:
    network, exact = (build((3, side, side), p, backbone=backbone, **settings).eval() for p in ("bf16", "float32"))
    seen = []
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.no_grad():
        z = network(images(3, (3, side, side)))
        cosine = (z * exact(images(3, (3, side, side)))).sum(dim=1)
    assert seen == [torch.bfloat16]
    torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
    assert cosine.min() > 0.99
    assert cosine.max() < 1 - 1e-7  # and it was another precision


@pytest.mark.parametrize(
    ("backbone", "side", "settings"), [("alexnet", 63, NONE), ("vit_tiny", 8, NONE), ("resnet18", 8, GROUP)]
)
def test_a_seed_is_a_start(backbone: str, side: int, settings: dict[str, str]) -> None:
    shape = (3, side, side)
    first = build(shape, backbone=backbone, seed=3, **settings).state_dict()
    torch.rand(5)  # the global stream has no say
    again = build(shape, backbone=backbone, seed=3, lr=0.1, **settings).state_dict()
    other = build(shape, backbone=backbone, seed=4, **settings).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if first[name].ndim == 4]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "efficientnet_v2_s"])
def test_groups_replace_every_batch_norm(backbone: str) -> None:
    with torch.device("meta"):
        reference = models.get_model(backbone, weights=None).modules()
    layers = sum(isinstance(module, nn.BatchNorm2d) for module in reference)
    modules = list(build((3, 32, 32), backbone=backbone, **GROUP).modules())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)
    groups = [module for module in modules if isinstance(module, nn.GroupNorm)]
    assert len(groups) == layers
    assert all(group.num_channels >= 2 * group.num_groups for group in groups)


def test_convolutions_are_torchvisions_without_a_classifier() -> None:
    with torch.device("meta"):
        references = {"vgg11": models.vgg11().features, "alexnet": models.alexnet().features}
    for name, reference in references.items():
        ours = build((3, 64, 64), backbone=name, **NONE).backbone
        assert [str(layer) for layer in ours] == [str(layer) for layer in reference]
        assert ours.state_dict().keys() == reference.state_dict().keys()


def test_initialisation_is_torchvisions() -> None:
    # Normal with variance 2 / fan out, biases zero; 590,000 weights give .1 % of sampling error.
    vgg = build((3, 32, 32), backbone="vgg11", **NONE).backbone
    assert vgg[8].weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert not vgg[8].bias.any()
    # torch's default for the others: uniform to 1 / sqrt(fan in).
    alexnet = build((3, 63, 63), backbone="alexnet", **NONE).backbone
    assert alexnet[6].weight.std().item() == pytest.approx((192 * 9 * 3) ** -0.5, rel=0.01)
    assert alexnet[6].bias.any()
    # A small stem is drawn as the stem it replaces; 1,728 weights give 1.7 %.
    stem = build((3, 32, 32), backbone="resnet18", **GROUP).backbone.conv1
    assert stem.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.07)


def test_small_images_keep_their_side_in_the_stem() -> None:
    for side, positions in ((32, 4), (63, 8), (64, 2)):
        backbone = build((3, side, side), backbone="resnet18", **GROUP).backbone
        assert feature_shape(backbone, channels=3, side=(side, side)) == (512, positions, positions)


@pytest.mark.parametrize(
    ("side", "patches"), [(8, 8), (28, 7), (32, 8), (64, 8), (96, 8), (128, 8), (200, 20), (224, 14)]
)
def test_patches_follow_the_image(side: int, patches: int) -> None:
    network = build((3, side, side), backbone="vit_tiny", **NONE)
    assert network.backbone.encoder.pos_embedding.shape == (1, patches**2 + 1, 192)


@pytest.mark.parametrize(
    ("backbone", "side", "words"),
    [
        ("vgg11", (8, 40), "at least 32 pixels a side, but got 8x40"),
        ("alexnet", (62, 62), "at least 63 pixels a side, but got 62x62"),
        ("vit_tiny", (6, 6), "7 to 28 patches a side, of at most 16 pixels each, but got 6x6"),
        ("vit_tiny", (127, 127), "but got 127x127"), ("vit_tiny", (32, 64), "square images .* but got 32x64"),
    ],
)  # fmt: skip
def test_images_that_a_backbone_cannot_take(backbone: str, side: tuple[int, int], words: str) -> None:
    with pytest.raises(Faults, match=words):
        build((3, *side), backbone=backbone, **NONE)


@pytest.mark.slow
def test_a_backbone_needs_no_configuration_and_no_unknown_name() -> None:
    whole, first = (
        build_backbone("efficientnet_v2_s", channels=3, side=(64, 64), norm_kind="batch", stages=stages)
        for stages in (None, 4)
    )
    assert [feature_shape(each, channels=3, side=(64, 64)) for each in (whole, first)] == [(1280, 2, 2), (64, 8, 8)]
    for side, positions in ((32, [4, 4, 1]), (64, [2, 8, 2])):
        stems = (
            build_backbone("resnet18", channels=3, side=(side, side), norm_kind="group", small_stem=small)
            for small in (None, True, False)
        )
        assert [feature_shape(each, channels=3, side=(side, side))[1] for each in stems] == positions
    with pytest.raises(Faults, match="Did you mean `resnet18`"):
        build_backbone("resnet8", channels=3, side=(32, 32), norm_kind="group")
