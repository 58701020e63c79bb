"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for its activation.

Source: Tan & Le 2019, arXiv 1905.11946, table 1; the Lite variant is `efficientnet_lite_builder.py` of
github.com/tensorflow/tpu. Its stochastic depth (.2 in training) is left out.
"""

from collections import OrderedDict
from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STEM_WIDTH = 32
WIDTH = 1280

STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""Blocks, kernel, stride of the first block, expansion, channels."""

PIXEL_MEAN = (127 / 255,) * 3
PIXEL_STD = (128 / 255,) * 3
"""Of the pixels in [0, 1]: the published weights expect (x - 127) / 128 of values up to 255."""

NORM_EPS = 1e-3
"""Of the published network. The momentum of its statistics, .01 in torch's sense, is not taken over: in the hundreds of
updates of a short run they would hardly move; they move as those of the other networks do."""

_BLOCKS = sum(blocks for blocks, *_ in STAGES)
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
_PUBLISHED = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "last.0", "_bn1": "last.1"} | {
    f"_blocks.{block}.{theirs}": f"blocks.{block}.{part}.{layer}"
    for block in range(_BLOCKS)
    for part, layers in _PARTS.items()
    for layer, theirs in enumerate(layers)
}
"""Modules of the published file, and what they are called here."""


class SameConv2d(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's `same`: ceil(side / stride) positions, stride 1 or 2.

    With stride 2 the padding depends on the side, and is not the same on both sides: torch's own would sample a grid
    that lies a pixel beside the one that the published weights learned.
    """

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, width, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out")  # as torchvision's EfficientNets

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d p q"]:
        """[n, c, h, w] -> [n, d, ceil(h / stride), ceil(w / stride)]."""
        if self.stride != (1, 1):
            high, wide = (self.kernel_size[0] - 2 + side % 2 for side in x.shape[2:])
            x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return super().forward(x)


class MBConv(nn.Sequential):
    """Inverted bottleneck: expand, filter each channel, project; added to its input where both have one shape."""

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int, expansion: int) -> None:
        inner = channels * expansion
        parts = OrderedDict[str, nn.Module]()
        if expansion > 1:
            parts["expand"] = _activated(SameConv2d(channels, inner, 1))
        parts["depthwise"] = _activated(SameConv2d(inner, inner, kernel, stride=stride, groups=inner))
        parts["project"] = nn.Sequential(SameConv2d(inner, width, 1), _norm(width))
        super().__init__(parts)
        self.skips = stride == 1 and channels == width

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d p q"]:
        """[n, c, h, w] -> [n, d, ceil(h / stride), ceil(w / stride)]."""
        y = x
        for part in self:
            y = part(y)
        return x + y if self.skips else y


def efficientnet_lite0() -> nn.Sequential:
    """Features, [n, 3, h, w] -> [n, 1280, ceil(h / 32), ceil(w / 32)]; weights from the global generator."""
    blocks = []
    channels = STEM_WIDTH
    for repeats, kernel, stride, expansion, width in STAGES:
        for number in range(repeats):
            of_this = 1 if number else stride
            blocks.append(MBConv(channels, width, kernel, stride=of_this, expansion=expansion))
            channels = width
    return nn.Sequential(
        OrderedDict(
            stem=_activated(SameConv2d(3, STEM_WIDTH, 3, stride=2)),
            blocks=nn.Sequential(*blocks),
            last=_activated(SameConv2d(channels, WIDTH, 1)),
        )
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict by the names that its tensors have here; those that are not the published ones stay."""
    named = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        named[f"{_PUBLISHED[module]}.{leaf}" if module in _PUBLISHED else name] = value
    return named


def _activated(convolution: SameConv2d) -> nn.Sequential:
    return nn.Sequential(convolution, _norm(convolution.out_channels), nn.ReLU6(inplace=True))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=NORM_EPS)
