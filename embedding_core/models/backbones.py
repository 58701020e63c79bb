"""Backbones: normalised images to feature maps, or to one token; without the classifiers they are published with."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from embedding_core.errors import Faults, unknown
from embedding_core.models.efficientnet_lite import efficientnet_lite0
from embedding_core.plugins.builtin import BACKBONES

WIDTHS = (32, 64, 128, 128)
"""Channels of `small_cnn`'s blocks; each halves the side."""

GROUPS = 8
"""GroupNorm groups: divides the channels of every layer of every backbone."""

VGG_MIN_SIDE = 32
"""VGG11 halves the side five times."""

ALEXNET_MIN_SIDE = 63
"""AlexNet's stride of 4 and three poolings of 3 leave one position of 63 pixels, none of 62."""

SMALL_STEM_SIDE = 64
"""Below this side a ResNet from scratch starts with a 3x3 convolution and no pooling."""

VIT_PATCHES = (7, 28)
"""Fewest and most patches a side: 50 to 785 tokens."""

VIT_MAX_PATCH = 16

STUDY2_STAGES = 4
"""Study 2 takes the first stages of EfficientNetV2-S: 64 channels at an eighth of the side."""


def build_backbone(
    name: str,
    *,
    channels: int,
    side: tuple[int, int],
    norm_kind: str,
    small_stem: bool | None = None,
    stages: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Backbone, [n, c, h, w] -> [n, width, ...], with torchvision's initialisation, drawn from the global generator.

    Args:
        name: one of `TrainConfig.backbone`.
        channels: of its input; see `input_channels`.
        side: height and width of the images.
        norm_kind: `group`, `batch` or `none`; vgg11, alexnet and vit_tiny have none to choose.
        small_stem: whether a ResNet starts with a 3x3 convolution and no pooling; None: below `SMALL_STEM_SIDE`.
        stages: of `efficientnet_v2_s`, the first so many; None: all.
        settings: fields of a plug-in, such as `backbone.depth`; its defaults otherwise.

    Raises:
        Faults: unknown name; images too small, or not divisible into patches; a plug-in's that cannot be made, is no
            module, or has a BatchNorm that was not asked for.
    """
    if name not in BACKBONES:
        raise Faults([unknown("backbone", name, BACKBONES)])
    if small_stem is None:
        small_stem = min(side) < SMALL_STEM_SIDE
    given = {"channels": channels, "side": side, "norm_kind": norm_kind, "small_stem": small_stem, "stages": stages}
    backbone = BACKBONES.make(name, settings or {}, **given)
    if BACKBONES[name].sha256 is not None:
        return _plain_network(name, backbone, norm_kind)
    if norm_kind == "group":
        _replace_batch_norm(backbone)
    network: nn.Module = backbone
    return network


def _plain_network(name: str, made: object, norm_kind: str) -> nn.Module:
    """A plug-in's network as it is: another norm in it would be another network, and make its own weights useless."""
    if not isinstance(made, nn.Module):
        raise Faults([f"The backbone `{name}` must be an nn.Module, but is a {type(made).__name__}."])
    if norm_kind != "batch" and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in made.modules()):
        raise Faults([f"`norm_kind` must be batch for {name}, whose layers have BatchNorm, but got {norm_kind}."])
    return made


def feature_shape(backbone: nn.Module, *, channels: int, side: tuple[int, int]) -> torch.Size:
    """Shape of one image's features: (width, h, w), or (width,) of a token; from running the backbone on one.

    Raises:
        Faults: it gives something else.
    """
    was_training = backbone.training
    backbone.eval()  # BatchNorm refuses to train on one value, and would remember it
    with torch.no_grad():
        features = backbone(torch.zeros(1, channels, *side))
    backbone.train(was_training)
    if not isinstance(features, Tensor) or features.ndim not in (2, 4) or len(features) != 1:
        what = f"{list(features.shape)}" if isinstance(features, Tensor) else f"a {type(features).__name__}"
        raise Faults([f"A backbone must give [n, width] or [n, width, h, w], but gives {what} for n = 1."])
    return features.shape[1:]


def has_small_stem(weights: Mapping[str, Tensor]) -> bool | None:
    """What weights of a ResNet, by the backbone's names, say of its stem; None: nothing."""
    first = weights.get("conv1.weight")
    return None if first is None else first.shape[2:] == (3, 3)


