"""A backbone of one's own: any `nn.Module` from images to features, or to feature maps.

python sweeps/koleo_accum.py --plugin examples/plugins/residual_net.py --set backbone=residual_net
"""

from torch import Tensor, nn

from embedding_core.plugins import backbone


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        maps: Tensor = x + self.inner(x)
        return maps


@backbone("residual_net")
def residual_net(channels: int, width: int = 32, depth: int = 2) -> nn.Module:
    """Maps at a quarter of the side; `channels`, which has no default, is what the images have."""
    blocks = [Residual(width) for _ in range(depth)]
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride=2, padding=1), *blocks, nn.MaxPool2d(2))
