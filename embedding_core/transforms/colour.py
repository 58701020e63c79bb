"""Colour and sharpness of a batch, one parameter per image. Pixels are float in [0, 1]; neutral parameters change none.

Channels are one (grey) or three (red, green, blue).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor


def colour_jitter(x: Float[Tensor, "n c h w"], factors: Float[Tensor, "n 4"]) -> Float[Tensor, "n c h w"]:
    """Change brightness, contrast, saturation and hue, in this order; clamped to [0, 1] after each.

    The order is fixed: torchvision draws one per call, and one per image would cost each of the four steps four times.

    Args:
        x: pixels in [0, 1].
        factors: per image (1, 1, 1, 0 changes nothing), in columns:
            brightness, a factor on the pixels, >= 0;
            contrast, a factor on the distance to the image's mean luma, >= 0;
            saturation, a factor on the distance to the pixel's luma, >= 0; grey images have none;
            hue, a shift as a share of the colour circle; grey images have none.
    """
    brightness, contrast, saturation, hue = factors[..., None, None, None].unbind(1)
    x = (x * brightness).clamp_(0, 1)
    x = torch.lerp(_luma(x).mean(dim=(1, 2, 3), keepdim=True), x, contrast).clamp_(0, 1)
    if x.shape[1] == 1:
        return x
    x = torch.lerp(_luma(x), x, saturation).clamp_(0, 1)
    return _shift_hue(x, hue[:, 0])


def greyscale(x: Float[Tensor, "n c h w"], where: Bool[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Replace every channel of the images in `where` by the luma."""
    return x if x.shape[1] == 1 else torch.where(where[:, None, None, None], _luma(x), x)


def grey_copies(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Every channel replaced by the luma, rounded."""
    everywhere = torch.ones(len(images), dtype=torch.bool, device=images.device)
    return (greyscale(images.float() / 255, everywhere) * 255).round_().to(torch.uint8)


def has_colour(images: UInt8[Tensor, "n c h w"]) -> bool:
    """Whether some pixel is not grey."""
    # Block by block: of most sets the first images tell.
    return any(bool((block[:, 1:] != block[:, :1]).any()) for block in images.split(256))


def gaussian_blur(x: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Gaussian blur over a tenth of the shorter side, mirrored at the border without repeating the edge.

    Args:
        x: pixels.
        sigma: in pixels, >= 0; 0 changes nothing.

    Source: Chen et al. 2020, arXiv 2002.05709, appendix A. The kernel has an odd number of taps, at least 3 where the
    image has them: a tenth of a small image would be one tap, and the blur none.
    """
    n, c, h, w = x.shape
    radius = min(max(1, min(h, w) // 20), min(h, w) - 1)  # mirroring needs more pixels than it mirrors
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernels = torch.softmax(-(offsets / sigma.clamp(min=1e-3)[:, None]).square() / 2, dim=1)
    # One image of n * c channels with a kernel each: a depthwise convolution, down and then across.
    kernels = kernels.repeat_interleave(c, dim=0)[:, None]
    padded = F.pad(x, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    down = F.conv2d(padded, kernels[..., :, None], groups=n * c)
    return F.conv2d(down, kernels[..., None, :], groups=n * c).view(n, c, h, w)


def _luma(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 h w"]:
    """ITU-R BT.601 luma, with the digits that torchvision and TensorFlow use."""
    if x.shape[1] == 1:
        return x
    return (x[:, 0:1] * 0.2989).add_(x[:, 1:2], alpha=0.587).add_(x[:, 2:3], alpha=0.114)


def _shift_hue(x: Float[Tensor, "n 3 h w"], shift: Float[Tensor, "n 1 1"]) -> Float[Tensor, "n 3 h w"]:
    """Turn the hue of HSV; value and saturation stay, so the way back needs only the value and the chroma.

    A channel is the value minus the chroma times how far the hue is from that channel's colour (in sixths of the
    circle, cut to [0, 1]).
    """
    red, green, blue = x.unbind(1)
    value, least = x.amax(1), x.amin(1)
    chroma = value - least
    width = torch.where(chroma > 0, chroma, 1.0)
    sixths = torch.where(
        value == red,
        (green - blue) / width,
        torch.where(value == green, (blue - red) / width + 2, (red - green) / width + 4),
    )
    sixths = sixths + 6 * shift
    k = sixths[:, None] + (5 - 2 * torch.arange(3, device=x.device))[:, None, None]
    k = k.sub_(6 * (k / 6).floor_())
    away = torch.minimum(k, 4 - k).clamp_(0, 1)
    return torch.addcmul(value[:, None], chroma[:, None], away, value=-1)
