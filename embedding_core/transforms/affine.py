"""Where each pixel of an augmented image is read from: turns, zooms, mirrors and windows, interpolated once.

A source is an affine map per image, from output to input, in coordinates that run from -1 to 1 across the image.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

PerImage = Float[Tensor, " n"]

ATTEMPTS = 10
"""Windows drawn per image; the first that fits is taken."""


class Window(NamedTuple):
    """A part of each image: whole pixels, as floats."""

    top: PerImage
    left: PerImage
    height: PerImage
    width: PerImage


def random_window(
    n: int,
    h: int,
    w: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    generator: torch.Generator,
) -> Window:
    """One window per image by the law of torchvision's `RandomResizedCrop`.

    Args:
        n: images.
        h: height of an image in pixels.
        w: width of an image in pixels.
        scale: least and greatest share of the area.
        ratio: least and greatest width / height, uniform on the logarithm.
        generator: source of the 22 n draws. Where no attempt fits, the largest central window with such a ratio.
    """
    draws = torch.rand(2 * ATTEMPTS + 2, n, generator=generator, device=generator.device)
    area = h * w * (scale[0] + (scale[1] - scale[0]) * draws[:ATTEMPTS])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * draws[ATTEMPTS : 2 * ATTEMPTS])
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths >= 1) & (widths <= w) & (heights >= 1) & (heights <= h)
    first = fits.int().argmax(dim=0, keepdim=True)
    found = fits.any(dim=0)
    height = torch.where(found, heights.gather(0, first)[0], min(h, round(w / ratio[0])))
    width = torch.where(found, widths.gather(0, first)[0], min(w, round(h * ratio[1])))
    top = torch.where(found, (draws[-2] * (h - height + 1)).floor(), ((h - height) / 2).floor())
    left = torch.where(found, (draws[-1] * (w - width + 1)).floor(), ((w - width) / 2).floor())
    return Window(top, left, height, width)


def turned(
    degrees: PerImage, zoom: PerImage, mirrored: Bool[Tensor, " n"], *, h: int, w: int
) -> Float[Tensor, "n 2 3"]:
    """Source of images turned about their centre, enlarged, then mirrored.

    Args:
        degrees: counter-clockwise.
        zoom: > 0; above 1 enlarges.
        mirrored: left to right.
        h: height of an image in pixels.
        w: width of an image in pixels.
    """
    cosine, sine = torch.cos(degrees.deg2rad()) / zoom, torch.sin(degrees.deg2rad()) / zoom
    sign = torch.where(mirrored, -1.0, 1.0)
    zero = torch.zeros_like(zoom)
    # A right angle is one of pixels, not of shares of the two sides.
    across = torch.stack([cosine * sign, -sine * h / w, zero], dim=1)
    down = torch.stack([sine * sign * w / h, cosine, zero], dim=1)
    return torch.stack([across, down], dim=1)


def resized(window: Window, mirrored: Bool[Tensor, " n"], *, h: int, w: int) -> Float[Tensor, "n 2 3"]:
    """Source of windows enlarged to the size of the image, then mirrored."""
    top, left, height, width = window
    zero = torch.zeros_like(top)
    across = torch.stack([torch.where(mirrored, -width, width) / w, zero, (2 * left + width) / w - 1], dim=1)
    down = torch.stack([zero, height / h, (2 * top + height) / h - 1], dim=1)
    return torch.stack([across, down], dim=1)


def bounds(window: Window, *, h: int, w: int) -> Float[Tensor, "n 2 2"]:
    """Centres of the windows' first and last pixels, (across, down) each: nothing outside is read."""
    top, left, height, width = window
    first = torch.stack([(2 * left + 1) / w - 1, (2 * top + 1) / h - 1], dim=1)
    last = torch.stack([(2 * (left + width) - 1) / w - 1, (2 * (top + height) - 1) / h - 1], dim=1)
    return torch.stack([first, last], dim=1)


def warp(
    x: Float[Tensor, "n c h w"], source: Float[Tensor, "n 2 3"], limits: Float[Tensor, "n 2 2"] | None = None
) -> Float[Tensor, "n c h w"]:
    """Read every pixel at its source, bilinearly.

    There is no low-pass filter: sources here enlarge or keep the size, where torchvision's `antialias` does nothing.

    Args:
        x: pixels.
        source: of each image.
        limits: first and last point to read at (see `bounds`); None: the image goes on as its mirror image, so that no
            black corner tells the angle.
    """
    n, c, h, w = x.shape
    grid = F.affine_grid(source, [n, c, h, w], align_corners=False)
    if limits is not None:
        grid = grid.clamp(limits[:, 0, None, None], limits[:, 1, None, None])
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