def input_channels(name: str, weights: Mapping[str, Tensor], *, otherwise: int) -> int:
    """Channels that a backbone takes: 3, or as many as the images; `small_cnn` 3 if its weights have them.

    Grey images are repeated for weights of colour; images of colour are a misfit for weights of grey.
    """
    if name not in BACKBONES or "channels" not in BACKBONES[name].given:
        return 3
    first = weights.get("0.weight")
    return 3 if first is not None and first.shape[1:2] == (3,) else otherwise


def norm(kind: str, width: int) -> list[nn.Module]:
    """Normalisation of feature maps: one layer, or none."""
    match kind:
        case "group":
            return [nn.GroupNorm(GROUPS, width)]
        case "batch":
            return [nn.BatchNorm2d(width)]
    return []


@BACKBONES.attach("small_cnn")
def _small_cnn(channels: int, norm_kind: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in WIDTHS:
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=norm_kind == "none"),
            nn.MaxPool2d(2, ceil_mode=True),  # before the norm: a quarter of its work, 1.7 x the images/s on a CPU
            *norm(norm_kind, width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers)


@BACKBONES.attach("vgg11")
def _vgg11(side: tuple[int, int]) -> nn.Sequential:
    from torchvision.models.vgg import cfgs, make_layers

    _require_side("vgg11", side, VGG_MIN_SIDE)
    # `vgg11()` would draw 124 million weights of a classifier that has no use here: a second and 500 MB per trial.
    features: nn.Sequential = make_layers(cfgs["A"])
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return features


@BACKBONES.attach("alexnet")
def _alexnet(side: tuple[int, int]) -> nn.Sequential:
    from torchvision.models import alexnet

    _require_side("alexnet", side, ALEXNET_MIN_SIDE)
    device = torch.get_default_device()
    with torch.device("meta"):  # its classifier, 58 of 61 million weights, is never drawn
        features: nn.Sequential = alexnet(weights=None).features
    features.to_empty(device=device)
    for module in features:
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return features


def _resnet(name: str, *, small_stem: bool) -> nn.Sequential:
    """Torchvision's up to the last map.

    Its stem shrinks an image by 4 before the first block, which leaves 8x8 positions of a CIFAR image and one at the
    end. Published weights need that stem; from scratch, small images keep their side as in the CIFAR networks of He et
    al. 2015 (and SimCLR's).
    """
    from torchvision.models import get_model

    model = get_model(name, weights=None, num_classes=1)
    if small_stem:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return nn.Sequential(OrderedDict(list(model.named_children())[:-2]))  # without avgpool and fc


for _name in ("resnet18", "resnet34", "resnet50"):
    BACKBONES.attach(_name)(partial(_resnet, _name))


@BACKBONES.attach("efficientnet_v2_s")
def _efficientnet_v2_s(stages: int | None) -> nn.Sequential:
    from torchvision.models import efficientnet_v2_s

    features: nn.Sequential = efficientnet_v2_s(weights=None, num_classes=1).features[:stages]
    return features


BACKBONES.attach("efficientnet_lite0")(efficientnet_lite0)


@BACKBONES.attach("vit_tiny")
def _vit_tiny(side: tuple[int, int]) -> nn.Module:
    """Class token of a transformer of DeiT-tiny's size (Touvron et al. 2021, arXiv 2012.12877, table 1)."""
    from torchvision.models import VisionTransformer

    model: nn.Module = VisionTransformer(
        image_size=side[0], patch_size=_patch(side), num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768,
        num_classes=1,
    )  # fmt: skip
    model.heads = nn.Identity()
    return model


def _patch(side: tuple[int, int]) -> int:
    """The largest patch that leaves enough of them: 16 at 224 pixels, 12 at 96, 4 at 32 and 28."""
    fewest, most = VIT_PATCHES
    height, width = side
    patches = [p for p in range(1, VIT_MAX_PATCH + 1) if height % p == 0 and fewest <= height // p <= most]
    if height != width or not patches:
        raise Faults(
            [
                f"`vit_tiny` needs square images that divide into {fewest} to {most} patches a side, of at most "
                f"{VIT_MAX_PATCH} pixels each, but got {height}x{width}."
            ]
        )
    return max(patches)


def _require_side(name: str, side: tuple[int, int], least: int) -> None:
    if min(side) < least:
        raise Faults([f"`{name}` needs images of at least {least} pixels a side, but got {side[0]}x{side[1]}."])


def _replace_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
        else:
            _replace_batch_norm(child)
